"""What tests of several folders share: one browser, for playwright starts only once in a process, and one training.

`make test` deals the tests out to two processes, one after the other: each makes these for itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nerfstudio.configs.external_methods  # noqa: F401  # `fast_inspect` mends it
import pytest
from playwright.sync_api import Browser, sync_playwright

from macro_splat.compat import fast_inspect
from tests.browser.viewer_page import find_chromium, start_chromium
from tests.tiers import pytest_collection_modifyitems, pytest_runtest_protocol  # noqa: F401  # pytest calls them

fast_inspect.mend()  # else nerfstudio's list of methods takes the longer to import the more modules there are
POD = Path(__file__).resolve().parents[1] / "assets" / "pod_mini"
TRAINED_ITERATIONS = 400


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


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training on `assets/pod_mini`, which holds its config.yml. Not to be changed: copy it."""
    output = tmp_path_factory.mktemp("trained")
    train = [str(Path(sys.executable).parent / "ns-train"), "macro-splat", "--data", str(POD)]
    train += ["--output-dir", str(output), "--vis", "tensorboard", "--max-num-iterations", str(TRAINED_ITERATIONS)]
    done = subprocess.run(train, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    (config,) = output.rglob("config.yml")
    return config.parent
