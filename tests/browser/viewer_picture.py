"""The README's picture of the viewer: the panel, and the model split into sharp and as a virtual lens sees it.

    python -m tests.browser.viewer_picture RUN [PICTURE] [--cwd FOLDER] [--view N]

RUN is the folder of a run, FOLDER where it was trained if its paths are relative.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.viewer_page import find_chromium, open_viewer, start_chromium
from tests.end_to_end.processes import watched

PICTURE = Path(__file__).resolve().parents[2] / "assets" / "pictures" / "viewer.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path, nargs="?", default=PICTURE)
    parser.add_argument("--cwd", type=Path, default=Path.cwd())
    parser.add_argument("--view", type=int, default=0)
    arguments = parser.parse_args()
    executable = find_chromium()
    assert executable is not None, "no chromium on the PATH"
    config = arguments.run.resolve() / "config.yml"
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = start_chromium(playwright, executable)
        log = Path(folder) / "ns-viewer.log"
        with watched("ns-viewer", "--load-config", config, cwd=arguments.cwd, log=log) as running:
            running.wait_for_viewer(400)
            with open_viewer(chromium, running.port) as opened:
                page = opened.page
                page.set_viewport_size({"width": 1280, "height": 720})
                opened.wait_until(opened.is_sharp, 200, "the first picture")
                opened.press("Hide Train Cams")
                opened.type_number("Training view", arguments.view)
                opened.after(lambda: opened.press("Go there"))
                opened.after(lambda: opened.press("Take its lens"))
                opened.after(lambda: opened.choose("Output type", "rgb"))
                opened.after(page.get_by_text("Enable", exact=True).first.click)  # the split
                page.get_by_text("Focus peaking", exact=True).scroll_into_view_if_needed()
                shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                arguments.picture.parent.mkdir(parents=True, exist_ok=True)
                shot.save(arguments.picture, quality=85)
        chromium.close()


if __name__ == "__main__":
    main()
