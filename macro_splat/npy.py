"""Reading .npy files from several threads.

numpy compiles the header of such a file as Python, and CPython up to 3.11 counts the depth of that for all threads
together: now and then it ends in `SystemError: AST constructor recursion depth mismatch` (CPython issue 106905).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np

_ONE_AT_A_TIME = threading.Lock()


def load_npy(path: Path, mmap_mode: Literal["r"] | None = None) -> Any:
    """`np.load` without pickles; files are read one after the other.

    Raises:
        OSError, ValueError, EOFError: as of `np.load`.
    """
    with _ONE_AT_A_TIME:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
