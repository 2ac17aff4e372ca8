"""Thumbnails in the page: what they show, and that they keep within their budget."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.report.thumbnails import EDGES_PX, MAX_ALPHA, Thumbnail, embed_thumbnails, peaking
from tests.report.outputs import write_thumbnails

NAMES = [f"{i}.png" for i in range(6)]


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def total(thumbnails: dict[str, Thumbnail | None]) -> int:
    return sum(len(t.picture) + len(t.sharpness or "") for t in thumbnails.values() if t is not None)


def test_the_sharp_side_is_marked_and_the_other_left_clear(tmp_path: Path) -> None:
    write_thumbnails(tmp_path / "a", NAMES[:1])
    half = np.zeros((12, 16), np.float32)
    half[:, :8] = 4.0
    np.save(tmp_path / "a/.process/sharpness/0.png.npy", half)
    thumbnail = embed_thumbnails(tmp_path / "a/.process", [NAMES[:1]])["0.png"]
    assert thumbnail is not None
    assert thumbnail.sharpness is not None
    assert opened(thumbnail.picture).size == (thumbnail.width, thumbnail.height) == (48, 36)
    alpha = np.asarray(opened(thumbnail.sharpness).convert("RGBA"))[:, :, 3]
    assert (alpha[:, :8] == MAX_ALPHA).all()
    assert (alpha[:, 8:] == 0).all()


def test_photographs_of_one_group_share_a_scale(tmp_path: Path) -> None:
    write_thumbnails(tmp_path, NAMES[:2])
    folder = tmp_path / ".process"
    for name, level in zip(NAMES, (1.0, 4.0), strict=False):
        np.save(folder / f"sharpness/{name}.npy", np.full((9, 12), level, np.float32))

    def alphas(groups: list[list[str]]) -> list[int]:
        thumbnails = embed_thumbnails(folder, groups)
        overlays = [opened(t.sharpness).convert("RGBA") for t in thumbnails.values() if t and t.sharpness]
        return [int(np.asarray(overlay)[..., 3].max()) for overlay in overlays]

    assert alphas([NAMES[:1], NAMES[1:2]]) == [MAX_ALPHA, MAX_ALPHA]
    blurred, sharp = alphas([NAMES[:2]])
    assert sharp == MAX_ALPHA
    assert blurred == pytest.approx(MAX_ALPHA / 4, abs=MAX_ALPHA / 15)


def test_a_map_of_nothing_is_clear() -> None:
    assert np.asarray(peaking(np.zeros((4, 4), np.float32), 0.0, 8)).max() == 0


def test_thumbnails_shrink_to_their_budget(tmp_path: Path) -> None:
    write_thumbnails(tmp_path, NAMES, edge=256)
    folder = tmp_path / ".process"
    full = embed_thumbnails(folder, [NAMES])
    assert {t.width for t in full.values() if t is not None} == {256}
    budget = total(full) // 4
    small = embed_thumbnails(folder, [NAMES], budget)
    (width,) = {t.width for t in small.values() if t is not None}
    assert width in EDGES_PX[1:-1]
    assert len(small) == len(NAMES)
    assert total(small) <= budget
    scarce = embed_thumbnails(folder, [NAMES], budget // 10)
    assert list(scarce) == NAMES
    assert 0 < sum(t is not None for t in scarce.values()) < len(NAMES)
    assert total(scarce) <= budget // 10


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    write_thumbnails(tmp_path, NAMES[:2])
    (tmp_path / ".process/thumbnails/0.png.jpg").unlink()
    (tmp_path / ".process/sharpness/1.png.npy").unlink()
    thumbnails = embed_thumbnails(tmp_path / ".process", [NAMES[:2]])
    assert thumbnails["0.png"] is None
    assert thumbnails["1.png"] is not None
    assert thumbnails["1.png"].sharpness is None


@pytest.mark.parametrize("file", ["thumbnails/0.png.jpg", "sharpness/0.png.npy"])
def test_a_broken_file_is_named(tmp_path: Path, file: str) -> None:
    write_thumbnails(tmp_path, NAMES[:1])
    (tmp_path / ".process" / file).write_bytes(b"garbage")
    with pytest.raises(MacroSplatError, match=file.replace(".", r"\.") + " is broken"):
        embed_thumbnails(tmp_path / ".process", [NAMES[:1]])
