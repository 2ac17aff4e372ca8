"""Files that promise too much, lead elsewhere, or hold what is to be run: refused in one line, at once, and not run."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from macro_splat.capture import read, read_capture
from macro_splat.capture.files import broken_picture, read_points
from macro_splat.compat.one_line_errors import one_line
from macro_splat.data.dataparser import MacroDataParserConfig
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import read_exif
from macro_splat.photographs.load import find_photographs, open_photograph
from macro_splat.process.rig.format import read_rig
from macro_splat.training.config_file import read_config
from macro_splat.utils import safe_yaml
from macro_splat.utils.messages import brief
from tests.captures import edit_transforms, write_capture


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "capture", views=2, test_views=0, width=16, height=12, points=12)


def complaint(function, *arguments) -> str:
    with pytest.raises(MacroSplatError) as caught:
        function(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


# --- what leads out of the capture --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["file_path", "mask_path", "sharp_file_path", "depth_file_path"])
@pytest.mark.parametrize("path", ["../secret.png", "images/../../secret.png", "{outside}", "../capture2/a.png"])
def test_no_path_leads_out(capture: Path, key: str, path: str) -> None:
    outside = capture.parent / "secret.png"
    Image.new("RGB", (16, 12)).save(outside)
    edit_transforms(capture, lambda t: t["frames"][0].update({key: path.format(outside=outside)}))
    assert "leads out of" in complaint(read_capture, capture)


def test_a_link_to_text_shows_none_of_it(capture: Path) -> None:
    """A link laid by the owner of a folder is followed, but only pictures are read through it."""
    secret = capture.parent / "passwd"
    secret.write_text("root:x:0:0:TOPSECRET\n" * 100)
    for name in ("images/000.png", "sparse_pc.ply", "depth/000.npy", "transforms.json"):
        path = capture / name
        original = path.read_bytes()
        path.unlink()
        path.symlink_to(secret)
        message = complaint(read_capture, capture)
        assert Path(name).name in message
        assert "TOPSECRET" not in message
        path.unlink()
        path.write_bytes(original)
    assert read_capture(capture).frames


@pytest.mark.parametrize("target", ["/dev/zero", "fifo"])
def test_a_link_to_what_never_ends_is_not_opened(capture: Path, target: str) -> None:
    if target == "fifo":
        os.mkfifo(capture / "fifo")
    path = capture / "images/000.png"
    path.unlink()
    path.symlink_to(target if target.startswith("/") else capture / target)
    assert "do not exist" in complaint(read_capture, capture)


def test_a_folder_that_holds_itself(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert "a.png" in {photograph.name for photograph in find_photographs(tmp_path)}


# --- what promises too much ---------------------------------------------------------------------------------------


def test_a_huge_json_is_not_read(capture: Path) -> None:
    with (capture / "transforms.json").open("r+b") as file:
        file.truncate(1 << 36)  # a hole: 64 GiB that take no room
    assert "68,719,476,736 bytes, more than" in complaint(read_capture, capture)


def write_frames(capture: Path, count: int, indent: int | None = None) -> Path:
    """A file in which the first frame stands so many times, with every key that a frame may have."""
    path = capture / "transforms.json"
    transforms = json.loads(path.read_text())
    frames, shared = transforms.pop("frames"), {k: v for k, v in transforms.items() if isinstance(v, int | float)}
    frame = frames[0] | shared | dict.fromkeys(read.DISTORTION_KEYS, -0.0123456789012345)
    frame |= {"stack_id": "000", "stack_index": 11, "stack_motion": "ring", "mask_path": "masks/000.png"}
    text = json.dumps(transforms | {"frames": [frame, frame]}, indent=indent)
    first, last = text.index("{", text.index('"frames"')), text.rindex("{", 0, text.rindex('"file_path"'))
    path.write_text(text[:first] + text[first:last] * (count - 1) + text[last:])
    return path


@pytest.mark.slow
def test_thousands_of_frames_of_one_photograph(capture: Path) -> None:
    edit_transforms(capture, lambda t: t.update(frames=t["frames"][:1] * 3000))
    assert "stands in more than one frame" in complaint(read_capture, capture)


@pytest.mark.slow
def test_twenty_thousand_frames_however_they_are_written(capture: Path) -> None:
    path = write_frames(capture, read.MAX_FRAMES, indent=4)
    assert len(read._frame_objects(path, read._load_object(path))) == read.MAX_FRAMES == 20_000
    write_frames(capture, read.MAX_FRAMES + 1)
    assert "20,001 frames, more than 20,000; split the capture" in complaint(read_capture, capture)


def test_a_hundred_thousand_frames(capture: Path) -> None:
    assert "more than the 33,554,432 that 20,000 frames need" in complaint(read_capture, write_frames(capture, 100_000))
    frame = '{"file_path": "images/000.png", "transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}'
    (capture / "transforms.json").write_text('{"frames": [' + ",".join([frame] * 100_000) + "]}")
    assert "600,002 lists and objects, more than the 400,000 that 20,000" in complaint(read_capture, capture)


PEAK = """
import re, sys
from macro_splat.capture import read_capture

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

before = peak()
try:
    read_capture(sys.argv[1])
except Exception as error:
    print(peak() - before, type(error).__name__, error)
"""
"""Not `resource`'s peak, which counts what the parent took before."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is Linux's to tell")
@pytest.mark.parametrize(
    ("head", "content", "complaint"),
    [
        ("", "{},", "lists and objects, more than the 400,000"),
        ("", 900 * "[" + 900 * "]" + ",", "lists and objects, more than the 400,000"),
        ('"\U0001f98b", ' + 440 * (900 * "[" + 900 * "]" + ","), '"ab",', "frames, more than 20,000"),
        ("", "0,", "frames, more than 20,000"),
    ],
    ids=["objects", "lists", "texts", "numbers"],
)
def test_a_file_full_of_the_smallest_values(capture: Path, head: str, content: str, complaint: str) -> None:
    """As large as it may be, and none of them takes a gigabyte."""
    head, tail = f'{{"frames": [{head}', "0]}"
    room = read.MAX_JSON_BYTES - len(head.encode()) - len(tail)
    (capture / "transforms.json").write_text(head + content * (room // len(content)) + tail, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", PEAK, str(capture)], capture_output=True, text=True, check=False)
    kilobytes, kind, message = done.stdout.split(" ", 2)
    assert kind == "MacroSplatError"
    assert complaint in message
    assert 20_000 < int(kilobytes) < 1_000_000


def bomb(width: int, height: int) -> bytes:
    """A PNG file whose head promises so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def test_a_decompression_bomb(capture: Path) -> None:
    path = capture / "images/000.png"
    path.write_bytes(bomb(60_000, 60_000))
    for function, argument in ((read_capture, capture), (read_exif, path)):
        assert "has more than 178,956,970 pixels; reduce it" in complaint(function, argument)
    assert "has more than" in complaint(open_photograph, path, "000.png")
    assert Image.MAX_IMAGE_PIXELS == 89_478_485, "somebody has lifted Pillow's limit"


def test_other_broken_pictures_are_told_as_ever() -> None:
    assert "broken or truncated (x)" in str(broken_picture(Path("a.png"), ValueError("x")))


PLY = "ply\nformat {form} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
PLY += "property uchar red\nproperty uchar green\nproperty uchar blue\n{more}end_header\n"


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("count", [10**12, 10**30, -1, 100])
def test_a_cloud_that_promises_too_much(tmp_path: Path, form: str, count: int) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(PLY.format(form=form, count=count, more="").encode() + bytes(200))
    assert "a.ply is no readable PLY point cloud" in complaint(read_points, path)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
def test_faces_behind_the_points_are_not_read(tmp_path: Path, form: str) -> None:
    """A row of a list takes a hundred times the memory that it takes in the file, and plyfile reads them all."""
    path = tmp_path / "a.ply"
    more = "element face 1000000000000\nproperty list uchar int vertex_indices\n"
    body = b"1 2 3 4 5 6\n" if form == "ascii" else struct.pack("<fffBBB", 1, 2, 3, 4, 5, 6)
    path.write_bytes(PLY.format(form=form, count=1, more=more).encode() + body)
    points = read_points(path)
    assert points is not None
    assert points.xyz.tolist() == [[1, 2, 3]]
    assert points.rgb.tolist() == [[4, 5, 6]]


def test_points_at_the_end_of_the_world_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    rows = [(1, 2, 3), (float("nan"), 0, 0), (0, float("inf"), 0), (1e30, 0, 0)]
    body = b"".join(struct.pack("<fffBBB", *row, 4, 5, 6) for row in rows)
    path.write_bytes(PLY.format(form="binary_little_endian", count=4, more="").encode() + body)
    points = read_points(path)
    assert points is not None
    assert points.xyz.tolist() == [[1, 2, 3]]


def laughs(merge: bool) -> str:
    """A few lines of YAML that stand for 10^20 values."""
    sign = "<<: [{}]" if merge else "x: [{}]"
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{{sign.format(', '.join([f'*a{i - 1}'] * 10))}}}" for i in range(1, 21)]
    return "\n".join(lines)


@pytest.mark.parametrize("merge", [False, True])
def test_a_billion_laughs(tmp_path: Path, merge: bool) -> None:
    (tmp_path / "rig.yaml").write_text(laughs(merge))
    assert "rig.yaml" in complaint(read_rig, tmp_path / "rig.yaml")
    (tmp_path / "rig.yaml").write_text(laughs(merge) + "\nlens: *a20\n")
    assert "rig.yaml" in complaint(read_rig, tmp_path / "rig.yaml")
    text = "!!python/object:macro_splat.training.trainer.MacroSplatTrainerConfig\nmethod_name: macro-splat\n"
    (tmp_path / "config.yml").write_text(text + laughs(merge))
    assert "config.yml" in complaint(read_config, tmp_path / "config.yml")


def test_a_value_is_never_written_out_in_full() -> None:
    value: list = ["x"]
    for _ in range(40):
        value = [value] * 10
    for text in (brief(value), brief({"a": value}), brief("y" * 10_000_000), brief("\x1b[2J\n\u202e")):
        assert len(text) <= 80
        assert text.isprintable()


def test_a_huge_yaml_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in (("rig.yaml", read_rig), ("config.yml", read_config)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 36)
        assert "68,719,476,736 bytes, more than" in complaint(function, tmp_path / name)
    assert safe_yaml.MAX_BYTES < read.MAX_JSON_BYTES


# --- what is to be run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir ['{marker}']", "!!python/name:os.system ''"])
def test_a_rig_constructs_nothing(tmp_path: Path, tag: str) -> None:
    (tmp_path / "rig.yaml").write_text(f"lens: {tag.format(marker=tmp_path / 'marker')}\n")
    assert "no valid YAML" in complaint(read_rig, tmp_path / "rig.yaml")
    assert not (tmp_path / "marker").exists()


# --- what steers the terminal -------------------------------------------------------------------------------------


def test_names_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "[/red]\x1b[2J[bold]\u202e.png"
    assert one_line(MacroSplatError(f"{name}: bad\nvalue")) == "[/red]\\x1b[2J[bold]\\u202e.png: bad value"
    capture = write_capture(tmp_path / name, views=2, test_views=0, width=16, height=12, points=12, split_lists=False)
    for folder in ("images", "sharp"):
        (capture / folder / "001.png").write_bytes((capture / folder / "000.png").read_bytes())  # worth a warning
    parser = MacroDataParserConfig(data=capture).setup()
    parser.get_dataparser_outputs("train")
    parser.get_dataparser_outputs("val")
    written = "".join(capsys.readouterr().out.split())
    assert "\x1b[2J" not in written
    assert "[/red]\\x1b[2J[bold]" in written
    assert "thesamephotograph" in written


@pytest.mark.slow
def test_the_one_line_of_a_command_is_printable(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[2Jx"
    folder.mkdir()
    command = [str(Path(sys.executable).parent / "macro-splat"), "process", str(folder), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "\x1b[2J" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "\\x1b[2Jx holds no photographs" in done.stderr
