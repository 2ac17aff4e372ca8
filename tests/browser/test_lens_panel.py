"""The panel "Macro lens" in a real browser: what its elements do to the picture."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Baseline
from tests.browser.test_viewer import assert_quiet
from tests.browser.viewer_page import ViewerPage, open_viewer
from tests.end_to_end.processes import Watched, watched

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def running(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("ns-viewer")
    options = ("--load-config", trained_run / "config.yml")
    with watched("ns-viewer", *options, cwd=folder, log=folder / "ns-viewer.log") as running:
        running.wait_for_viewer(400)
        yield running


@pytest.fixture
def opened(running: Watched, browser: Browser, baseline: Baseline) -> Iterator[ViewerPage]:
    """The sharp picture from the place of the first training view, where the object is large."""
    with open_viewer(browser, running.port) as opened:
        opened.wait_until(opened.is_sharp, 240, "the first picture")

        def begin() -> None:  # what a test before has changed is the server's
            opened.choose("Output type", "rgb")
            opened.choose("Show", "sharp")
            opened.press("Go there")

        opened.after(begin)
        yield opened
        assert_quiet(opened, baseline)
    assert "Traceback" not in running.output()


def detail(picture: np.ndarray) -> float:
    """Energy of the finest differences."""
    grey = picture.mean(axis=2)
    return float((np.diff(grey, axis=0)[:, :-1] ** 2 + np.diff(grey, axis=1)[:-1] ** 2).mean())


def test_aperture_slider_changes_the_picture(opened: ViewerPage) -> None:
    sharp = opened.picture()
    wide = opened.after(
        lambda: opened.type_number("Aperture f/", 1.0), lambda picture: detail(picture) < 0.5 * detail(sharp)
    )
    assert "f/1," in opened.text("Lens")
    narrow = opened.after(
        lambda: opened.type_number("Aperture f/", 22.0), lambda picture: detail(picture) > 2 * detail(wide)
    )
    assert distance(narrow, sharp) < 0.5 * distance(wide, sharp)


def test_focus_here_moves_the_sharp_zone_to_the_click(opened: ViewerPage) -> None:
    sharp = opened.picture()
    opened.after(lambda: opened.type_number("Aperture f/", 1.4))
    far_away = opened.after(
        lambda: opened.type_number("Focus, mm", 160.0),
        lambda picture: detail(centre(picture)) < 0.25 * detail(centre(sharp)),
    )

    def click() -> None:
        opened.press("Focus here (then click)")
        opened.wait_until(lambda: "click" in opened.text("Lens"), 60, "the viewer to ask for a click")
        canvas = opened.page.locator("canvas").first.bounding_box()
        assert canvas is not None
        opened.page.mouse.click(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)

    opened.after(click, lambda picture: detail(centre(picture)) > 2 * detail(centre(far_away)))
    assert 80 < opened.number("Focus, mm") < 140
    assert f"focus {opened.number('Focus, mm'):.5g}" in opened.text("Lens")


def distance(picture: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(picture - other).mean())


def centre(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture[2 * height // 5 : 3 * height // 5, 2 * width // 5 : 3 * width // 5]


def test_a_training_view_s_lens_photograph_and_split(opened: ViewerPage) -> None:
    sharp = opened.picture()
    opened.after(lambda: opened.press("Take its lens"))
    assert opened.text("Lens").startswith("f/")
    opened.choose("Show", "as photographed")
    opened.wait_until(lambda: opened.text("Lens") == "", 60, "no virtual lens")
    # Beside a photograph the ground is grey.
    photo = opened.after(
        lambda: opened.choose("Output type", "photo"), lambda picture: 0.2 < (picture.std(axis=2) > 0).mean() < 0.98
    )
    blurred = opened.after(
        lambda: opened.choose("Output type", "rgb_blurred"),
        lambda picture: distance(centre(photo), centre(picture)) < distance(centre(photo), centre(sharp)),
    )
    opened.after(lambda: opened.choose("Output type", "rgb"), lambda picture: distance(picture, sharp) < 1)
    enable = opened.page.get_by_text("Enable", exact=True).first
    middle = sharp.shape[1] // 2
    left, right = np.s_[:, : middle - 16], np.s_[:, middle + 16 :]

    def is_split(picture: np.ndarray) -> bool:
        return distance(picture[left], sharp[left]) < 1 and distance(picture[right], blurred[right]) < 1

    split = opened.after(enable.click, is_split)
    assert distance(split[right], sharp[right]) > 1
    opened.after(enable.click)  # off again, for the next test
