"""Whether the sharpest slice of a real focus stack tells depth: two halves of the stack must tell the same.

    python -m tests.benchmarks.stack_depth FOLDER [--step-mm 0.1]

The photographs of a folder, in the order of their names, are put on top of each other as `macro-splat process` does for
its report. The map of the sharpest slice is then made from the even slices alone and from the odd ones alone: two
measurements that share no photograph. Depths of one must rise with those of the other, slice by slice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from macro_splat.capture.stacks.alignment import align_stack
from macro_splat.capture.stacks.fusion import register, sharpest_slice
from tests.benchmarks.tables import to_markdown

MARGIN = 0.05
"""Share of the picture, at each edge, that is left out: not every slice shows it."""
TEXTURED = 0.5
"""Share of the pixels, those of the most detail, that are compared: a plain surface tells no depth."""


def main(folder: tyro.conf.Positional[Path], step_mm: float = 0.0) -> None:
    """Measure and print.

    Args:
        folder: with the photographs of one stack.
        step_mm: between two slices, if it is known.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".tif"))
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    slices = [
        register(picture.astype(np.float32) / 255, alignment)
        for picture, alignment in zip(pictures, align_stack(pictures), strict=True)
    ]
    height, width = slices[0].shape[:2]
    y, x = int(MARGIN * height), int(MARGIN * width)
    inner = (slice(y, height - y), slice(x, width - x))
    detail = np.abs(np.diff(np.max(slices, axis=0).mean(axis=2), axis=1, prepend=0))[inner]
    used = detail >= np.quantile(detail, 1 - TEXTURED)
    even, odd = (start + 2 * sharpest_slice(slices[start::2])[inner][used] for start in (0, 1))
    difference = np.abs(even - odd)
    table = Table(title=f"{folder.name}: {len(paths)} slices, depth from the even ones against the odd ones")
    for heading in ("odd slice", "pixels", "median of the even", "middle half"):
        table.add_column(heading, justify="right")
    medians = []
    for k in np.unique(odd):
        there = even[odd == k]
        if len(there) < 0.002 * len(odd):
            continue
        medians.append(float(np.median(there)))
        low, high = np.quantile(there, (0.25, 0.75))
        table.add_row(str(k), f"{len(there):,}", f"{medians[-1]:g}", f"{low:g} to {high:g}")
    Console().print(table)
    unit = f" = {np.median(difference) * step_mm:.2g} mm" if step_mm else ""
    print(to_markdown(table))
    rank = spearmanr(even, odd).statistic
    print(f"rank correlation {rank:.3f}; median difference {np.median(difference):g} slices{unit}")
    print(f"medians {'rise' if all(np.diff(medians) >= 0) else 'do NOT rise'} from slice to slice")


if __name__ == "__main__":
    tyro.cli(main)
