"""Compiling kernels with Numba, once per machine: where compiled code is kept, and when it is out of date."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache

from macro_splat.errors import MacroSplatError

CACHE_VARIABLE = "MACRO_SPLAT_CACHE_DIR"
_KEPT_FOLDERS = 8  # compiled states kept side by side, a few MB each

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def device(function: Callable) -> Any:
    """Compile a function that kernels call; it becomes part of each of them."""
    return numba.njit(forceinline=True, **_OPTIONS)(function)


def kernel(function: Callable) -> Any:
    """Compile a function to be called from Python by `run`; compiled at its first call, or read from the cache.

    The code is taken for out of date when any Python file in the function's folder or in this one has changed.
    """
    dispatcher = numba.njit(**_OPTIONS)(function)
    # Numba's own folder for compiled code is process-wide and belongs to the user; ours is set for this one function.
    dispatcher._cache = _KernelCache(function)
    return dispatcher


class _KernelCacheLocator:
    """Tells Numba's cache where the code of one function lies and what it was made from."""

    def __init__(self, function: Callable) -> None:
        self._py_file = inspect.getfile(function)
        self._name = function.__qualname__
        self._folder = str(cache_folder(str(Path(self._py_file).parent)))

    def ensure_cache_path(self) -> None:
        os.makedirs(self._folder, exist_ok=True)

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> str:
        return os.path.basename(self._folder)

    def get_disambiguator(self) -> str:
        return hashlib.sha256(self._name.encode()).hexdigest()[:8]

    @classmethod
    def from_function(cls, function: Callable, py_file: str) -> _KernelCacheLocator:
        return cls(function)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes: Any = (_KernelCacheLocator,)


class _KernelCache(FunctionCache):
    _impl_class = _KernelCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            _tell_once()
        return found


_told = threading.Event()


def _tell_once() -> None:
    if not _told.is_set():
        _told.set()
        print("Compiling the CPU kernels, once: 10 to 40 s …", file=sys.stderr, flush=True)


@cache
def cache_folder(source_folder: str) -> Path:
    """Return the folder for code compiled from `source_folder` on this machine with this Numba.

    It lies in the first of these that can be written: $MACRO_SPLAT_CACHE_DIR; macro-splat in the user's cache folder;
    a folder of the user's own in the folder for temporary files. Its name is a digest of all that the code depends
    on, so processes that share it only ever write the same content.

    Raises:
        MacroSplatError: $MACRO_SPLAT_CACHE_DIR is set and cannot be written.
    """
    digest = hashlib.sha256()
    made_by = (numba.__version__, llvmlite.__version__, sys.version, platform.machine())
    host = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    forced = (os.environ.get("NUMBA_CPU_NAME", ""), os.environ.get("NUMBA_CPU_FEATURES", ""))
    for part in (*made_by, *host, *forced):
        digest.update(part.encode() + b"\0")
    for folder in (Path(__file__).parent, Path(source_folder)):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    name = digest.hexdigest()[:24]

    given = os.environ.get(CACHE_VARIABLE)
    user_caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    temporary = Path(tempfile.gettempdir()) / f"macro-splat-{user}"
    roots = [Path(given)] if given else [Path(user_caches) / "macro-splat", temporary]
    for root in roots:
        if _is_writable(root) and (root != temporary or _is_private(root)):
            folder = root / "kernels" / name
            _drop_oldest(folder.parent, keep=folder)
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
            return folder
    if given:
        raise MacroSplatError(f"{CACHE_VARIABLE}={given}: cannot be written; name a folder that can, or unset it")
    raise MacroSplatError(
        f"no folder for compiled code can be written, tried {' and '.join(map(str, roots))}: "
        f"set {CACHE_VARIABLE} to one that can"
    )


def _is_writable(folder: Path) -> bool:
    """Try to make the folder, for its user alone, and to write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    """Return whether nobody else can write there: compiled code is run as found, and all can write temporary files."""
    status = folder.lstat()
    if not hasattr(os, "getuid"):
        return True
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


def _drop_oldest(parent: Path, keep: Path) -> None:
    """Keep the states used last; a process that still needs one that goes only has to compile again."""
    folders = sorted((f for f in parent.glob("*") if f != keep and f.is_dir()), key=_last_used)
    for folder in folders[: 1 - _KEPT_FOLDERS]:
        shutil.rmtree(folder, ignore_errors=True)


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process has dropped it
        return 0.0
