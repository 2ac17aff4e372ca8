"""What tests of several folders share: one browser, for playwright starts only once in a process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.viewer_page import find_chromium, start_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        reason = "no chromium or chrome on the PATH (Debian, Ubuntu: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = start_chromium(playwright, executable)
        yield chromium
        chromium.close()
