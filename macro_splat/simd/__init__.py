"""Kernels for processors in Python: eight-lane vectors, threads and a compilation cache on top of Numba.

`lanes` holds the vector type, `threads` runs a kernel on several threads, `compilation` compiles and caches it.
"""

from macro_splat.simd.compilation import device, kernel
from macro_splat.simd.threads import flat, get_num_threads, items, run, set_num_threads, take

__all__ = ["device", "flat", "get_num_threads", "items", "kernel", "run", "set_num_threads", "take"]
