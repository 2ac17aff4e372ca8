"""Films as other programs read them, and nothing left behind where one fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.video import writers
from macro_splat.video.writers import check_output, write_gif, write_mp4, write_pngs, writer_for

SIZE = (48, 36)


def moving_bar(count: int) -> list[NDArray[np.uint8]]:
    frames = []
    for i in range(count):
        frame = np.full((SIZE[1], SIZE[0], 3), (30, 60, 90), dtype=np.uint8)
        frame[:, 4 * i : 4 * i + 4] = (200, 40, 40)
        frames.append(frame)
    return frames


@pytest.mark.slow
def test_mp4_is_h264_in_the_colours_that_were_sent(tmp_path: Path) -> None:
    frames = moving_bar(10)
    write_mp4(tmp_path / "film.mp4", frames, SIZE, 25)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    facts = next(reader)
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert (facts["size"], facts["fps"]) == (SIZE, 25)
    read = [np.frombuffer(data, np.uint8).reshape(*SIZE[::-1], 3) for data in reader]
    assert len(read) == 10
    ground = read[5][:, 30:]  # away from the bar, whose edges are at half resolution in colour
    np.testing.assert_allclose(ground.mean(axis=(0, 1)), (30, 60, 90), atol=3)
    content = (tmp_path / "film.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays while it loads


@pytest.mark.slow
def test_gif_repeats_and_has_every_frame(tmp_path: Path) -> None:
    frames = moving_bar(6)
    write_gif(tmp_path / "film.gif", frames, SIZE, 10)
    with Image.open(tmp_path / "film.gif") as gif:
        assert (gif.format, gif.size, gif.n_frames, gif.info["loop"]) == ("GIF", SIZE, 6, 0)
        assert gif.info["duration"] == 100
        gif.seek(3)
        shown = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(shown - frames[3]).mean() < 6


def test_pngs_are_what_was_sent(tmp_path: Path) -> None:
    frames = moving_bar(3)
    write_pngs(tmp_path / "film", frames, SIZE, 25)
    files = sorted((tmp_path / "film").iterdir())
    assert [file.name for file in files] == ["0000.png", "0001.png", "0002.png"]
    for file, frame in zip(files, frames, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), frame)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film"])
def test_a_film_that_breaks_off_leaves_the_old_one(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    write = writer_for(output, SIZE, 10)
    write(output, moving_bar(2), SIZE, 10)

    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = content()

    def breaking() -> Iterator[NDArray[np.uint8]]:
        yield from moving_bar(2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(output, breaking(), SIZE, 10)
    assert content() == before
    write(output, moving_bar(4), SIZE, 10)
    assert content() != before


@pytest.mark.slow
def test_what_ffmpeg_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MP4", ("-c:v", "no-such-encoder"))
    with pytest.raises(MacroSplatError, match=r"film\.mp4: ffmpeg could not write it \(.+"):
        write_mp4(tmp_path / "film.mp4", moving_bar(3), SIZE, 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_ffmpeg_there_is_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(MacroSplatError, match="pip install imageio-ffmpeg"):
        write_mp4(tmp_path / "film.mp4", moving_bar(1), SIZE, 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ffmpegs_settings_of_the_user_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in (f"file={tmp_path}/ffmpeg.log:level=32", None):
        if setting is None:
            monkeypatch.delenv("FFREPORT", raising=False)
        else:
            monkeypatch.setenv("FFREPORT", setting)
        write_mp4(tmp_path / "a.mp4", [np.zeros((16, 16, 3), np.uint8)] * 2, (16, 16), 25)
        assert os.environ.get("FFREPORT") == setting


@pytest.mark.slow
def test_a_film_that_ffmpeg_leaves_unfinished_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is killed for want of memory: then it leaves no message."""
    start, started = subprocess.Popen, []

    def noted(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]

    def killing() -> Iterator[NDArray[np.uint8]]:
        yield from moving_bar(3)
        started[-1].kill()  # the first may be a look for the program
        yield from moving_bar(9)

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(MacroSplatError, match=r"film\.mp4: ffmpeg could not write it \(it ended early\)"):
        write_mp4(tmp_path / "film.mp4", killing(), SIZE, 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "size", "fps", "message"),
    [
        ("film.mp4", (47, 36), 25, "H.264 needs even numbers"),
        ("film.avi", SIZE, 25, "a .mp4, a .gif or a folder"),
        ("film.png", SIZE, 25, "frames go to a folder"),
        ("film.gif", SIZE, 60, "at most 50 frames"),
        ("film.mp4", SIZE, 0, "--fps 0"),
        ("film.mp4", SIZE, float("nan"), "--fps nan"),
        ("film.mp4", (0, 36), 25, "1 or more"),
    ],
)
def test_what_a_format_cannot_have(name: str, size: tuple[int, int], fps: float, message: str) -> None:
    with pytest.raises(MacroSplatError, match=message):
        writer_for(Path(name), size, fps)


def test_what_is_there_is_not_lost(tmp_path: Path) -> None:
    film, folder, other = tmp_path / "film.mp4", tmp_path / "frames", tmp_path / "thesis"
    film.write_bytes(b"old")
    folder.mkdir()
    (folder / "0000.png").write_bytes(b"old")
    other.mkdir()
    (other / "thesis.tex").write_text("years")
    for output in (film, folder, other):
        with pytest.raises(MacroSplatError, match=r"exists already.*--overwrite"):
            check_output(output, overwrite=False)
    check_output(film, overwrite=True)
    check_output(folder, overwrite=True)
    with pytest.raises(MacroSplatError, match="holds more than pictures"):
        check_output(other, overwrite=True)
    with pytest.raises(MacroSplatError, match="cannot be made"):
        check_output(film / "below.mp4", overwrite=False)
