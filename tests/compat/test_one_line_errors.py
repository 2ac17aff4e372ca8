"""Errors that the user can mend take one line; every other one keeps its traceback; the exit code is 1."""

import errno
import subprocess
import sys

import pytest

from macro_splat.compat.one_line_errors import one_line
from macro_splat.errors import MacroSplatError


def run(statement: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys, errno\n"
        "from macro_splat.compat import one_line_errors\n"
        "from macro_splat.errors import MacroSplatError\n"
        "one_line_errors.install(); one_line_errors.install()\n" + statement
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_users_error_is_one_line() -> None:
    done = run("raise MacroSplatError('transforms.json: frame 3\\n has NaN: remove it')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: transforms.json: frame 3 has NaN: remove it\n"


@pytest.mark.slow
def test_a_bug_keeps_its_traceback() -> None:
    done = run("raise ValueError('a bug')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: a bug\n")


@pytest.mark.slow
def test_a_hook_that_was_there_still_runs() -> None:
    done = run(
        "del sys.excepthook\n"
        "sys.excepthook = lambda *args: print('theirs', args[1])\n"
        "one_line_errors.install()\n"
        "raise KeyError('x')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "theirs 'x'\n", "")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MacroSplatError("a: b"), "a: b"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "/media/cd/outputs"), "/media/cd/outputs: the file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "/root/x: permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/etc/passwd/x"), "/etc/passwd/x: a file lies"),
        (PermissionError(errno.EACCES, "Permission denied"), None),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), None),
        (OSError(errno.EFBIG, "File too large"), "larger than the file system or the limit"),
        (MemoryError(), "the memory does not suffice: end other programs"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "the memory does"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "the memory does"),
        (RuntimeError("x"), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_which_errors_are_the_users(error: BaseException, expected: str | None) -> None:
    line = one_line(error)
    assert (line is None) == (expected is None)
    assert line is None or line.startswith(expected or "")
