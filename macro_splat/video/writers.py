"""Frames to the disk: an H.264 film that browsers play, a GIF, or numbered PNGs; whole or not at all."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.utils.atomic import atomic_folder, sync, temporary_folder

Writer = Callable[[Path, Iterable[NDArray[np.uint8]], tuple[int, int], float], None]
"""Writes frames [H, W, 3] of a size (width, height) at so many a second to a path."""
Options = tuple[str, ...]
CRF = "17"
"""Constant rate factor of H.264: nothing lost that shows."""
MP4 = ("-preset", "medium", "-crf", CRF, "-movflags", "+faststart", "-f", "mp4")
# Most players take small pictures without these tags for another colour matrix.
COLOURS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
TO_YUV = ("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p")
GIF_PALETTE = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"

# It warns of pipes that broke and of films without frames, in lines beside our own.
logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)


def writer_for(output: Path, size: tuple[int, int], fps: float) -> Writer:
    """Return the writer that the file's ending asks for; a name without one is a folder of PNGs.

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
    _encode(path, frames, size, fps, ("libx264", "yuv420p", (*TO_YUV, *MP4, *COLOURS)))


def write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float) -> None:
    """Endless, with one palette for all frames."""
    _encode(path, frames, size, fps, ("gif", "pal8", ("-filter_complex", GIF_PALETTE, "-loop", "0", "-f", "gif")))


def write_pngs(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float) -> None:
    """`0000.png`, `0001.png`, ... in a folder."""
    with atomic_folder(path, replace=True) as folder:
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


def _encode(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    size: tuple[int, int],
    fps: float,
    format_: tuple[str, str, Options],
) -> None:
    """Send the frames to ffmpeg.

    Args:
        format_: codec, pixel format, and further options of ffmpeg.

    Raises:
        MacroSplatError: there is no ffmpeg, or it fails.
    """
    codec, pixels, options = format_
    failed, sent = False, 0
    # Its messages go to another disk than the film, which may be full.
    with temporary_folder(path) as folder, tempfile.TemporaryDirectory() as messages_folder:
        unfinished, messages = folder / path.name, Path(messages_folder) / "ffmpeg.log"
        encoder = imageio_ffmpeg.write_frames(
            str(unfinished.resolve()),
            size,
            fps=fps,
            codec=codec,
            pix_fmt_out=pixels,
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="quiet",
            output_params=list(options),
        )
        with closing(encoder):
            _start(encoder, messages)
            for frame in frames:
                try:
                    encoder.send(np.ascontiguousarray(frame))
                except OSError:  # ffmpeg has ended
                    failed = True
                    break
                sent += 1
        # The library does not tell how ffmpeg ended: see whether all frames have arrived.
        if failed or _count_frames(unfinished) != sent:
            reported = messages.read_text(errors="replace").strip().splitlines()[2:] if messages.exists() else []
            raise MacroSplatError(
                f"{path}: ffmpeg could not write it ({reported[-1] if reported else 'it ended early'})"
            )
        sync(unfinished)
        os.replace(unfinished, path)


def _start(encoder: Generator[None, Any, None], messages: Path) -> None:
    """Start ffmpeg, which writes the command and its errors into a file.

    Raises:
        MacroSplatError: there is no ffmpeg.
    """
    name = re.sub(r"([\\':])", r"\\\1", str(messages).replace("%", "%%"))
    users = os.environ.get("FFREPORT")
    os.environ["FFREPORT"] = f"file={name}:level=16"  # errors and worse
    try:
        encoder.send(None)
    except (OSError, RuntimeError) as error:
        raise MacroSplatError("no ffmpeg on this machine, which writes videos: pip install imageio-ffmpeg") from error
    finally:
        del os.environ["FFREPORT"]
        if users is not None:
            os.environ["FFREPORT"] = users


def _count_frames(film: Path) -> int:
    """Return how many frames a film has; 0 if it cannot be read."""
    try:
        return imageio_ffmpeg.count_frames_and_secs(str(film))[0]
    except RuntimeError:
        return 0
