"""The program that a stage's command runs under: `python supervisor.py SOCKET LOCK GRACE_S COMMAND...`.

It lets no command outlive the worker that wanted it. SOCKET is one end of a pair whose other end the worker holds: when
the worker ends, however it ends, that end closes; then the command is interrupted as by Ctrl-C (a training saves a
checkpoint), and after GRACE_S seconds it and all its children are killed. Should the supervisor itself be killed, Linux
kills the command. LOCK is a descriptor that the command inherits, so that the lock lasts as long as it does.

Of the standard library alone, and little of it: it is started for every attempt.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def run(socket: int, lock: int, grace_s: float, command: list[str]) -> int:
    """Run the command to its end; its exit code, or 128 + the signal that killed it."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # the default would not wake us
    signal.set_wakeup_fd(wake)
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        # Ray's daemons block Ctrl-C's signal, and shells ignore it for jobs in the background: both is inherited.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc is not None:  # die with the supervisor
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before
                os._exit(1)

    try:
        process = subprocess.Popen(command, start_new_session=True, pass_fds=(lock,), preexec_fn=prepare)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}; is macro-splat installed on this machine?", file=sys.stderr)
        return 127
    try:
        while process.poll() is None:
            ready, _, _ = select.select([socket, woken], [], [])
            if socket in ready:
                _stop(process, grace_s)
            else:
                os.read(woken, 64)
    finally:
        _signal(process, signal.SIGKILL)  # children that it left behind
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    _signal(process, signal.SIGINT)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the whole group of the command."""
    with suppress(ProcessLookupError, PermissionError):  # all gone (macOS: all zombies)
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
