"""Threads that render take turns with a training, and glibc keeps freed memory for each of them.

A training watched by two browsers for twenty minutes grew from 1.2 to 2.1 GB, half of it free: glibc gives up to eight
heaps ("arenas") per processor core to threads, fills each with freed temporary tensors and gives none of them back. Two
heaps are enough for threads that take turns.
"""

from __future__ import annotations

import ctypes
import platform

M_ARENA_MAX = -8
"""glibc's number for this option of `mallopt`."""
ARENAS = 2


def limit_arenas() -> bool:
    """Have glibc make no more heaps; whether it was glibc, and took it."""
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
