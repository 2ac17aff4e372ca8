"""Tags come out as they were written, and garbage in them never stops anything."""

from __future__ import annotations

import io
import math
import struct
import zlib
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif, magnification_at, read_exif
from tests.photographs.files import canon_note, exif_block

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

MAIN = {0x010F: "Maker Inc.", 0x0110: "Maker M1", 0x0112: 6, 0x0132: "2024:01:01 00:00:00"}
TAGS = {
    0x829A: IFDRational(1, 125),
    0x829D: IFDRational(28, 10),
    0x8827: 400,
    0x9003: "2023:05:06 07:08:09",
    0x9291: "25",
    0x9206: IFDRational(450, 1000),
    0x920A: IFDRational(100, 1),
    0xA002: 6000,
    0xA003: 4000,
    0xA20E: IFDRational(6000 * 10, 36),
    0xA20F: IFDRational(4000 * 10, 24),
    0xA210: 3,
    0xA405: 100,
    0xA434: "Macro 100mm f/2.8",
}


def write(path: Path, main: dict | None = None, tags: dict | None = None, size: tuple[int, int] = (60, 40)) -> Path:
    Image.new("RGB", size).save(path, exif=exif_block(main, tags).tobytes())
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_all_tags(tmp_path: Path, suffix: str) -> None:
    exif = read_exif(write(tmp_path / f"a.{suffix}", MAIN, TAGS))
    m = exif.magnification
    assert m is not None
    assert 100 * (1 + m) ** 2 / m == pytest.approx(450)
    assert exif == Exif(
        camera="Maker M1",
        lens="Macro 100mm f/2.8",
        focal_length_mm=100.0,
        f_number=2.8,
        focus_distance_mm=450.0,
        exposure_s=1 / 125,
        iso=400.0,
        taken=datetime(2023, 5, 6, 7, 8, 9, 250_000),
        orientation=6,
        sensor_width_mm=pytest.approx(36.0),
        pixel_pitch_mm=pytest.approx(36.0 / 60),  # the stored picture is a hundredth of what the camera took
        magnification=m,
        working_f_number=pytest.approx(2.8 * (1 + m)),
    )
    # The thin lens's own law ties the distance that captures use to focal length and image distance.
    assert exif.object_distance_mm is not None
    assert 1 / exif.object_distance_mm + 1 / (100 * (1 + m)) == pytest.approx(1 / 100)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_no_tags(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / f"a.{suffix}")
    assert read_exif(tmp_path / f"a.{suffix}") == Exif()


def test_png_tags_behind_the_pixels(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (6, 4)).save(data, "PNG")
    block = exif_block(MAIN).tobytes()[6:]
    chunk = struct.pack(">I4s", len(block), b"eXIf") + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    (tmp_path / "a.png").write_bytes(data.getvalue()[:-12] + chunk + data.getvalue()[-12:])
    assert read_exif(tmp_path / "a.png").camera == "Maker M1"


def test_zeros_mean_unknown(tmp_path: Path) -> None:
    """As an adapted lens without electronics leaves them."""
    zero = IFDRational(0, 1)
    infinite = IFDRational(2**32 - 1, 1)
    tags = {0x829D: zero, 0x920A: zero, 0x9206: infinite, 0xA405: 0, 0x9003: "0000:00:00 00:00:00", 0xA20E: zero}
    assert read_exif(write(tmp_path / "a.jpg", {0x0112: 9}, tags)) == Exif()


def test_apex_values(tmp_path: Path) -> None:
    exif = read_exif(write(tmp_path / "a.jpg", None, {0x9201: IFDRational(7, 1), 0x9202: IFDRational(6, 1)}))
    assert exif.exposure_s == pytest.approx(1 / 128)
    assert exif.f_number == pytest.approx(8)


@pytest.mark.parametrize(
    ("focal", "equivalent", "size", "expected"),
    [
        (50.0, 50, (60, 40), 36.0),
        (60.0, 120, (40, 30), 17.31),  # four thirds: the sensors are 17.3 mm wide
        (60.0, 120, (30, 40), 12.98),  # stored upright
    ],
)
def test_sensor_by_equivalent(
    tmp_path: Path, focal: float, equivalent: int, size: tuple[int, int], expected: float
) -> None:
    tags = {0x920A: IFDRational(focal), 0xA405: equivalent}
    exif = read_exif(write(tmp_path / "a.jpg", None, tags, size))
    assert exif.sensor_width_mm == pytest.approx(expected, abs=0.02)
    assert exif.pixel_pitch_mm == pytest.approx(expected / size[0], rel=0.01)


def test_sensor_of_turned_pixels(tmp_path: Path) -> None:
    """A program turned the pixels upright and left PixelXDimension as the camera wrote it."""
    exif = read_exif(write(tmp_path / "a.jpg", None, TAGS, (40, 60)))
    assert exif.sensor_width_mm == pytest.approx(24.0)
    assert exif.pixel_pitch_mm == pytest.approx(36.0 / 60)


def test_sensor_of_resized_pixels(tmp_path: Path) -> None:
    """A program resized the picture, corrected PixelXDimension and left FocalPlaneXResolution."""
    exif = read_exif(write(tmp_path / "a.jpg", None, TAGS | {0xA002: 60, 0xA003: 40}))
    assert exif.sensor_width_mm == pytest.approx(36.0)


def test_focus_distance_from_xmp(tmp_path: Path) -> None:
    for i, packet in enumerate(
        (
            '<rdf:Description aux:ApproximateFocusDistance="31/100" aux:Lens="Some 60mm"/>',
            "<aux:ApproximateFocusDistance>31/100</aux:ApproximateFocusDistance><aux:Lens>Some 60mm</aux:Lens>",
        )
    ):
        xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{packet}</x:xmpmeta>'.encode()
        Image.new("RGB", (6, 4)).save(tmp_path / f"{i}.jpg", xmp=xmp)
        exif = read_exif(tmp_path / f"{i}.jpg")
        assert exif.focus_distance_mm == pytest.approx(310.0)
        assert exif.lens == "Some 60mm"


def test_focus_distance_from_canon_notes(tmp_path: Path) -> None:
    block = canon_note(exif_block({0x010F: "Canon", 0x0110: "Canon EOS"}, {0x920A: IFDRational(60)}), 30, 32)
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=block)
    exif = read_exif(tmp_path / "a.jpg")
    assert exif.focus_distance_mm == pytest.approx(310.0)
    assert exif.camera == "Canon EOS"


@given(st.floats(1, 1000), st.floats(1e-3, 1))
def test_magnification_inverts_the_distance(focal: float, m: float) -> None:
    # At m = 1 the distance is smallest, 4f, and its rounding decides whether there is an answer at all.
    found = magnification_at(focal, focal * (1 + m) ** 2 / m * (1 + 1e-12))
    assert found == pytest.approx(m, rel=1e-5)


def test_no_magnification_nearer_than_a_thin_lens_focuses() -> None:
    assert magnification_at(100.0, 399.0) is None
    assert magnification_at(100.0, 400.0) == pytest.approx(1.0)


TYPES = (0x0112, 0x010F, 0x0132, 0x829A, 0x8827, 0x9003, 0x9206, 0x920A, 0x927C, 0x9291, 0xA002, 0xA20E, 0xA210, 0xA405)
VALUES = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20),
    st.integers(0, 2**32 - 1),
    st.builds(IFDRational, st.integers(0, 2**32 - 1), st.integers(0, 3)),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
)


def check(exif: Exif) -> None:
    """Every number makes sense."""
    assert exif.orientation in range(1, 9)
    for name in ("focal_length_mm", "f_number", "focus_distance_mm", "exposure_s", "iso", "sensor_width_mm"):
        value = getattr(exif, name)
        assert value is None or (math.isfinite(value) and value > 0)
    assert exif.camera is None or exif.camera.isprintable()


@given(st.dictionaries(st.sampled_from(TYPES), VALUES), st.dictionaries(st.sampled_from(TYPES), VALUES))
@settings(max_examples=100, deadline=None)
def test_any_value_in_any_tag(tmp_path_factory: pytest.TempPathFactory, main: dict, tags: dict) -> None:
    path = tmp_path_factory.getbasetemp() / "any_value.jpg"
    exif = exif_block(main, tags)
    try:
        block = exif.tobytes()
    except Exception:  # what cannot be written cannot be read
        return
    Image.new("RGB", (6, 4)).save(path, exif=block)
    check(read_exif(path))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Arbitrary bytes, and a good block with arbitrary bytes changed."""
    block = bytearray(canon_note(exif_block(MAIN | {0x010F: "Canon"}, TAGS | {0x9206: 0}), 30, 32))
    if data.draw(st.booleans()):
        block = bytearray(b"Exif\0\0" + data.draw(st.sampled_from([b"", b"II*\0\x08\0\0\0"])))
        block += data.draw(st.binary(max_size=200))
    else:
        for at, value in data.draw(
            st.lists(st.tuples(st.integers(6, len(block) - 1), st.integers(0, 255)), min_size=1)
        ):
            block[at] = value
    suffix = data.draw(st.sampled_from(["jpg", "png"]))
    path = tmp_path_factory.getbasetemp() / f"any_bytes.{suffix}"
    Image.new("RGB", (6, 4)).save(path, exif=bytes(block), xmp=data.draw(st.binary(max_size=40)))
    check(read_exif(path))


@given(st.binary(max_size=60), st.sampled_from(["jpg", "png", "tif", "nef"]))
@settings(max_examples=60, deadline=None)
def test_no_picture_is_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"broken.{suffix}"
    path.write_bytes(content)
    with pytest.raises(MacroSplatError, match=f"broken.{suffix}") as caught:
        read_exif(path)
    assert "\n" not in str(caught.value)


def test_png_text_is_no_trap(tmp_path: Path) -> None:
    """Old programs kept EXIF as hexadecimal text."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n  12\nnot hexadecimal")
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png", pnginfo=info)
    assert read_exif(tmp_path / "a.png") == Exif()
