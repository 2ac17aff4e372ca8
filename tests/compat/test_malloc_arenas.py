"""What threads free goes to few heaps."""

import subprocess
import sys

import pytest

from macro_splat.compat.malloc_arenas import ARENAS, limit_arenas

pytestmark = pytest.mark.slow

COUNT = """
import ctypes, os, platform, re, tempfile, threading
from macro_splat.compat.malloc_arenas import limit_arenas
assert limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
wait = threading.Barrier(13)
def work():
    libc.malloc(1000)
    wait.wait()
    wait.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
wait.wait()
with tempfile.NamedTemporaryFile() as file:
    libc.fopen.restype = ctypes.c_void_p
    stream = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, ctypes.c_void_p(stream))
    libc.fclose(ctypes.c_void_p(stream))
    print(len(re.findall("<heap nr=", open(file.name).read())))
wait.wait()
"""


def test_twelve_threads_share_them() -> None:
    if not limit_arenas():
        pytest.skip("the C library is not glibc")
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True, timeout=60)
    assert 1 <= int(done.stdout) <= ARENAS
