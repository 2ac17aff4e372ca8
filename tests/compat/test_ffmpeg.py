"""Videos can be written on a machine without ffmpeg."""

import os
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import mediapy
import numpy as np
import pytest

from macro_splat.compat import ffmpeg


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without ffmpeg and an empty cache; returns the cache."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert shutil.which("ffmpeg") is None
    return tmp_path / "cache"


@pytest.mark.slow
def test_mediapy_writes_a_video_without_an_installed_ffmpeg(bare_path: Path, tmp_path: Path) -> None:
    ffmpeg.put_on_path()
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    frames = [np.broadcast_to(np.roll(ramp, 9 * i)[None, :, None], (32, 64, 3)) for i in range(5)]
    with mediapy.VideoWriter(tmp_path / "video.mp4", (32, 64), fps=5) as writer:
        for frame in frames:
            writer.add_image(frame)
    meta, *read = imageio_ffmpeg.read_frames(tmp_path / "video.mp4")
    assert (meta["codec"], meta["size"], meta["fps"]) == ("h264", (64, 32), 5)
    assert len(read) == 5
    for frame, data in zip(frames, read, strict=True):
        assert np.abs(np.frombuffer(data, np.uint8).reshape(32, 64, 3) - frame.astype(float)).mean() < 8


@pytest.mark.slow
def test_programs_started_from_here_find_it(bare_path: Path) -> None:
    ffmpeg.put_on_path()
    done = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ffmpeg version")


def test_the_link_is_made_once_and_follows_the_package(bare_path: Path) -> None:
    ffmpeg.put_on_path()
    path = os.environ["PATH"]
    ffmpeg.put_on_path()
    assert os.environ["PATH"] == path
    link = bare_path / "macro-splat" / "bin" / "ffmpeg"
    link.unlink()
    link.symlink_to("/nowhere/of/an/older/environment")
    ffmpeg.put_on_path()
    assert link.samefile(ffmpeg.carried_ffmpeg())
    assert [entry.name for entry in link.parent.iterdir()] == ["ffmpeg"]


def test_an_installed_ffmpeg_is_preferred(bare_path: Path, tmp_path: Path) -> None:
    installed = tmp_path / "empty" / "ffmpeg"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    ffmpeg.put_on_path()
    assert shutil.which("ffmpeg") == str(installed)
    assert not bare_path.exists()


def test_a_cache_that_cannot_be_written(bare_path: Path) -> None:
    bare_path.write_text("a file where the cache folder should be: no folder can be made under it")
    ffmpeg.put_on_path()
    found = shutil.which("ffmpeg")
    assert found is not None
    assert Path(found).samefile(ffmpeg.carried_ffmpeg())


def test_no_ffmpeg_anywhere_leaves_the_path_alone(bare_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "carried_ffmpeg", lambda: None)
    path = os.environ["PATH"]
    ffmpeg.put_on_path()
    assert os.environ["PATH"] == path
