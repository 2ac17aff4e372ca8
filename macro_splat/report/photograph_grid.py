"""The photographs in small, stack by stack in their order, with what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macro_splat.report.stack_previews import StackPreview, stack_previews
from macro_splat.report.thumbnails import Thumbnail, embed_thumbnails

MAX_OPEN_STACKS = 12
"""With more stacks than this, each is folded away but for the first."""


@dataclass(frozen=True, eq=False)
class PhotographGroup:
    """A focus stack, or all the photographs that belong to none."""

    title: str
    note: str
    photographs: Sequence[Mapping[str, Any]]
    """At least one, as process.json describes it."""
    unfolded: bool
    best_sharpness: float | None
    """Of a stack, that of its sharpest photograph; None: the photographs are not to be compared."""
    preview: StackPreview | None = None


@dataclass(frozen=True, eq=False)
class PhotographGrid:
    """What `photographs.html` shows."""

    groups: list[PhotographGroup]
    thumbnails: Mapping[str, Thumbnail | None]
    """By photograph."""
    some_used: bool
    left_out: Mapping[str, list[str]]
    """Names of photographs that are not used, by the reason."""


def photograph_grid(folder: Path, process: Mapping[str, Any]) -> PhotographGrid:
    """Return everything about single photographs.

    Args:
        folder: holds `thumbnails/`, `sharpness/` and `previews/`.
        process: process.json.

    Raises:
        MacroSplatError: a file in the folder is broken.
    """
    photographs = {photograph["name"]: photograph for photograph in process["photographs"]}
    stacks = [stack for stack in process["stacks"] if len(stack["photographs"]) > 1]
    stacked = {name for stack in stacks for name in stack["photographs"]}
    single = [name for name in photographs if name not in stacked]
    names = [list(stack["photographs"]) for stack in stacks] + ([single] if single else [])
    previews = stack_previews(folder, stacks)
    groups = []
    for i, stack in enumerate(stacks):
        members = [photographs[name] for name in stack["photographs"]]
        motion = {"ring": ", lens refocused", "rail": ", camera moved on a rail"}.get(stack["motion"], "")
        groups.append(
            PhotographGroup(
                title=f"Stack {stack['id']}",
                note=f"{len(members)} photographs{motion}",
                photographs=members,
                unfolded=i == 0 or len(names) <= MAX_OPEN_STACKS,
                best_sharpness=max(photograph["sharpness"] for photograph in members),
                preview=previews.get(stack["id"]),
            )
        )
    if single:
        members = [photographs[name] for name in single]
        groups.append(PhotographGroup("Single photographs", f"{len(single)}", members, True, None))
    left_out: dict[str, list[str]] = {}
    for name, photograph in photographs.items():
        if not photograph["used"]:
            left_out.setdefault(photograph["why_not"] or "no reason given", []).append(name)
    some_used = any(photograph["used"] for photograph in photographs.values())
    return PhotographGrid(groups, embed_thumbnails(folder, names), some_used, left_out)
