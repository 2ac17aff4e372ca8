"""The report in a browser: it draws, asks for nothing, and fits a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from macro_splat.report.capture_report import write_capture_report
from macro_splat.report.training_report import write_training_report
from macro_splat.runs.load import load_run
from tests.browser.offline_page import asks_for_nothing
from tests.report.outputs import write_output

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture_report(write_output(tmp_path_factory.mktemp("out"), views=8, slices=2))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 400, "height": 800})
    yield page
    page.close()


def test_it_draws_and_asks_for_nothing(page: Page, report: Path) -> None:
    with asks_for_nothing(page, report):
        colours = "document.getElementById('pose-view').data[1].marker.color"
        assert page.evaluate(colours) == list(range(1, 9))
        page.check("input[name=colouring][value='1']")
        page.wait_for_function(f"{colours}[0] === 2")
        assert page.evaluate("document.getElementById('pose-view').data[0].line.color.every((c) => c === 2)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_sharpness_can_be_taken_away(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    overlay = page.locator("img.sharpness").first
    assert overlay.is_visible()
    page.uncheck("#overlay")
    assert not overlay.is_visible()


def test_the_lenses_are_seen_on_the_object(page: Page, trained_run: Path, tmp_path: Path) -> None:
    """From as far as the cameras stand all points of focus would be one dot."""
    page.set_viewport_size({"width": 1280, "height": 900})
    axis = "document.getElementById('pose-view')._fullLayout.scene.xaxis"
    with asks_for_nothing(page, write_training_report(load_run(trained_run), tmp_path / "page.html")):
        low, high = page.evaluate(f"{axis}.range")
        assert 20 < high - low < 40  # mm: the object has 22, the cameras stand 120 away
        assert not page.evaluate(f"{axis}.autorange")
        page.check("input[name=within][value='0']")
        page.wait_for_function(f"{axis}.autorange")
        page.check("input[name=within][value='1']")
        page.wait_for_function(f"!{axis}.autorange")
    widths = page.locator(".tiles div").evaluate_all("(tiles) => tiles.map((tile) => tile.offsetWidth)")
    assert len(widths) == 6
    assert max(widths) - min(widths) <= 1
    heights = page.locator(".tiles b").evaluate_all("(values) => values.map((value) => value.offsetHeight)")
    assert max(heights) == min(heights)  # no value needs two lines
