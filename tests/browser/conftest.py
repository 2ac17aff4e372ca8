"""A browser, viser's bare page to compare with, and a run to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import viser
from playwright.sync_api import Browser

from tests.browser.viewer_page import open_viewer
from tests.captures import write_capture
from tests.end_to_end.commands import Run
from tests.end_to_end.processes import free_port

TRAINING = ("--pipeline.model.num-init-gaussians", 300, "--viewer.quit-on-train-completion", True)


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


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("ball"), views=8, width=96, height=72)


@pytest.fixture(scope="session")
def finished_run(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short training without a viewer."""
    options = (*TRAINING, "--max-num-iterations", 100, "--vis", "tensorboard")
    return Run.train(capture, tmp_path_factory.mktemp("finished"), *options)
