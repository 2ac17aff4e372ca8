"""What is said of a picture that cannot be decoded."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import reason


def broken_picture(path: Path, error: Exception) -> MacroSplatError:
    """The complaint about a picture that cannot be decoded."""
    if isinstance(error, Image.DecompressionBombError):
        return MacroSplatError(f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; reduce it")
    return MacroSplatError(f"{path} is broken or truncated ({reason(error)}); copy or export it again")
