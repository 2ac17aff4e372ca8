"""The panel "Macro lens" in a real browser: what its elements do to the picture."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Baseline
from tests.browser.test_viewer import assert_quiet, like
from tests.browser.viewer_page import ViewerPage, open_viewer
from tests.end_to_end.processes import Watched, watched

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def running(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("ns-viewer")
    options = ("--load-config", trained_run / "config.yml")
    with watched("ns-viewer", *options, cwd=folder, log=folder / "ns-viewer.log") as running:
        running.wait_for_viewer(240)
        yield running


@pytest.fixture
def opened(running: Watched, browser: Browser, baseline: Baseline) -> Iterator[ViewerPage]:
    """The page at the place of the first training view, where the object is large."""
    with open_viewer(browser, running.port) as opened:
        opened.wait_until(opened.is_sharp, 120, "the first picture")
        after(opened, lambda: opened.press("Go there"))
        yield opened
        after(opened, lambda: opened.choose("Show", "sharp"))
        assert_quiet(opened, baseline)
    assert "Traceback" not in running.output()


def after(opened: ViewerPage, act: Callable[[], None]) -> np.ndarray:
    """The picture at full resolution that follows what is done: once it has come and no other follows."""
    count = opened.picture_count()
    act()
    opened.wait_until(lambda: opened.picture_count() > count, 120, "a new picture")
    settled = [opened.picture_count()]

    def rests() -> bool:
        opened.page.wait_for_timeout(1500)
        settled.append(opened.picture_count())
        return settled[-1] == settled[-2] and opened.is_sharp()

    opened.wait_until(rests, 120, "the picture to rest")
    return opened.picture()


def detail(picture: np.ndarray) -> float:
    """Energy of the finest differences."""
    grey = picture.mean(axis=2)
    return float((np.diff(grey, axis=0)[:, :-1] ** 2 + np.diff(grey, axis=1)[:-1] ** 2).mean())


def test_aperture_slider_changes_the_picture(opened: ViewerPage) -> None:
    sharp = opened.picture()
    wide = after(opened, lambda: opened.type_number("Aperture f/", 1.0))
    assert "f/1," in opened.text("Lens")
    narrow = after(opened, lambda: opened.type_number("Aperture f/", 22.0))
    assert detail(wide) < 0.5 * detail(narrow)
    assert np.abs(narrow - like(sharp, narrow)).mean() < 0.5 * np.abs(wide - like(sharp, wide)).mean()


def test_focus_here_moves_the_sharp_zone_to_the_click(opened: ViewerPage) -> None:
    after(opened, lambda: opened.type_number("Aperture f/", 1.4))
    after(opened, lambda: opened.choose("Output type", "focus_peaking"))
    far_away = after(opened, lambda: opened.type_number("Focus, mm", 190.0))

    def click() -> None:
        opened.press("Focus here (then click)")
        opened.wait_until(lambda: "click" in opened.text("Lens"), 60, "the viewer to ask for a click")
        canvas = opened.page.locator("canvas").first.bounding_box()
        assert canvas is not None
        opened.page.mouse.click(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)

    clicked = after(opened, click)
    assert 80 < opened.number("Focus, mm") < 170
    assert f"focus {opened.number('Focus, mm'):.5g}" in opened.text("Lens")
    assert detail(centre(clicked)) > 2 * detail(centre(far_away))
    assert red(centre(clicked)) > 10 * max(red(centre(far_away)), 1)


def centre(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture[2 * height // 5 : 3 * height // 5, 2 * width // 5 : 3 * width // 5]


def red(picture: np.ndarray) -> int:
    """Pixels that focus peaking has marked."""
    return int(((picture[..., 0] > 200) & (picture[..., 1] < 100) & (picture[..., 2] < 100)).sum())


def test_a_training_view_s_lens_photograph_and_split(opened: ViewerPage) -> None:
    after(opened, lambda: opened.press("Take its lens"))
    lens = opened.text("Lens")
    photographed = after(opened, lambda: opened.choose("Show", "as photographed"))
    assert lens.startswith("f/")
    assert opened.text("Lens") == ""
    photo = after(opened, lambda: opened.choose("Output type", "photo"))
    inside = photo.std(axis=2) > 0  # beside it the ground is grey
    assert inside.mean() > 0.2
    sharp = after(opened, lambda: opened.choose("Output type", "rgb"))
    seen = centre(photo)
    assert np.abs(seen - centre(like(photographed, photo))).mean() < np.abs(seen - centre(like(sharp, photo))).mean()
    difference = after(opened, lambda: opened.choose("Output type", "difference"))
    assert 0 < difference.mean() < 100
