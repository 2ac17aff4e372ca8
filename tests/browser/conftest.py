"""A browser, viser's bare page to compare with, and nerfstudio's commands as processes."""

from __future__ import annotations

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

import pytest
import viser
from playwright.sync_api import Browser, sync_playwright

from tests.browser.viewer_page import find_chromium, open_viewer, start_chromium
from tests.captures import write_capture


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        reason = "no chromium or chrome on the PATH (Debian, Ubuntu: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = start_chromium(playwright, executable)
        yield chromium
        chromium.close()


@dataclass(frozen=True)
class Baseline:
    """What an empty page of viser's own says: not ours."""

    errors: frozenset[str]


@pytest.fixture(scope="session")
def baseline(browser: Browser) -> Baseline:
    server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    with open_viewer(browser, server.get_port()) as opened:
        opened.wait_until(lambda: len(server.get_clients()) == 1, 60, "viser's page to connect")
        opened.page.wait_for_timeout(3000)
    server.stop()
    return Baseline(frozenset(opened.errors))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@dataclass
class Command:
    """A running nerfstudio command with a viewer."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def step(self) -> int:
        """The last training step that the command printed."""
        steps = re.findall(r"^(\d+) \(\d+\.\d+%\)", re.sub(r"\x1b\[[0-9;]*m", "", self.output()), re.MULTILINE)
        return int(steps[-1]) if steps else -1

    def wait_for_viewer(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.output()[-3000:]}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < end, f"no viewer after {seconds:.0f} s:\n{self.output()[-3000:]}"
                time.sleep(0.2)


@contextmanager
def command(name: str, *arguments: object, folder: Path) -> Iterator[Command]:
    """Run an `ns-*` command of this environment with its viewer on a free port; it is ended afterwards."""
    port = free_port()
    log = folder / f"{name}.log"
    words = [Path(sys.executable).with_name(name), *arguments]
    words += ["--viewer.websocket-host", "127.0.0.1", "--viewer.websocket-port", port]
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield Command(process, port, log)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("ball"), views=8, width=96, height=72)


TRAINING = (
    "--pipeline.model.num-seeds",
    "300",
    "--viewer.quit-on-train-completion",
    "True",
    "--output-dir",
    "runs",
)


@pytest.fixture(scope="session")
def finished_run(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config.yml of a short training without a viewer."""
    folder = tmp_path_factory.mktemp("finished")
    words = [Path(sys.executable).with_name("ns-train"), "macro-splat", "--data", capture, *TRAINING]
    words += ["--max-num-iterations", "100", "--vis", "tensorboard"]
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return next(folder.glob("runs/**/config.yml"))
