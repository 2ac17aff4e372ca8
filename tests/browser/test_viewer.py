"""The live viewer, as somebody who watches a training sees it."""

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser.conftest import TRAINING, Baseline
from tests.browser.viewer_page import ViewerPage, open_viewer
from tests.end_to_end.commands import Run
from tests.end_to_end.processes import watched

pytestmark = pytest.mark.browser


def assert_picture(opened: ViewerPage) -> np.ndarray:
    """The server's last picture shows an object, and the browser shows that picture."""
    picture, shown = opened.picture(), opened.screenshot()
    assert picture.max() > 60, "the rendered picture is black"
    assert picture.std() > 5, "the rendered picture is plain"
    assert shown.std() > 5, "the browser shows nothing"
    return picture


def like(picture: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The picture at the other's size: the viewer fits its resolution to the speed of the training."""
    resized = Image.fromarray(picture.astype(np.uint8)).resize(other.shape[1::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized).astype(other.dtype)


# Refused by the tests, made by whoever opens a viewer: viser's analytics, and the logo of nerfstudio's control panel.
KNOWN_OUTSIDE = {"www.googletagmanager.com", "docs.nerf.studio"}


def assert_quiet(opened: ViewerPage, baseline: Baseline) -> None:
    """No error beyond those of viser's own empty page, no request to other machines beyond the known ones."""
    assert opened.errors - baseline.errors == set()
    assert {urlsplit(url).hostname for url in opened.outside} <= KNOWN_OUTSIDE


def test_the_picture_changes_while_training_goes_on(
    browser: Browser, baseline: Baseline, capture: Path, tmp_path: Path
) -> None:
    train = ("macro-splat", "--data", capture, "--max-num-iterations", "20000", "--vis", "viewer", *TRAINING)
    with watched("ns-train", *train, cwd=tmp_path, log=tmp_path / "ns-train.log") as running:
        running.wait_for_viewer(120)
        with open_viewer(browser, running.port) as opened:
            opened.wait_until(opened.is_sharp, 120, "the first picture")
            first, first_step = assert_picture(opened), running.step()
            opened.wait_until(lambda: running.step() >= first_step + 100, 120, "100 more steps")
            count = opened.picture_count()
            opened.wait_until(lambda: opened.picture_count() > count + 1, 120, "pictures of the later steps")
            later = assert_picture(opened)
            assert np.abs(first - like(later, first)).mean() > 0.5, "the picture has not changed"
            assert running.process.poll() is None, "the training ended meanwhile"
            assert_quiet(opened, baseline)
        assert "Traceback" not in running.output()


def test_ns_viewer_shows_a_finished_run(
    browser: Browser, baseline: Baseline, finished_run: Run, tmp_path: Path
) -> None:
    with finished_run.viewer(tmp_path / "ns-viewer.log") as running:
        with open_viewer(browser, running.port) as opened:
            opened.wait_until(opened.is_sharp, 60, "the picture")
            opened.page.wait_for_timeout(2000)
            assert_picture(opened)
            assert_quiet(opened, baseline)
        assert "Traceback" not in running.output()
