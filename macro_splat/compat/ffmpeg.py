"""`ns-render` writes videos through a program `ffmpeg` that it looks for on the PATH; many machines have none.

The wheel `imageio-ffmpeg` carries one under another name. Where the PATH has no `ffmpeg`, a folder holding a link to
that one under the right name is put at the end of the PATH of this process, which serves mediapy, nerfstudio's own
check and every process started from here, without importing mediapy (a second) in each command.

Can go when mediapy falls back to `imageio-ffmpeg` and nerfstudio asks mediapy instead of the PATH.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import imageio_ffmpeg


def put_on_path() -> None:
    """Make `ffmpeg` findable on this process's PATH if it is not, and if `imageio-ffmpeg` carries one.

    Where no link can be made, the PATH stays as it is: whoever needs ffmpeg says itself that there is none.
    """
    carried = carried_ffmpeg()
    if shutil.which("ffmpeg") is not None or carried is None:
        return
    folder = _linked_in_cache(carried) or _linked_in_temporary_folder(carried)
    if folder is not None:
        os.environ["PATH"] = os.pathsep.join([p for p in (os.environ.get("PATH"), str(folder)) if p])


def carried_ffmpeg() -> Path | None:
    """The program that the wheel `imageio-ffmpeg` carries, or None where it carries none for this platform."""
    # `get_ffmpeg_exe` would run the program to see whether it works: not for every command's start.
    folder = Path(imageio_ffmpeg.__file__).parent / "binaries"
    return next((path for path in sorted(folder.glob("ffmpeg*")) if os.access(path, os.X_OK)), None)


def _linked_in_cache(carried: Path) -> Path | None:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "macro-splat" / "bin"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _link(folder, carried)
    except (OSError, RuntimeError):  # no home, a read-only one, or a file system without links
        return None


def _linked_in_temporary_folder(carried: Path) -> Path | None:
    # One of its own for each process: at a fixed place in /tmp another user could plant a program.
    folder = Path(tempfile.mkdtemp(prefix="macro-splat-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        return _link(folder, carried)
    except OSError:
        return None


def _link(folder: Path, carried: Path) -> Path:
    """Put a link named `ffmpeg` into the folder, unless the right one is there, and return the folder."""
    link = folder / f"ffmpeg{'.exe' if os.name == 'nt' else ''}"
    if not (link.exists() and link.samefile(carried)):
        # Renamed into place, so that a command starting at the same moment never finds it missing.
        fresh = folder / f"{link.name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(carried)
        fresh.replace(link)
    return folder
