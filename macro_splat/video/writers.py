"""Frames to the disk: an H.264 film that browsers play, a GIF, or numbered PNGs; whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.compat import ffmpeg
from macro_splat.errors import MacroSplatError
from macro_splat.utils.atomic import sync, temporary_folder

Writer = Callable[[Path, Iterable[NDArray[np.uint8]], tuple[int, int], float], None]
"""Writes frames [H, W, 3] of a size (width, height) at so many a second to a path."""
CRF = "17"
"""Constant rate factor of H.264: nothing lost that shows."""
MP4 = ("-c:v", "libx264", "-preset", "medium", "-crf", CRF, "-movflags", "+faststart", "-f", "mp4")
# Most players take small pictures without these tags for another colour matrix.
COLOURS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
TO_YUV = ("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p")
GIF_PALETTE = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"


def writer_for(output: Path, size: tuple[int, int], fps: float) -> Writer:
    """The writer that the file's ending asks for; a name without one is a folder of PNGs.

    Raises:
        MacroSplatError: an ending that means nothing here; a size or rate that the format cannot have.
    """
    width, height = size
    if width < 1 or height < 1:
        raise MacroSplatError(f"{width} x {height} pixels: give a --width and a --height of 1 or more")
    if not 0 < fps <= 240:
        raise MacroSplatError(f"--fps {fps:g}: give a number above 0 and up to 240")
    suffix = output.suffix.lower()
    if suffix == ".mp4":
        if width % 2 or height % 2:
            raise MacroSplatError(
                f"{width} x {height} pixels: H.264 needs even numbers; give an even --width and --height"
            )
        return write_mp4
    if suffix == ".gif":
        if fps > 50:
            raise MacroSplatError(f"--fps {fps:g}: a GIF has at most 50 frames a second")
        return write_gif
    if suffix in ("", ".png"):
        if suffix:
            raise MacroSplatError(f"{output}: frames go to a folder; leave the .png out")
        return write_pngs
    raise MacroSplatError(f"{output}: {suffix} is not written here; give a .mp4, a .gif or a folder for PNGs")


def write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float) -> None:
    """H.264, yuv420p, its index first: plays in every browser while it loads."""
    _encode(path, frames, size, fps, (*TO_YUV, *MP4, *COLOURS))


def write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float) -> None:
    """Endless, with one palette for all frames."""
    _encode(path, frames, size, fps, ("-filter_complex", GIF_PALETTE, "-loop", "0", "-f", "gif"))


def write_pngs(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float) -> None:
    """`0000.png`, `0001.png`, ... in a folder."""
    with whole_folder(path) as folder:
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"{i:04d}.png")


def check_output(output: Path, overwrite: bool) -> None:
    """See that something can be written there before any work is done.

    Raises:
        MacroSplatError: it exists already and is not to be replaced, or its folder cannot be made.
    """
    if output.exists() and not overwrite:
        raise MacroSplatError(f"{output}: exists already; give another --output, or --overwrite")
    if output.is_dir() and output.suffix:
        raise MacroSplatError(f"{output}: is a folder; give another --output")
    if output.is_file() and not output.suffix:
        raise MacroSplatError(f"{output}: is a file, not a folder; give another --output")
    if output.is_dir() and any(not _is_a_picture(path) for path in output.iterdir()):
        raise MacroSplatError(f"{output}: holds more than pictures, which would be lost; give another --output")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MacroSplatError(f"{output.parent}: cannot be made ({error.strerror}); give another --output") from error


def _is_a_picture(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".png" or path.name == "stack.json")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of ``path`` when the block ends well, and vanishes if it does not."""
    with temporary_folder(path) as temporary:
        folder = temporary / "new"
        folder.mkdir()
        yield folder
        for file in folder.iterdir():
            sync(file)
        if path.exists():
            path.rename(temporary / "old")
        folder.rename(path)


def _encode(
    path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float, output: tuple[str, ...]
) -> None:
    """Send the frames to ffmpeg.

    Raises:
        MacroSplatError: there is no ffmpeg, or it fails.
    """
    ffmpeg.put_on_path()
    program = shutil.which("ffmpeg")
    if program is None:
        raise MacroSplatError("no ffmpeg on this machine, which writes videos: pip install imageio-ffmpeg")
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "pipe:")
    with temporary_folder(path) as folder:
        unfinished = folder / path.name
        command = [program, "-hide_banner", "-loglevel", "error", *raw, *output, str(unfinished.resolve())]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
            try:
                _send(cast(IO[bytes], process.stdin), frames)
            except BaseException:
                process.kill()
                process.wait()
                raise
            code = process.wait()
            if code:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip().splitlines()
                raise MacroSplatError(
                    f"{path}: ffmpeg could not write it ({said[-1] if said else f'exit code {code}'})"
                )
        sync(unfinished)
        os.replace(unfinished, path)


def _send(pipe: IO[bytes], frames: Iterable[NDArray[np.uint8]]) -> None:
    try:
        for frame in frames:
            pipe.write(np.ascontiguousarray(frame).tobytes())
        pipe.close()
    except BrokenPipeError:  # ffmpeg has ended, and says why
        pass
