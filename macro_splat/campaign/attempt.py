"""One attempt at one stage of one specimen, as a worker makes it. Nothing here knows Ray."""

from __future__ import annotations

import os
import platform
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from macro_splat.campaign.specimen import Specimen
from macro_splat.campaign.stages import Stage
from macro_splat.utils.locks import Held, hold
from macro_splat.utils.messages import printable, shorten

SUPERVISOR = Path(__file__).with_name("supervisor.py")
TAIL_BYTES = 65536
REASON_LENGTH = 400
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")
_USER_ERROR = "error: "
"""Begins the line that our commands print where the user alone can help: see compat/one_line_errors.py."""


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt."""

    done: bool
    reason: str = ""
    """Why it is not done, on one line."""
    retry: bool = True
    """Another attempt may do better."""
    begun: float = 0.0
    """Seconds since 1970."""
    seconds: float = 0.0
    node: str = ""
    ran: bool = True
    """False: the result was there already."""


def run_attempt(stage: Stage, specimen: Specimen, number: int, grace_s: float) -> Outcome:
    """Run a stage's command to its end, unless its result is there; one process at a time works on a specimen.

    Args:
        number: of the attempt; its log is named after it.
        grace_s: what an interrupted command has to end by itself.

    Raises:
        OSError: the specimen's folder cannot be written.
    """
    begun, start = time.time(), time.monotonic()
    specimen.folder.mkdir(parents=True, exist_ok=True)

    def outcome(done: bool, reason: str = "", retry: bool = True, ran: bool = True) -> Outcome:
        return Outcome(done, reason, retry, begun, time.monotonic() - start, platform.node(), ran)

    try:
        # Longer than an attempt lives on whose worker has died.
        with hold(specimen.lock, wait_s=2 * grace_s + 5) as lock:
            if stage.finished(specimen):
                return outcome(True, ran=False)
            log = specimen.log(stage.name, number)
            with log.open("ab") as output:
                command = stage.command(specimen)
                output.write(f"{time.strftime('%F %T')} {platform.node()}: {shlex.join(command)}\n".encode())
                output.flush()
                code = _run_supervised(command, stage.cpus, specimen.folder, output, lock, grace_s)
            if code == 0 and stage.finished(specimen):
                return outcome(True)
            reason = _complaint(log, code)
            return outcome(False, reason, retry=not reason.startswith(_USER_ERROR))
    except Held as held:
        return outcome(False, f"{held} is still held by an earlier attempt", ran=False)


def _run_supervised(command: list[str], cpus: float, folder: Path, output: IO[bytes], lock: int, grace_s: float) -> int:
    threads = str(max(1, int(cpus)))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-I", "-S", str(SUPERVISOR), str(theirs.fileno()), str(lock), str(grace_s), *command]
    with ours:
        with theirs:
            supervisor = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), lock),
                start_new_session=True,  # Ctrl-C in the terminal is the driver's to handle
            )
        try:
            select.select([ours], [], [])  # the supervisor's end closes when it ends
        finally:
            ours.close()
            code = supervisor.wait()
    return code if code >= 0 else 128 - code


def _complaint(log: Path, code: int) -> str:
    """The line of a log that says what is wrong; if the command complained of nothing, how it ended."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        text = _COLOURS.sub("", file.read().decode("utf-8", errors="replace"))
    lines = [printable(line.strip(" ─│╭╮╰╯\t")) for line in text.splitlines()[1:]]
    lines = [line for line in lines if line]
    errors = [line for line in lines if line.startswith(_USER_ERROR)]
    exceptions = [line for line in lines if _EXCEPTION.match(line)]
    said = (errors or exceptions or lines or ["it printed nothing"])[-1]
    if code == 0:
        said = f"ended without its result: {said}"
    elif code > 128:
        said = f"killed by {_signal_name(code - 128)}: {said}"
    elif not errors:
        said = f"exit code {code}: {said}"
    return shorten(said, REASON_LENGTH)


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name
