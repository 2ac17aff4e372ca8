"""`macro-splat benchmark`: every way to model the blur, side by side on the same captures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from macro_splat.errors import MacroSplatError


def benchmark(
    captures: Annotated[tuple[Path, ...], tyro.conf.Positional],
    modes: tuple[str, ...] = ("off", "splat", "image", "pixel-kernel", "covariance", "coc", "fuse", "oracle"),
    variants: tuple[str, ...] = ("given",),
    iterations: int = 3000,
    output: Path = Path("benchmark"),
    seed: int = 42,
    ablation: bool = False,
    resume: bool = True,
) -> int:
    """Train the chosen modes on captures with equal iterations, and compare their sharp renders with the truth.

    Writes the figures as text, Markdown and JSON (`table.txt`, `table.md`, `results.json`), a page with cut-outs
    (`index.html`) and these as pictures (`cutouts/`). Runs that were finished before are not done again.

    Args:
        captures: folders with a transforms.json.
        modes: off = plain splats; splat, image = ours; pixel-kernel = a free kernel per pixel (BAGS); covariance =
            Gaussians widened by a network (Deblurring-3DGS); coc = a Gaussian circle of confusion per pixel
            (DoF-Gaussian); fuse = focus stacks fused first; oracle = plain splats on the all-in-focus photographs.
        variants: given = the lens as the capture gives it; unknown = nothing known of the lens; noisy = poses of
            transforms_noisy.json, refined.
        iterations: of each training.
        output: folder for runs and tables.
        seed: of all random numbers; one seed gives one result.
        ablation: also train our image mode with each of its parts taken away in turn.
        resume: read finished runs instead of doing them again.
    """
    from macro_splat.benchmark.modes import ABLATIONS, MODES, VARIANTS, choose
    from macro_splat.benchmark.report import run_and_report

    if not captures:
        raise MacroSplatError("no capture given; name the folders of one or more captures")
    if iterations < 1:
        raise MacroSplatError(f"--iterations {iterations}: must be at least 1")
    wanted = (*modes, *(mode.name for mode in ABLATIONS)) if ablation else modes
    chosen_modes = choose("modes", (*MODES, *ABLATIONS), wanted)
    chosen_variants = choose("variants", VARIANTS, variants)
    return run_and_report(captures, chosen_modes, chosen_variants, iterations, output, seed, resume)
