"""`macro-splat process` on a real focus stack: a circuit board from near to far, whose lens breathes.

Photographs of this lens and sensor have what rendered ones lack: shifts between slices, grain that was compressed, and
no slice that is sharp everywhere. Whether maps and preview are right is judged without any measure of sharpness: of two
pictures, the one that becomes like the other when it is blurred is the sharper one.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from macro_splat.process.config import WORK, ProcessConfig
from macro_splat.process.run import process

pytestmark = pytest.mark.slow

STACK = Path(__file__).resolve().parents[3] / "assets" / "pcb_stack"
SLICES = 10
WINDOW_PX = 32
"""Regions that are compared: large ones against the shifts of a few pixels."""
SIGMAS_PX = np.linspace(0.25, 4.0, 16)

Picture = NDArray[np.float32]


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder that process made, and its record; files named as cameras do, from 1 to 10 without zeros."""
    card, out = tmp_path_factory.mktemp("card"), tmp_path_factory.mktemp("out")
    for k in range(SLICES):
        shutil.copyfile(STACK / f"pcb_{k:03d}.jpg", card / f"pose1_slice{k + 1}.jpg")
    return out, process(ProcessConfig(card, out, poses="none", threads=1))


@pytest.fixture(scope="module")
def plain() -> list[Picture]:
    """Grey values [H, W] of the slices as they are."""
    return [np.asarray(Image.open(STACK / f"pcb_{k:03d}.jpg").convert("L"), np.float32) for k in range(SLICES)]


@pytest.fixture(scope="module")
def slices(plain: list[Picture]) -> list[Picture]:
    """They, put on top of the middle one."""
    return [on_top(picture, plain[SLICES // 2]) for picture in plain]


def warp_onto(picture: Picture, reference: Picture) -> NDArray[np.float32]:
    """[2, 3] the affine map from the reference's pixels to the picture's, without any code of ours.

    By the correlation of their coarse structure, which blur leaves (G. Evangelidis and E. Psarakis, PAMI 2008).
    """
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-5)
    start = np.eye(2, 3, dtype=np.float32)
    _, warp = cv2.findTransformECC(reference, picture, start, cv2.MOTION_AFFINE, criteria, None, 15)  # type: ignore[call-overload]
    return np.asarray(warp, np.float32)


def on_top(picture: Picture, reference: Picture) -> Picture:
    """The picture as the reference would show it."""
    size = (picture.shape[1], picture.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warp = warp_onto(picture, reference)
    return np.asarray(cv2.warpAffine(picture, warp, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.float32)


def by_window(values: NDArray[Any]) -> NDArray[np.float64]:
    """Means over regions of WINDOW_PX; what is left over at the edges is left out."""
    h, w = (n // WINDOW_PX for n in values.shape)
    cut = values[: h * WINDOW_PX, : w * WINDOW_PX].astype(float)
    return np.asarray(cut.reshape(h, WINDOW_PX, w, WINDOW_PX).mean(axis=(1, 3)))


def misfit(sharp: Picture, blurred: Picture) -> NDArray[np.float64]:
    """For each region, what is left between one picture, blurred as fits best, and the other."""
    candidates = [cv2.GaussianBlur(sharp, (0, 0), float(sigma)) for sigma in SIGMAS_PX]
    return np.min([by_window((candidate - blurred) ** 2) for candidate in candidates], axis=0)


def test_its_files_are_one_stack_in_order(processed: tuple[Path, dict[str, Any]], plain: list[Picture]) -> None:
    _, record = processed
    (stack,) = record["stacks"]
    assert stack["photographs"] == [f"pose1_slice{k + 1}.jpg" for k in range(SLICES)]
    assert stack["slices"] == list(range(1, SLICES + 1))
    assert stack["missing"] == stack["doubled"] == []
    places = {photograph["name"]: photograph["stack_index"] for photograph in record["photographs"]}
    assert [places[name] for name in stack["photographs"]] == list(range(SLICES))
    # The pictures themselves say that this is the order of the focus: the lens breathes, always in one direction.
    steps = [np.linalg.det(warp_onto(plain[k + 1], plain[k])[:, :2]) ** 0.5 for k in range(SLICES - 1)]
    assert 1.005 < min(steps) < max(steps) < 1.03


def test_maps_are_higher_where_blurring_makes_the_other_slice(
    processed: tuple[Path, dict[str, Any]], slices: list[Picture]
) -> None:
    out, _ = processed
    maps = [np.load(out / WORK / "sharpness" / f"pose1_slice{k + 1}.jpg.npy") for k in range(SLICES)]
    size = slices[0].shape[::-1]
    energy = [by_window(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST) ** 2) for values in maps]
    agree: list[bool] = []
    for a, b in itertools.combinations(range(SLICES), 2):
        there, back = misfit(slices[a], slices[b]), misfit(slices[b], slices[a])
        agree += list(((energy[a] > energy[b]) == (there < back))[clear(there, back)])
    assert len(agree) > 1000
    assert np.mean(agree) > 0.94


def test_the_preview_is_sharper_than_every_slice(processed: tuple[Path, dict[str, Any]], slices: list[Picture]) -> None:
    out, _ = processed
    with Image.open(out / WORK / "previews" / "pose1.jpg") as file:
        preview = on_top(np.asarray(file.convert("L"), np.float32), slices[SLICES // 2])
    for picture in slices:
        there, back = misfit(preview, picture), misfit(picture, preview)
        decided = clear(there, back)
        assert there.mean() < back.mean()
        assert decided.sum() > 5
        assert (there < back)[decided].mean() > 0.95


def clear(there: NDArray[np.float64], back: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Regions of which it is plain which picture is the blurred one; of plain areas it is not."""
    return np.asarray(np.maximum(there, back) > 2 * np.minimum(there, back) + 1.0)
