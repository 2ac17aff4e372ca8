"""Photographs are found in order and come out upright, in sRGB, whatever they were stored as."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import find_photographs, load_photograph, natural_order, open_photograph
from tests.photographs.files import exif_block, write_dng


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """Smooth colours [40, 60, 3], so that JPEG keeps them."""
    y, x = np.mgrid[:40, :60]
    return np.stack([40 + 3 * x, 60 + 4 * y, 255 - 3 * x], axis=2).astype(np.uint8)


def load(path: Path, max_edge: int | None = None) -> NDArray[np.uint8]:
    return load_photograph(open_photograph(path, path.name), max_edge)


def complaint(path: Path) -> str:
    """The complaint about the only photograph of a folder, found or loaded, which has to be one line."""
    with pytest.raises(MacroSplatError, match=re.escape(path.name)) as caught:
        load_photograph(find_photographs(path.parent)[0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_found_in_natural_order(tmp_path: Path) -> None:
    names = ["b/2.png", "b/10.png", "a10.JPG", "a2.tif", "A1.jpeg"]
    left_out = ["masks/a2.png", "b/2.mask.png", "b/2_mask.png", ".hidden.png", "b/.trash/1.png", "other/1.png"]
    for name in names + left_out:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photograph")
    (tmp_path / "a10.NEF").write_bytes(b"never opened: the JPEG beside it is taken")
    found = find_photographs(tmp_path, leave_out=[tmp_path / "other"])
    assert [photograph.name for photograph in found] == ["A1.jpeg", "a2.tif", "a10.JPG", "b/2.png", "b/10.png"]
    assert all(photograph.path == tmp_path / photograph.name for photograph in found)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    assert sorted(sorted(names), key=natural_order) == sorted(sorted(names, reverse=True), key=natural_order)


def test_no_photographs(tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match="holds no photographs"):
        find_photographs(tmp_path)
    with pytest.raises(MacroSplatError, match="does not exist"):
        find_photographs(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(tmp_path: Path, picture: NDArray[np.uint8], suffix: str, orientation: int) -> None:
    """Stored as the camera would for each orientation, by EXIF's own table: the same picture comes out."""
    rows, columns = {  # where the stored first row and first column lie in the upright picture
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    stored = picture if rows in ("top", "bottom") else picture.transpose(1, 0, 2)
    stored = stored[::-1] if rows in ("bottom", "right") else stored
    stored = stored[:, ::-1] if columns in ("bottom", "right") else stored
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(
        path, exif=exif_block({0x0112: orientation}).tobytes(), quality=95
    )
    photograph = open_photograph(path, "a")
    assert (photograph.width, photograph.height) == (60, 40)
    tolerance = 8 if suffix == "jpg" else 0
    for edge, expected in ((None, picture), (30, picture.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3)))):
        found = load_photograph(photograph, edge)
        assert found.shape == expected.shape
        assert np.abs(found - expected.astype(float)).max() <= tolerance + 1


def test_grey_tiff_upright(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(picture[..., 0])))
    stored.save(tmp_path / "a.tif", exif=exif_block({0x0112: 6}).tobytes())
    np.testing.assert_array_equal(load(tmp_path / "a.tif")[..., 1], picture[..., 0])


def test_pixel_types(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    deep = picture.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    cv2.imwrite(str(tmp_path / "deep.tif"), deep[..., ::-1])  # LZW
    tifffile.imwrite(tmp_path / "zip.tif", deep, photometric="rgb", compression="zlib", predictor=True)
    tifffile.imwrite(tmp_path / "big_endian.tif", deep, photometric="rgb", byteorder=">")
    Image.fromarray(picture).convert("RGBA").save(tmp_path / "alpha.png")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(load(path), picture, err_msg=path.name)


def test_grey(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), picture[..., 0].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep.tif"), picture[..., 0].astype(np.uint16) * 257)
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(picture[..., 0]).convert("LA").save(tmp_path / "alpha.png")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(load(path), np.repeat(picture[..., :1], 3, axis=2), err_msg=path.name)


def test_colour_profile_becomes_srgb(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    """A profile whose first two colours are exchanged: the exchange must be undone."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * profile[131], 12)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    exchanged = bytes(profile).replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(np.ascontiguousarray(picture[..., [1, 0, 2]])).save(path, icc_profile=exchanged)
        assert np.abs(load(path).astype(int) - picture).max() <= 2
        Image.fromarray(picture).save(path, icc_profile=b"no profile at all")
        np.testing.assert_array_equal(load(path), picture)


def test_reduced_never_enlarged(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    assert load(tmp_path / "a.jpg", 24).shape == (16, 24, 3)
    assert load(tmp_path / "a.jpg", 600).shape == (40, 60, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hundred_megapixels(tmp_path: Path) -> None:
    Image.new("L", (11_656, 8_742), 100).save(tmp_path / "a.jpg")
    (photograph,) = find_photographs(tmp_path)
    small = load_photograph(photograph, 800)
    assert small.shape == (600, 800, 3)
    assert np.abs(small.astype(int) - 100).max() <= 2


@pytest.mark.parametrize("orientation", [1, 6])
def test_raw(tmp_path: Path, orientation: int) -> None:
    pytest.importorskip("rawpy", reason="rawpy reads the raw files")
    linear = np.array([0.6, 0.3, 0.15])
    mosaic = np.empty((96, 128), np.uint16)
    mosaic[::2, ::2], mosaic[::2, 1::2], mosaic[1::2, ::2], mosaic[1::2, 1::2] = 4095 * linear[[0, 1, 1, 2]]
    mosaic[:48, :64] //= 4
    write_dng(tmp_path / "a.dng", mosaic, orientation)
    (photograph,) = find_photographs(tmp_path)
    assert photograph.exif.camera == "Maker M1"
    size = (128, 96) if orientation == 1 else (96, 128)
    assert (photograph.width, photograph.height) == size
    found = load_photograph(photograph)
    assert found.shape == (*size[::-1], 3)
    dark = found[:40, :56] if orientation == 1 else found[:56, -40:]
    bright = found[56:, 72:] if orientation == 1 else found[72:, :40]
    for part, light in ((bright, linear), (dark, linear / 4)):
        srgb = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
        assert np.abs(np.median(part, axis=(0, 1)) - srgb).max() <= 4
    assert load_photograph(photograph, 32).shape == ((24, 32, 3) if orientation == 1 else (32, 24, 3))


def test_raw_without_rawpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.CR2").write_bytes(b"II*\0")
    assert "pip install rawpy" in complaint(tmp_path / "a.CR2")


def test_broken_files(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG")
    path = tmp_path / "a.jpg"
    for content in (b"", b"no picture", data.getvalue()[:-300]):
        path.write_bytes(content)
        assert "broken or truncated" in complaint(path)


def test_pixels_that_are_refused(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    path = tmp_path / "a.tif"
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1)).astype(np.uint16)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    assert "separate colour planes" in complaint(path)
    tifffile.imwrite(path, picture[..., 0].astype(np.float32))
    assert "32 bits" in complaint(path)
