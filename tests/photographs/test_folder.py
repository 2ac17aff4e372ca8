"""Which files of a folder are photographs: one for each that was taken, and none of masks and earlier captures."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.folder import looks_like_mask
from macro_splat.photographs.load import Photograph, find_photographs
from macro_splat.photographs.masks import find_mask, load_mask
from tests.photographs.files import exif_block

SIZE = (60, 40)


def scene(size: tuple[int, int] = SIZE) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def half(grow: int = 1) -> Image.Image:
    mask = Image.new("L", (60 * grow, 40 * grow), 0)
    mask.paste(255, (0, 0, 30 * grow, 40 * grow))
    return mask


def found(folder: Path) -> tuple[list[Photograph], list[str]]:
    told: list[str] = []
    photographs = find_photographs(folder, note=lambda what, do: told.append(f"{what} {do}"))
    return photographs, told


@pytest.mark.parametrize("mask", ["a.jpg.png", "a.png", "a.jpg.PNG"])
@pytest.mark.parametrize("mode", ["L", "RGB", "1", "RGBA"])
def test_a_mask_beside_its_photograph_is_one(tmp_path: Path, mask: str, mode: str) -> None:
    scene().save(tmp_path / "a.jpg")
    picture = half().convert(mode)
    if mode == "RGBA":  # a cut-out
        picture = scene()
        picture.putalpha(half())
    picture.save(tmp_path / mask)
    (photograph,), told = found(tmp_path)
    assert photograph.name == "a.jpg"
    assert told == []
    path = find_mask(photograph)
    assert path == tmp_path / mask
    np.testing.assert_array_equal(load_mask(photograph, path), np.asarray(half()) > 0)


def test_a_picture_is_no_mask_whatever_its_name(tmp_path: Path) -> None:
    """A TIFF and its export: the same photograph, which has one pose and one image."""
    scene().save(tmp_path / "a.tif")
    scene().save(tmp_path / "a.tif.png")
    (photograph,), told = found(tmp_path)
    assert photograph.name == "a.tif"
    assert find_mask(photograph) is None
    assert len(told) == 1
    assert "a.tif.png beside a.tif" in told[0]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["a.jpg", "a.tif"], "a.tif"),
        (["a.JPG", "a.png", "a.nef"], "a.png"),
        (["a.jpg", "a.cr2"], "a.jpg"),
        (["a.jpeg", "a.webp"], "a.webp"),
    ],
)
def test_one_file_of_each_photograph_is_taken(tmp_path: Path, names: list[str], taken: str) -> None:
    if taken.endswith("webp") and not features.check("webp"):
        pytest.skip("this Pillow reads no WebP")
    for name in names:
        scene().save(tmp_path / name) if name[-3:] not in ("nef", "cr2") else (tmp_path / name).write_bytes(b"")
    scene().save(tmp_path / "b.jpg")
    photographs, told = found(tmp_path)
    assert [photograph.name for photograph in photographs] == [taken, "b.jpg"]
    assert len(told) == 1
    assert told[0].startswith(f"{len(names) - 1} file(s) show photographs that are there in a better format")


def test_a_small_copy_is_not_better(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg")
    scene((30, 20)).save(tmp_path / "a.png")
    assert [photograph.name for photograph in found(tmp_path)[0]] == ["a.jpg"]


def test_different_times_make_different_photographs(tmp_path: Path) -> None:
    for k, name in enumerate(("1.jpg", "1.png", "2.jpg", "2.png")):
        time = datetime(2024, 5, 1, 12) + timedelta(seconds=60 * (k == 1) + (k == 3))
        scene().save(tmp_path / name, exif=exif_block(tags={0x9003: f"{time:%Y:%m:%d %H:%M:%S}"}).tobytes())
    assert [photograph.name for photograph in found(tmp_path)[0]] == ["1.jpg", "1.png", "2.png"]


@pytest.mark.parametrize("mark", [".process/", "process.json", "transforms.json"])
def test_earlier_captures_are_passed_over_and_named_once(tmp_path: Path, mark: str) -> None:
    scene().save(tmp_path / "a.jpg")
    for name in ("first", "second"):
        (tmp_path / name / "images").mkdir(parents=True)
        scene().save(tmp_path / name / "images" / "a.jpg")
        (tmp_path / name / mark).mkdir() if mark.endswith("/") else (tmp_path / name / mark).write_text("{}")
    photographs, told = found(tmp_path)
    assert [photograph.name for photograph in photographs] == ["a.jpg"]
    assert len(told) == 1
    assert told[0].startswith("2 earlier capture(s) below the photographs are left out: 'first', 'second'.")
    inner = find_photographs(tmp_path / "first" / "images")
    assert [photograph.name for photograph in inner] == ["a.jpg"]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(MacroSplatError, match="holds no photographs but the capture first"):
        find_photographs(tmp_path)


def test_pictures_that_are_not_read_are_counted(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.heic", "film.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(MacroSplatError, match=r"holds no photographs but 2 \.heic, 1 \.mp4, which are not read; give"):
        find_photographs(tmp_path)
    scene().save(tmp_path / "a.jpg")
    assert found(tmp_path)[1] == ["Not read: 2 .heic, 1 .mp4. Export them as JPEG, PNG or TIFF if they are wanted."]


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_a_large_mask_is_one_too(tmp_path: Path, mode: str) -> None:
    half(80).convert(mode).save(tmp_path / "a.png")
    assert looks_like_mask(tmp_path / "a.png")
