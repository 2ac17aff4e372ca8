"""COLMAP's Python module, which is heavy and an extra: imported when poses are looked for."""

from __future__ import annotations

import importlib
import signal
import threading
from typing import Any

from macro_splat.errors import MacroSplatError


def load_pycolmap() -> Any:
    """Return the module pycolmap, quiet and without its own handler of SIGTERM.

    Raises:
        MacroSplatError: it is not installed.
    """
    on_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if on_main_thread else None
    try:
        pycolmap = importlib.import_module("pycolmap")
    except ImportError as error:
        raise MacroSplatError(
            f"poses need pycolmap ({error}): pip install 'macro-splat[process]', or describe the rig in rig.yaml"
        ) from error
    if handler is not None:
        signal.signal(signal.SIGTERM, handler)  # COLMAP's prints a stack trace when it is told to end
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    return pycolmap
