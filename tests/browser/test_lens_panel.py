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

STOPS = "Aperture, stops"
NEAR, FAR = (0.45, 0.5), (0.75, 0.7)
"""Places of the picture: the middle of the object, and its edge, some 10 mm behind."""


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

        # What a test before has changed is the server's.
        opened.choose("Output type", "rgb")
        opened.choose("Show", "sharp")
        opened.show_train_cams()
        opened.after(lambda: opened.press("Go there"), lambda picture: (picture.max(axis=2) > 20).mean() > 0.15)
        yield opened
        assert_quiet(opened, baseline)
    assert "Traceback" not in running.output()


def detail(picture: np.ndarray) -> float:
    """Energy of the finest differences."""
    grey = picture.mean(axis=2)
    return float((np.diff(grey, axis=0)[:, :-1] ** 2 + np.diff(grey, axis=1)[:-1] ** 2).mean())


def test_aperture_slider_changes_the_picture(opened: ViewerPage) -> None:
    sharp = opened.picture()
    wide = opened.after(lambda: opened.type_number(STOPS, 0.0), lambda picture: detail(picture) < 0.5 * detail(sharp))
    assert opened.text("Lens").startswith("f/1, focus ")
    narrow_zone = zone(opened)
    narrow = opened.after(lambda: opened.type_number(STOPS, 9.0), lambda picture: detail(picture) > 2 * detail(wide))
    assert distance(narrow, sharp) < 0.5 * distance(wide, sharp)
    assert zone(opened)[0] < narrow_zone[0] < narrow_zone[1] < zone(opened)[1]


def test_beside_a_training_view_the_aperture_changes_the_picture(opened: ViewerPage) -> None:
    """The view's own photograph, which hangs before the camera there, is out of the way."""
    sharp = centre(opened.screenshot())
    assert detail(sharp) > 1
    opened.after(lambda: opened.type_number(STOPS, 0.0))
    opened.wait_until(
        lambda: detail(centre(opened.screenshot())) < 0.5 * detail(sharp), 30, "the blurred picture on the screen"
    )


def zone(opened: ViewerPage) -> tuple[float, float]:
    """What the panel says of the depth of field, all of which is to be read."""
    near, far = opened.text("Sharp from").removesuffix(" mm").split(" to ")
    return float(near), float(far)


def test_panel_s_texts_are_not_cut_off(opened: ViewerPage) -> None:
    opened.after(lambda: opened.type_number(STOPS, 3.3))
    opened.after(lambda: opened.type_number("Focus, mm", 123.4))
    for label in ("Lens", "Sharp from"):
        assert opened.text(label)
        assert opened.fits(label), opened.text(label)


def focus_behind(opened: ViewerPage) -> np.ndarray:
    """The picture with a wide aperture, focused far behind the object."""
    sharp = opened.picture()
    opened.type_number(STOPS, 1.0)  # where it may stand already
    return opened.after(
        lambda: opened.type_number("Focus, mm", 160.0), lambda picture: detail(picture) < 0.25 * detail(sharp)
    )


def focus_at(opened: ViewerPage, place: tuple[float, float], than: np.ndarray) -> np.ndarray:
    """Press "Focus here" and click; the picture that follows, which has more detail there than the given one."""

    def click() -> None:
        opened.press("Focus here (then click)")
        opened.wait_until(lambda: "click" in opened.text("Lens"), 60, "the viewer to ask for a click")
        opened.click_picture(*place)
        opened.wait_until(lambda: "focus " in opened.text("Lens"), 60, "the viewer to focus")

    return opened.after(click, lambda picture: detail(around(picture, place)) > 1.5 * detail(around(than, place)))


def test_focus_here_moves_the_sharp_zone_to_the_click(opened: ViewerPage) -> None:
    behind = focus_behind(opened)
    near = focus_at(opened, NEAR, than=behind)
    near_focus = opened.number("Focus, mm")
    assert 80 < near_focus < 140
    assert float(opened.text("Lens").split("focus ")[1].removesuffix(" mm")) == pytest.approx(near_focus, abs=0.06)
    far = focus_at(opened, FAR, than=near)
    assert near_focus + 3 < opened.number("Focus, mm") < 140
    assert detail(around(near, NEAR)) > 1.5 * detail(around(far, NEAR))


def test_focus_peaking_marks_what_the_click_put_in_focus(opened: ViewerPage) -> None:
    behind = focus_behind(opened)
    near = focus_at(opened, NEAR, than=behind)
    marked = opened.after(lambda: opened.tick("Focus peaking"))
    more = redness(marked) - redness(near)
    opened.after(lambda: opened.tick("Focus peaking"))  # off again, for the next test
    assert around(more, NEAR).max() > 100
    assert around(more, NEAR).mean() > 5 * np.abs(around(more, FAR)).mean()


def redness(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] - picture[..., 1:].mean(axis=2)


def around(picture: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    """A sixteenth of the picture's width to each side of a place."""
    height, width = picture.shape[:2]
    x, y, reach = int(place[0] * width), int(place[1] * height), width // 16
    return picture[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]


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
