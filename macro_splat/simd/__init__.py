"""Kernels for processors in Python: eight-lane vectors, threads and a compilation cache on top of Numba.

`lanes` holds the vector type, `threads` runs a kernel on several threads, `compilation` compiles and caches it.
"""

from macro_splat.simd.compilation import device, kernel
from macro_splat.simd.threads import get_num_threads, run, set_num_threads, take

__all__ = ["device", "get_num_threads", "kernel", "run", "set_num_threads", "take"]
