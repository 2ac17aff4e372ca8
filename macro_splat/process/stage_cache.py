"""What finished work left behind, so that a rerun does only what is missing or has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from macro_splat.photographs.load import Photograph
from macro_splat.utils.atomic import atomic_write


class StageCache:
    """Small JSON values in a folder, each kept with a key of everything that it was made from.

    A value that cannot be read counts as missing: it is made again.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def get(self, stage: str, name: str, key: str) -> Any | None:
        """The value that `put` kept under the same stage, name and key, or None."""
        try:
            entry = json.loads(self._path(stage, name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry.get("value") if isinstance(entry, dict) and entry.get("key") == key else None

    def put(self, stage: str, name: str, key: str, value: Any) -> None:
        """Keep a value; what stood under this stage and name before is replaced."""
        path = self._path(stage, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as file:
            json.dump({"key": key, "value": value}, file)

    def _path(self, stage: str, name: str) -> Path:
        return self._folder / stage / f"{name}.json"


def key_of(*parts: Any) -> str:
    """A short name for a combination of values of JSON's types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def fingerprint(photograph: Photograph) -> list[Any]:
    """Tells a photograph from another one and from an older version of itself, without reading it."""
    return [photograph.name, *file_fingerprint(photograph.path)]


def file_fingerprint(path: Path) -> list[int]:
    """Size and time of change of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
