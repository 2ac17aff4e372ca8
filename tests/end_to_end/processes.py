"""Programs of this environment as processes: how they end, what they print, how long and how much memory they take."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).with_name("measured.py")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class CommandFailed(AssertionError):
    """A command ended with an error; the first line of the message says with which."""


@dataclass(frozen=True)
class Finished:
    """A command that ended well: wall seconds and peak resident memory of its process alone."""

    seconds: float
    peak_bytes: int
    output: str


def run(name: str, *arguments: object, cwd: Path, log: Path) -> Finished:
    """Run a program of this environment to its end, its output in `log`.

    Raises:
        CommandFailed: its exit code is not 0, or it printed a traceback.
    """
    report = log.with_suffix(".json")
    with _started([sys.executable, MEASURED, report, _program(name), *arguments], cwd, log) as process:
        code = process.wait()
    output = _read(log)
    if code or "Traceback" in output:
        raise CommandFailed(f"{name} ended with exit code {code}: {_complaint(output)}\n{output[-3000:]}")
    return Finished(**json.loads(report.read_text(encoding="utf-8")), output=output)


@dataclass
class Watched:
    """A running nerfstudio command with a viewer."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def output(self) -> str:
        """What it has printed so far, without colours."""
        return _read(self.log)

    def step(self) -> int:
        """The last training step that the command printed."""
        steps = re.findall(r"^(\d+) \(\d+\.\d+%\)", self.output(), re.MULTILINE)
        return int(steps[-1]) if steps else -1

    def wait_for_viewer(self, seconds: float) -> None:
        """Return as soon as the viewer's port is open; CommandFailed if that does not come about."""
        end = time.monotonic() + seconds
        while True:
            code = self.process.poll()
            if code is not None:
                output = self.output()
                raise CommandFailed(f"it ended with exit code {code}: {_complaint(output)}\n{output[-3000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise CommandFailed(f"no viewer after {seconds:.0f} s\n{self.output()[-3000:]}") from None
                time.sleep(0.2)


@contextmanager
def watched(name: str, *arguments: object, cwd: Path, log: Path, port: int = 0) -> Iterator[Watched]:
    """Run a program of this environment with its viewer on a local port, by default a free one; it is ended afterwards.

    Where the test fails meanwhile, what the program has printed is printed too.
    """
    port = port or free_port()
    viewer = ["--viewer.websocket-host", "127.0.0.1", "--viewer.websocket-port", port]
    with _started([_program(name), *arguments, *viewer], cwd, log) as process:
        try:
            yield Watched(process, port, log)
        except BaseException:
            print(_read(log)[-5000:])
            raise


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def _started(words: list[object], cwd: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, which is ended with all its children on leaving."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _read(log: Path) -> str:
    return _COLOURS.sub("", log.read_text(encoding="utf-8", errors="replace"))


def _complaint(output: str) -> str:
    """The line of a program's output that most likely says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip(" ─│╭╮╰╯")]
    said = [line for line in lines if re.match(r"(error:|[\w.]*(Error|Exception|Interrupt)\b)", line)]
    return (said or lines or ["no output"])[-1]
