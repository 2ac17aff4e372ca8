"""The stand-in for `inspect` sees what the real one sees, and nerfstudio's list of methods is the same with it."""

import inspect
import subprocess
import sys

import pytest

from macro_splat.compat.fast_inspect import MODULE, QuickInspect


def test_the_same_names() -> None:
    def called() -> tuple[list[str], list[str]]:
        return [f.function for f in QuickInspect.stack()], [f.function for f in inspect.stack()]

    quick, real = called()
    assert quick == real
    assert quick[0] == "called"


def test_everything_else_is_the_real_module() -> None:
    assert QuickInspect().signature is inspect.signature


@pytest.mark.slow
def test_methods_offered_are_the_same_and_no_source_is_read() -> None:
    program = f"""
import sys, {MODULE} as module
real = module.get_external_methods()
from macro_splat.compat import fast_inspect
fast_inspect.mend()
assert type(module.inspect).__name__ == "QuickInspect"
import linecache
linecache.getlines = None
quick = module.get_external_methods()
assert quick == real and len(quick[0]) > 10
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
