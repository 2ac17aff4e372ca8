"""Photographs of whatever name a disk may hold: a capture, or one line that says what is wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process.config import ProcessConfig
from macro_splat.process.run import process

SUFFIXES = (".png", ".PNG", ".jpg", ".JPEG", ".tif", ".webp", ".tar.png", ".jpg.png", ".png.jpg", ". png", "", ".heic")
SIGNS = [" ", "  ", "#", "%", "%20", "?", "&", "'", '"', "\\", "..", ".", "-", "~", "$HOME", "*", ":", ";", "<b>", "{}"]
LETTERS = ["\n", "\t", "\x1b[31m", "\u202e", "é", "e\u0301", "ß", "日本", "🐞", "\udcff", "x" * 120, "9" * 30]
WORDS = ["pose1_slice2", "_x_1_y_2_z_3", "IMG_0001", "a", "A", "_mask", "masks", "transforms.json", "process.json"]
PIECES = st.sampled_from([*SIGNS, *LETTERS, *WORDS])
STEMS = st.lists(PIECES, min_size=1, max_size=4).map("".join) | st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12
)
FOLDERS = STEMS.filter(lambda name: name not in (".", ".."))
NAMES = st.tuples(st.one_of(st.just(()), st.tuples(FOLDERS)), STEMS, st.sampled_from(SUFFIXES)).map(
    lambda parts: "/".join([*parts[0], parts[1] + parts[2]])
)


def write_photographs(folder: Path, names: list[str]) -> int:
    """As many of them as the file system takes."""
    written = 0
    for i, name in enumerate(names):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                picture = Image.new("RGB", (16, 12), (90 + i, 10 * i, 50))
                picture.save(file, {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF"}.get(path.suffix.lower(), "PNG"))
        except (OSError, ValueError):
            continue
        written += 1
    return written


def processed(names: list[str], by: str) -> str | None:
    """The complaint, or None where a capture came out that reads."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "photographs", Path(temporary) / "out"
        folder.mkdir()
        written = write_photographs(folder, names)
        found = process_or_complaint(ProcessConfig(folder, out, stack_by=by, poses="none", threads=1))  # type: ignore[arg-type]
        if isinstance(found, str):
            return found
        assert 0 < len(found["photographs"]) <= written
        stacked = [name for stack in found["stacks"] for name in stack["photographs"]]
        assert sorted(stacked) == sorted(photograph["name"] for photograph in found["photographs"])
        rig = Path(temporary) / "rig.yaml"
        steps = len(found["stacks"])
        rig.write_text(
            "lens: {focal_length_mm: 50, focus_distance_mm: 150, sensor_width_mm: 36}\n"
            f"turntable: {{direction: ccw, steps: {steps}}}\nstack: {{motion: rail, step_mm: 1}}\n"
        )
        made = process_or_complaint(ProcessConfig(folder, out, stack_by=by, rig=rig, threads=1))  # type: ignore[arg-type]
        if isinstance(made, str):
            return made
        assert len(read_capture(out).frames) == len(found["photographs"])
        images = [photograph["image"] for photograph in made["photographs"]]
        assert len(set(images)) == len(images)
        assert all((out / image).is_file() for image in images)
        assert sorted(path.name for path in Path(temporary).iterdir()) == ["out", "photographs", "rig.yaml"]
    return None


def process_or_complaint(config: ProcessConfig) -> dict | str:
    complaint = ""
    try:
        return process(config)
    except MacroSplatError as error:
        complaint = str(error)
    assert len(complaint.splitlines()) == 1
    return complaint


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(NAMES, min_size=1, max_size=5, unique=True), by=st.sampled_from(["auto", "folder", "name", "none"])
)
def test_any_names_end_in_a_capture_or_a_clear_line(names: list[str], by: str) -> None:
    processed(names, by)


@pytest.mark.parametrize(
    "names",
    [
        ["a b.png", " c.png", "d .png"],
        ["a#1.png", "a%201.png", "100%.png", "?.png"],
        ["é.png", "e\u0301.png", "日本語.png", "🐞.jpg"],
        ["a.b.c.png", "a..png", "a.tar.png"],
        ["a'.png", 'b".png', "c<b>.png", "d&amp;.png"],
        ["a\nb.png", "\x1b[31mred.png", "\u202egnp.png"],
        ["-rf.png", "~.png", "$HOME.png", "*.png"],
        ["x" * 200 + ".png", "y" * 200 + ".jpg"],
        [os.fsdecode(b"\xff\xfe.png"), "a.png"],
    ],
)
def test_names_that_people_and_programs_give(names: list[str]) -> None:
    assert processed(names, "none") is None


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "x" * 255 + "/a.png", "ß" * 125 + ".png"])
def test_a_name_as_long_as_the_disk_allows_is_told(name: str) -> None:
    complaint = processed([name], "folder")
    assert complaint is not None
    assert "rename it to 239 or fewer" in complaint
    assert len(complaint) < 300
