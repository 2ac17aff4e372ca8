"""Every `ns-*` command spends some five seconds of its start in 26 calls of `inspect.stack()`.

`nerfstudio.configs.external_methods` asks, for each method that it could offer to install, for the name of the function
two frames up; `inspect.stack()` reads the source of every frame for it. The module gets a stand-in that knows the
frames' names alone, which is all it looks at.

Can go when nerfstudio asks `sys._getframe` or is called with less ceremony.
"""

import inspect
import sys
from types import ModuleType
from typing import NamedTuple

MODULE = "nerfstudio.configs.external_methods"


class Frame(NamedTuple):
    """What is left of `inspect.FrameInfo`."""

    function: str


class QuickInspect(ModuleType):
    """The module `inspect` with a `stack()` that opens no files."""

    def __init__(self) -> None:
        super().__init__("inspect")

    def __getattr__(self, name: str) -> object:
        return getattr(inspect, name)

    @staticmethod
    def stack() -> list[Frame]:
        """The callers' frames, the function that called this one first."""
        frames, frame = [], sys._getframe(1)
        while frame is not None:
            frames.append(Frame(frame.f_code.co_name))
            frame = frame.f_back  # type: ignore[assignment]
        return frames


def mend() -> None:
    """Give nerfstudio's module the stand-in, if that module is about to be used: it is imported before any plugin."""
    module = sys.modules.get(MODULE)
    if module is not None and getattr(module, "inspect", None) is inspect:
        module.inspect = QuickInspect()  # type: ignore[attr-defined]
