"""nerfstudio's viewer in a headless Chromium: what its page shows, says and asks for."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright, Route

ARGUMENTS = [
    # WebGL on the processor.
    "--headless=new",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # As root in a container.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # Nothing of the browser's own goes out, and no name is looked up.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# The page makes a blob of each rendered picture and one of its depth, which hides the camera symbols behind it. It
# calls both image/jpeg, though the depth is a PNG: only what begins as a JPEG does is kept, to be read as it came.
KEEP_PICTURES = """
window.pictures = [];
window.Blob = class extends Blob {
    constructor(parts = [], options = {}) {
        super(parts, options);
        const [first, second] = parts[0] instanceof Uint8Array ? parts[0] : [];
        if (options.type === "image/jpeg" && first === 0xff && second === 0xd8) {
            window.pictures.push(this);
            window.lastPictureAt = performance.now();
        }
    }
};
"""
READ_PICTURE = """
async (index) => {
    const bytes = new Uint8Array(await window.pictures.at(index).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
"""
SIZE = {"width": 960, "height": 600}
FULL_EDGE = 512
"""nerfstudio's "Max Res": the longer edge of what is drawn at rest; meanwhile pictures are smaller."""
QUIET_MS = 1000
"""A resting viewer draws the next finer picture after 200 ms: what is sharp and as old as this is the last."""


def find_chromium() -> str | None:
    """The system's Chromium or Chrome: playwright's own download is not used."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path is not None), None)


def start_chromium(playwright: Playwright, executable: str) -> Browser:
    return playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)


@dataclass
class ViewerPage:
    """An open page, and everything that happened on it so far."""

    page: Page
    errors: set[str] = field(default_factory=set)
    """Errors on the page's console and uncaught exceptions."""
    outside: set[str] = field(default_factory=set)
    """Addresses on other machines that the page asked for; all were refused."""

    def picture_count(self) -> int:
        """Rendered pictures that arrived so far."""
        return self.page.evaluate("window.pictures.length")

    def is_sharp(self) -> bool:
        """Whether the last picture is one of full resolution, as the viewer sends it when the camera rests."""
        return self.picture_count() > 0 and max(self.picture().shape[:2]) >= FULL_EDGE

    def after(
        self, act: Callable[[], object], looks: Callable[[np.ndarray], bool] | None = None, seconds: float = 120
    ) -> np.ndarray:
        """The other picture of full resolution that follows what is done, once no further one follows it.

        Given `looks`, it is waited for a picture of which that is true: what is drawn for the first time may take
        longer than the pictures before it are looked at.
        """
        before = self.picture()
        act()

        def rests() -> bool:
            if not self.page.evaluate(f"performance.now() - window.lastPictureAt > {QUIET_MS}"):
                return False
            picture = self.picture()
            other = picture.shape != before.shape or bool((picture != before).any())
            return self.is_sharp() and other and (looks is None or looks(picture))

        self.wait_until(rests, seconds, "another picture" if looks is None else "a picture that looks as it should")
        return self.picture()

    def picture(self, index: int = -1) -> np.ndarray:
        """A rendered picture as it came from the server, [H, W, 3] in 0..255."""
        data = base64.b64decode(self.page.evaluate(READ_PICTURE, index))
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)

    def screenshot(self) -> np.ndarray:
        """What the browser shows left of the control panel, the picture and all before it, [H, W, 3] in 0..255."""
        left, top, width, height = self._scene()
        clip = {"x": left, "y": top, "width": width, "height": height}
        shot = Image.open(io.BytesIO(self.page.screenshot(clip=clip))).convert("RGB")
        return np.asarray(shot, dtype=float)

    def click_picture(self, x: float, y: float) -> None:
        """Click into the picture at a place in 0..1 of its width and height."""
        left, top, width, height = self._scene()
        self.page.mouse.click(left + x * width, top + y * height)

    def _scene(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the picture on the page. The page's other canvas reaches below the panel."""
        box = self.page.locator("canvas").last.bounding_box()
        assert box is not None
        return box["x"], box["y"], box["width"], box["height"]

    def choose(self, label: str, option: str) -> None:
        """Pick an option of a drop-down list of the control panel."""
        self._element(label, "@aria-haspopup='listbox'").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def type_number(self, label: str, value: float) -> None:
        """Type into the field beside a slider of the control panel."""
        field = self._element(label, "@inputmode='numeric'")
        field.fill(f"{value:g}")
        field.press("Enter")

    def number(self, label: str) -> float:
        """What the field beside a slider says."""
        return float(self._element(label, "@inputmode='numeric'").input_value())

    def text(self, label: str) -> str:
        """What a text field of the control panel says."""
        return self._element(label, "@disabled").input_value()

    def fits(self, label: str) -> bool:
        """Whether a text field of the control panel shows all of its text."""
        return self._element(label, "@disabled").evaluate("field => field.scrollWidth <= field.clientWidth")

    def press(self, button: str) -> None:
        """Press a button of the control panel."""
        self.page.get_by_role("button", name=button, exact=True).click()

    def tick(self, label: str) -> None:
        """Tick a box of the control panel, or take the tick away."""
        self._element(label, "@type='checkbox'").click()

    def show_train_cams(self) -> None:
        """Have the photographs shown where they were taken, as a viewer does at first."""
        hide, show = (self.page.get_by_role("button", name=f"{verb} Train Cams") for verb in ("Hide", "Show"))
        if show.is_visible():
            show.click()
        self.wait_until(hide.is_visible, 60, "the photographs' symbols")

    def _element(self, label: str, kind: str) -> Locator:
        """The input of a kind that stands in one row with its label."""
        row = f"//label[normalize-space()='{label}']/ancestor::div[.//input[{kind}]][1]"
        return self.page.locator(f"xpath={row}//input[{kind}]").first

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition; fail with `what` was waited for and what the page says."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"after {seconds:.0f} s still waiting for {what}; errors: {sorted(self.errors)}")
            self.page.wait_for_timeout(100)


@contextmanager
def open_viewer(browser: Browser, port: int) -> Iterator[ViewerPage]:
    """Open the viewer that serves on a port of this machine."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    opened = ViewerPage(page)

    def refuse_outside(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            opened.outside.add(route.request.url)
            route.abort()

    page.route(lambda url: urlsplit(url).scheme in ("http", "https"), refuse_outside)
    page.on("websocket", lambda socket: _note_outside(opened, socket.url))
    page.on("console", lambda message: opened.errors.add(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: opened.errors.add(str(error)))
    page.add_init_script(KEEP_PICTURES)
    try:
        page.goto(f"http://127.0.0.1:{port}/")
        yield opened
    finally:
        context.close()


def _note_outside(opened: ViewerPage, url: str) -> None:
    if urlsplit(url).hostname != "127.0.0.1":
        opened.outside.add(url)
