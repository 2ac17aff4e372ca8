"""The report in a browser: it draws, asks for nothing, and fits a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from macro_splat.report.capture_report import write_capture_report
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
