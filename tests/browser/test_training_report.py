"""The report of a training in a browser: the wipe by mouse and keys, no request, no error; and films play there."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from macro_splat.video.writers import write_mp4
from tests.browser.offline_page import asks_for_nothing

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    yield page
    page.close()


@pytest.fixture
def stage(page: Page, trained_run: Path) -> Locator:
    page.goto((trained_run / "report.html").as_uri())
    return page.locator(".wipe:visible .stage")


def picture_of(stage: Locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB")).astype(int)


def shown_share(stage: Locator) -> float:
    """How much of the width the left picture has, by the upper picture's own clip."""
    clip = stage.locator("img:visible").evaluate_all(
        "(images) => images.map((i) => i.style.clipPath).find((c) => c !== 'none')"
    )
    return float(clip.split("%")[0].split()[-1])


def test_it_draws_and_asks_for_nothing(page: Page, trained_run: Path) -> None:
    with asks_for_nothing(page, trained_run / "report.html"):
        assert page.locator(".chart .plot-container").count() == 4
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 400")


def test_the_mouse_wipes(page: Page, stage: Locator) -> None:
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=5)
    page.mouse.up()
    assert shown_share(stage) == pytest.approx(80, abs=1.5)
    mostly_left = picture_of(stage)
    page.mouse.click(box["x"] + 0.2 * box["width"], middle)
    assert shown_share(stage) == pytest.approx(20, abs=1.5)
    mostly_right = picture_of(stage)
    # Beyond the line on either side nothing changes; between both places the other picture shows.
    width = mostly_left.shape[1]
    changed = np.abs(mostly_left - mostly_right).max(axis=2)
    between = changed[:, int(0.3 * width) : int(0.7 * width)]
    assert (between > 8).mean() > 0.02
    tags = slice(0, int(0.8 * changed.shape[0]))
    assert changed[tags, : int(0.15 * width)].max() < 8
    assert changed[tags, int(0.86 * width) :].max() < 8


def test_the_keys_wipe(page: Page, stage: Locator) -> None:
    stage.locator("input").focus()
    before = shown_share(stage)
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert shown_share(stage) == before + 5
    page.keyboard.press("Home")
    assert shown_share(stage) == 0
    page.keyboard.press("End")
    assert shown_share(stage) == 100


def test_other_pictures_and_views_can_be_chosen(page: Page, stage: Locator) -> None:
    first = stage.locator("img").first.get_attribute("alt")
    page.locator(".wipe:visible .layers input[data-side=right][value='blur map']").check()
    assert stage.locator(".tag.right").inner_text() == "blur map"
    page.locator(".strip button").nth(1).click()
    assert page.locator(".wipe:visible").count() == 1
    opened = page.locator(".wipe:visible .stage")
    assert opened.locator("img").first.get_attribute("alt") != first
    assert opened.locator(".tag.right").inner_text() == "blur map"  # the choice is kept
    page.locator(".strip button").last.click()  # held out: it has no such picture
    assert page.locator(".wipe:visible .stage .tag.right").inner_text() == "sharp"


def test_a_film_plays(page: Page, tmp_path: Path) -> None:
    if not page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.640028\"')"):
        pytest.skip("this chromium was built without H.264")
    frames = [np.full((36, 48, 3), (20 * i, 60, 90), dtype=np.uint8) for i in range(10)]
    write_mp4(tmp_path / "film.mp4", frames, (48, 36), 10)
    source = base64.b64encode((tmp_path / "film.mp4").read_bytes()).decode()
    page.set_content(f'<video muted src="data:video/mp4;base64,{source}"></video>')
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    facts = page.evaluate(
        "(({videoWidth, videoHeight, duration}) => [videoWidth, videoHeight, duration])"
        "(document.querySelector('video'))"
    )
    assert facts == [48, 36, pytest.approx(1.0, abs=0.11)]
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("document.querySelector('video').ended", timeout=20_000)
