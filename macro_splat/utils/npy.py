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
        OSError, EOFError: as of `np.load`.
        ValueError: the file is none, or broken: numpy's own and whatever else it lets through.
    """
    with _ONE_AT_A_TIME:
        try:
            with np.errstate(over="ignore"):
                return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise
        except Exception as error:  # of its tokenizer, of lengths that overflow, of memory
            raise ValueError(str(error) or type(error).__name__) from error
