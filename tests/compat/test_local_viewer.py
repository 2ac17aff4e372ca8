"""What `ns-viewer` listens on, for a run of ours and before one is loaded."""

from __future__ import annotations

import inspect
import sys

import pytest
from nerfstudio.scripts.viewer import run_viewer

from macro_splat.compat import local_viewer
from macro_splat.method import macro_splat


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> type:
    """A class of settings of its own, with nerfstudio's method: the mend stays in it.

    Other tests of this process may have loaded a run beside `ns-viewer`'s module, which mends nerfstudio's own class.
    """
    theirs = run_viewer.ViewerConfigWithoutNumRays
    fresh = type("ViewerConfigWithoutNumRays", (theirs,), {"as_viewer_config": inspect.unwrap(theirs.as_viewer_config)})
    monkeypatch.setattr(run_viewer, "ViewerConfigWithoutNumRays", fresh)
    return fresh


def test_runs_of_ours_are_shown_on_this_machine_alone(settings: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ns-viewer", "--load-config", "config.yml"])
    assert settings().as_viewer_config().websocket_host == "0.0.0.0", "nerfstudio's own, which other methods keep"
    macro_splat.config.get_checkpoint_dir()  # as when a run of ours is loaded
    assert settings().as_viewer_config().websocket_host == "127.0.0.1"
    settled = settings.as_viewer_config
    local_viewer.install()
    assert settings.as_viewer_config is settled, "once"


@pytest.mark.parametrize("words", [["--viewer.websocket-host", "0.0.0.0"], ["--viewer.websocket-host=0.0.0.0"]])
def test_a_host_that_is_named_is_taken(settings: type, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["ns-viewer", *words])
    local_viewer.install()
    assert settings(websocket_host="0.0.0.0").as_viewer_config().websocket_host == "0.0.0.0"
