"""Which state of the source made a result."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
WITHOUT_EFFECT = ("campaign", "cli", "export", "report", "video", "viewer")
"""Rooms that no training or judging uses."""


@functools.cache
def source_digest() -> str:
    """Return a digest of the package's source files: during development the version stays while the code changes."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE)
        if name.parts[0] not in WITHOUT_EFFECT:
            digest.update(str(name).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
