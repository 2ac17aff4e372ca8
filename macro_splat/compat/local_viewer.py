"""`ns-viewer` lets the whole network look at a run, and move its camera, unless it is told otherwise.

For runs of ours it listens on this machine alone, as `ns-train` does, unless the command names a host. The command has
its own class of viewer settings, whose default a method cannot set, and which cannot be reached before a run is loaded:
so our config installs this when nerfstudio asks it where the checkpoints are. Runs of other methods are shown as ever.

Can go when nerfstudio's viewer listens on this machine by default, or takes the host from the run's config.
"""

import functools
import sys
from typing import Any

MODULE = "nerfstudio.scripts.viewer.run_viewer"
LOCALHOST = "127.0.0.1"
FLAGS = ("--viewer.websocket-host", "--viewer.websocket_host")


def install() -> None:
    """Put the host into the settings that `ns-viewer` is about to use. Does nothing in other commands."""
    module: Any = sys.modules.get(MODULE) or sys.modules.get("__main__")
    kind = getattr(module, "ViewerConfigWithoutNumRays", None)
    if kind is None or kind.as_viewer_config.__module__ == __name__:
        return
    settings = kind.as_viewer_config

    @functools.wraps(settings, assigned=("__doc__",))
    def as_viewer_config(self: Any) -> Any:
        config = settings(self)
        if not any(word.split("=")[0] in FLAGS for word in sys.argv[1:]):
            config.websocket_host = LOCALHOST
        return config

    kind.as_viewer_config = as_viewer_config
