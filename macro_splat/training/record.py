"""`training.json`: how a run was made, beside its config.yml: the command, the versions, the time."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from macro_splat.training.finite_gradients import LeftOut
from macro_splat.utils.atomic import atomic_write

FILE_NAME = "training.json"
PACKAGES = ("macro-splat", "nerfstudio", "gsplat", "torch", "numba", "numpy")


def write_record(
    folder: Path, *, seconds: float, steps: int, gaussians: int, device: str, left_out: LeftOut | None = None
) -> None:
    """Write the record whole or not at all.

    Args:
        folder: of the run. seconds: of the training loop. steps: done in it. device: "cpu" or "cuda".
        left_out: gradients that were no finite numbers; None = none were.

    Raises:
        OSError: it cannot be written.
    """
    record = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {device}",
        "seconds": round(seconds, 3),
        "steps": steps,
        "gaussians": gaussians,
        "nonfinite_gradients": asdict(left_out or LeftOut()),
    }
    with atomic_write(folder / FILE_NAME, "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")


def read_record(folder: Path) -> Mapping[str, Any] | None:
    """What `write_record` wrote, or None: runs that were interrupted, or are older than this record, have none.

    A record that is not as we write it, be it broken or made up, counts as none.
    """
    try:
        record = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _is_ours(record) else None


def _is_ours(record: Mapping[str, Any]) -> bool:
    command, found, machine = (record.get(key) for key in ("command", "versions", "machine"))
    numbers = [record.get(key) for key in ("seconds", "steps", "gaussians")]
    return (
        isinstance(command, list)
        and all(isinstance(word, str) for word in command)
        and isinstance(found, dict)
        and all(isinstance(word, str) for word in found.values())
        and isinstance(machine, str)
        and all(isinstance(number, int | float) and 0 <= number < 1e15 for number in numbers)
    )


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result depends on; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
