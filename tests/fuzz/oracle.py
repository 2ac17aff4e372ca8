"""What a parser may do with a file: return, or raise MacroSplatError with one printable line, soon, in little memory.

An audit hook of Python's sees what else it does: start a program, open a connection, write a file.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from macro_splat.errors import MacroSplatError

MAX_SECONDS = 10.0
"""Processor time of one input; parsers take milliseconds."""
MAX_MEGABYTES = 400
"""By which the peak memory of the process may grow during one input: a few times the largest valid seed."""
FORBIDDEN = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind"}
FORBIDDEN |= {"shutil.rmtree", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "ctypes.dlopen"}

_watched: list[str] = []
_watching = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event in FORBIDDEN or writes:
        _watched.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)


def peak_megabytes() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def judge(parse: Callable[[Path], object], path: Path, data: bytes, max_megabytes: float = MAX_MEGABYTES) -> bool:
    """Write the data to the file and parse it.

    Args:
        max_megabytes: by which the peak memory of the process may grow.

    Returns:
        Whether the parser accepted it.

    Raises:
        AssertionError: the complaint is no printable line; it took too long, too much memory, or did something else.
        Exception: whatever else the parser let through.
    """
    global _watching
    path.write_bytes(data)
    begun, memory, complaint = time.process_time(), peak_megabytes(), ""
    _watching = True
    try:
        parse(path)
    except MacroSplatError as error:
        complaint = str(error)
        refused = True
    else:
        refused = False
    finally:
        _watching = False
    assert complaint.isprintable(), f"not printable: {complaint!r:.300}"
    assert bool(complaint) == refused
    assert len(complaint) < 1000, f"{len(complaint)} characters"
    watched, _watched[:] = list(_watched), []
    assert not watched, watched
    seconds, grown = time.process_time() - begun, peak_megabytes() - memory
    assert seconds < MAX_SECONDS, f"{seconds:.1f} s"
    assert grown < max_megabytes, f"{grown:.0f} MB"
    return not refused
