"""Which checkpoint of a run is loaded: the newest that is whole; one that is damaged is told and passed over.

`torch.load` does not notice a damaged tensor: the reader that torch is built with leaves the CRC-32 that its own
writer put on every record unchecked (a flipped bit comes back as another number, without a word). Python's `zipfile`
checks them. That is enough: a single burst of up to 32 bits is always found, anything else but once in 2^32; what no
CRC covers is the table of contents, whose damage makes a record unreadable, and padding that nobody reads. A CRC is no
signature: it tells accidents, not intent, and torch's `weights_only` stays the guard against code.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from macro_splat.errors import MacroSplatError
from macro_splat.utils.console import report
from macro_splat.utils.messages import reason

_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, LookupError, zipfile.BadZipFile, zlib.error, struct.error)
"""What Python's and torch's readers raise at a damaged archive."""
_REMEDY = "restore it, or train again"


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """The checkpoints of a run by step, the newest first; other files do not count."""
    files = {path.name: path for path in folder.glob("step-*.ckpt")}
    found = {int(match[1]): files[name] for name in files if (match := re.fullmatch(r"step-(\d{9,})\.ckpt", name))}
    return dict(sorted(found.items(), reverse=True))


def damage(path: Path) -> str | None:
    """What is wrong with the file as an archive of torch's, in a few words, or None.

    Reads all of it once (about a second for a gigabyte). What the records say is not judged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
                return "compressed, which torch never writes"
            record = archive.testzip()
        if record is not None:
            return f"its record {Path(record).name} is damaged"
        torch._C.PyTorchFileReader(str(path))  # stricter than zipfile about the table of contents
    except _DAMAGE as error:
        return reason(error)
    return None


def check_whole(path: Path) -> None:
    """
    Raises:
        MacroSplatError: the checkpoint is not there or damaged.
    """
    if not path.is_file():
        raise MacroSplatError(f"{path}: no such checkpoint; give the path of a step-*.ckpt")
    reason = damage(path)
    if reason is not None:
        raise MacroSplatError(f"{path} is broken ({reason}); {_REMEDY}")


def newest_whole(folder: Path, step: int | None = None) -> int:
    """The step of the checkpoint to load; a warning names those that are newer but broken.

    Args:
        folder: `nerfstudio_models` of a run. step: that one and no other.

    Raises:
        MacroSplatError: there is none, or none that is whole.
    """
    found = checkpoints_in(folder)
    if step is not None:
        check_whole(found.get(step, folder / f"step-{step:09d}.ckpt"))
        return step
    if not found:
        raise MacroSplatError(f"{folder}: there is no checkpoint; train again, or longer: one is saved at the end")
    broken: list[str] = []
    for candidate, path in found.items():
        reason = damage(path)
        if reason is None:
            for line in broken:
                report(f"{line}; {path.name}, the one before it, is used", style="bold yellow")
            return candidate
        broken.append(f"{path} is broken ({reason})")
    others = "" if len(broken) == 1 else f", and so are the {len(broken) - 1} before it"
    raise MacroSplatError(f"{broken[0]}{others}; {_REMEDY}")


@contextmanager
def plain_only(path: Path) -> Iterator[None]:
    """Around the loading of a checkpoint: what torch refuses to unpickle is told in our words.

    Raises:
        MacroSplatError: the file asks for more than tensors, numbers and texts, or is broken in a way that looks so.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        # Without torch's own words: they advise to let the code in.
        raise MacroSplatError(f"{path} is broken, or holds code, which is not run; {_REMEDY}") from error
