"""Images of a capture: copied byte for byte where that will do, else the upright sRGB picture with the lens's tags."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from macro_splat.photographs.exif import read_exif
from macro_splat.photographs.load import Photograph, open_photograph
from macro_splat.process.write_image import can_stay, image_name, write_image, write_mask
from tests.photographs.files import exif_block

TAGS = {
    0x920A: 100.0,
    0x829D: 5.6,
    0x829A: 1 / 125,
    0x8827: 200,
    0x9206: 0.45,
    0xA434: "Macro 100",
    0x9003: "2024:05:01 12:30:15",
    0x9291: "250000",
    0xA20E: 200.0,
    0xA20F: 200.0,
    0xA210: 4,
}


def picture(width: int = 40, height: int = 24) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def saved(path: Path, image: Image.Image | None = None, **options: Any) -> Photograph:
    (image or picture()).save(path, **options)
    return open_photograph(path, path.name)


def test_what_is_an_image_already_is_copied_byte_for_byte(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = exif_block({0x0110: "Camera"}, TAGS)
    for photograph in (
        saved(tmp_path / "a.jpg", quality=80, exif=exif),
        saved(tmp_path / "b.png", icc_profile=srgb),
        saved(tmp_path / "c.png", picture().convert("L")),
    ):
        target = tmp_path / "out" / image_name(photograph, carved=False)
        write_image(photograph, target)
        assert target.read_bytes() == photograph.path.read_bytes()
        assert not target.samefile(photograph.path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("turned.jpg", {"exif": exif_block({0x0112: 6})}),
        ("alpha.png", {}),
        ("plain.tif", {}),
        ("other.png", {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()}),
        ("misnamed.png", {"format": "JPEG"}),
    ],
)
def test_everything_else_is_not(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    image = picture().convert("RGBA") if name == "alpha.png" else picture()
    assert not can_stay(saved(tmp_path / name, image, **options), None)
    assert not can_stay(saved(tmp_path / "large.jpg"), 20)


def test_written_images_are_upright_and_without_alpha(tmp_path: Path) -> None:
    original = picture()
    turned = saved(tmp_path / "turned.tif", original.transpose(Image.Transpose.ROTATE_90), exif=exif_block({0x0112: 6}))
    assert (turned.width, turned.height) == original.size
    target = tmp_path / image_name(turned, carved=False)
    assert target.name == "turned.tif.png"
    write_image(turned, target)
    with Image.open(target) as written:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(original))
    assert read_exif(target).orientation == 1

    clear = original.copy()
    clear.putalpha(128)
    write_image(saved(tmp_path / "clear.png", clear), tmp_path / "opaque.png")
    with Image.open(tmp_path / "opaque.png") as written:
        assert written.mode == "RGB"


def test_tags_of_the_lens_stay_with_a_reduced_image(tmp_path: Path) -> None:
    photograph = saved(tmp_path / "a.jpg", picture(400, 240), exif=exif_block({0x0110: "Maker M1"}, TAGS))
    before = photograph.exif
    assert before.pixel_pitch_mm == pytest.approx(1 / 200)
    for name in ("reduced.jpg", "reduced.png"):
        write_image(photograph, tmp_path / name, max_edge=100)
        after = read_exif(tmp_path / name)
        assert after.pixel_pitch_mm == pytest.approx(4 / 200, rel=1e-3)
        assert after.sensor_width_mm == pytest.approx(before.sensor_width_mm, rel=1e-3)
        assert after.taken == before.taken == datetime(2024, 5, 1, 12, 30, 15, 250000)
        assert (after.camera, after.lens, after.iso) == (before.camera, before.lens, before.iso)
        for field in ("focal_length_mm", "f_number", "focus_distance_mm", "exposure_s", "magnification"):
            assert getattr(after, field) == pytest.approx(getattr(before, field), rel=1e-4), field


def test_carving_fills_what_lies_outside_and_nothing_else(tmp_path: Path) -> None:
    photograph = saved(tmp_path / "a.jpg", quality=95)
    mask = np.zeros((24, 40), bool)
    mask[5:20, 10:30] = True
    target = tmp_path / image_name(photograph, carved=True)
    assert target.suffix == ".png"  # a JPEG would blur the edge
    write_image(photograph, target, carve=(mask, (7, 8, 9)))
    with Image.open(target) as carved, Image.open(photograph.path) as original:
        values, before = np.asarray(carved), np.asarray(original)
    np.testing.assert_array_equal(values[mask], before[mask])
    assert (values[~mask] == (7, 8, 9)).all()


def test_masks_are_0_and_255_at_the_size_of_the_image(tmp_path: Path) -> None:
    mask = np.zeros((24, 40), bool)
    mask[8:16, 12:28] = True
    write_mask(mask, tmp_path / "masks" / "a.png", (20, 12))
    with Image.open(tmp_path / "masks" / "a.png") as written:
        values = np.asarray(written)
    assert set(np.unique(values)) == {0, 255}
    np.testing.assert_array_equal(values > 0, mask[::2, ::2])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_png_becomes_one_of_8_bits(tmp_path: Path, channels: int) -> None:
    """Pillow opens 16 bit colours as if they had 8."""
    deep = np.random.default_rng(2).integers(0, 65536, (24, 40, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    photograph = open_photograph(tmp_path / "a.png", "a.png")
    assert not can_stay(photograph, None)
    write_image(photograph, tmp_path / "out.png")
    written = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint8
    expected = deep / 257.0 if channels == 3 else np.repeat(deep / 257.0, 3, axis=2)
    assert np.abs(written - expected).max() <= 1
