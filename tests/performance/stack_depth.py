"""Whether the sharpest slice of a real focus stack tells depth: two halves of the stack must tell the same.

    python -m tests.performance.stack_depth captures/real/stack_sff_*

The photographs of a stack are put on top of each other as `macro-splat process` does for its report. The map of the
sharpest slice is then made from the even slices alone and from the odd ones alone: two measurements that share no
photograph. Both are told in the positions of the stage that the capture's stack.json gives, and depths by one half must
rise with those by the other. Ends with exit code 1 where they do not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from macro_splat.process.stacks.alignment import align_stack
from macro_splat.process.stacks.fusion import register, sharpest_slice
from tests.performance.tables import to_markdown

MARGIN = 0.05
"""Share of the picture, at each edge, that is left out: not every slice shows it."""
TEXTURED = 0.5
"""Share of the pixels, those of the most detail, that are compared: a plain surface tells no depth."""
LEAST_SHARE = 0.002
"""A position that fewer of the pixels have is passed over: its median is one of chance."""
TARGET = 0.95
"""Least rank correlation of the depths by the two halves."""


class Agreement(NamedTuple):
    """Of the depths by the even slices with those by the odd ones."""

    pixels: int
    rank: float
    difference: float
    """Median, in the unit of the positions."""
    medians: dict[float, float]
    """Of the depths by the even slices, by that by the odd ones, in order."""

    @property
    def rises(self) -> bool:
        """Whether the medians never fall from one position to the next."""
        return bool((np.diff(list(self.medians.values())) >= 0).all())


def main(stacks: tyro.conf.Positional[tuple[Path, ...]], details: bool = False) -> None:
    """Measure and print.

    Args:
        stacks: folders with a stack.json that gives frames and positions_mm.
        details: print each position's median too.
    """
    table = Table(title="Depth by the even slices of a stack against depth by the odd ones")
    for heading in ("stack", "slices", "step", "pixels", "rank correlation", "medians", "median difference"):
        table.add_column(heading, justify="left" if heading == "stack" else "right")
    worst = 1.0
    for folder in stacks:
        facts = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
        positions = np.array(facts["positions_mm"], dtype=float)
        pictures = [np.asarray(Image.open(folder / name).convert("RGB")) for name in facts["frames"]]
        found = compare_halves(pictures, positions)
        medians = "rise" if found.rises else "do not rise"
        step = f"{np.median(np.diff(positions)):.2g} mm"
        row = (f"{found.pixels:,}", f"{found.rank:.3f}", medians, f"{found.difference:.2g} mm")
        table.add_row(folder.name, str(len(pictures)), step, *row)
        worst = min(worst, found.rank if found.rises else -1.0)
        if details:
            print(folder.name, *(f"{odd:.2f}: {even:.2f} mm" for odd, even in found.medians.items()), sep="\n")
    Console().print(table)
    print(to_markdown(table))
    if worst < TARGET:
        raise SystemExit(f"the halves agree less than {TARGET}, or medians do not rise")


def compare_halves(pictures: Sequence[NDArray[np.uint8]], positions: NDArray[np.float64]) -> Agreement:
    """Depths by the even slices against those by the odd ones, of pictures [H, W, 3] at these positions, in order."""
    alignments = align_stack(pictures)
    slices = [register(p.astype(np.float32) / 255, a) for p, a in zip(pictures, alignments, strict=True)]
    height, width = slices[0].shape[:2]
    y, x = int(MARGIN * height), int(MARGIN * width)
    inner = (slice(y, height - y), slice(x, width - x))
    detail = np.abs(np.diff(np.max(slices, axis=0).mean(axis=2), axis=1, prepend=0))[inner]
    used = detail >= np.quantile(detail, 1 - TEXTURED)
    even, odd = (positions[start::2][sharpest_slice(slices[start::2])[inner][used]] for start in (0, 1))
    medians = {
        float(position): float(np.median(even[odd == position]))
        for position in np.unique(odd)
        if (odd == position).mean() >= LEAST_SHARE
    }
    rank = float(spearmanr(even, odd).statistic)
    return Agreement(int(used.sum()), rank, float(np.median(np.abs(even - odd))), medians)


if __name__ == "__main__":
    tyro.cli(main)
