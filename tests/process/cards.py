"""A memory card of focus stacks, as `process` is given it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from macro_splat.process.config import ProcessConfig

VIEWS, SLICES = 6, 3


def by_name(card: Path, out: Path, **options: Any) -> ProcessConfig:
    return ProcessConfig(card, out, stack_by="name", threads=1, **options)


def originals(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
