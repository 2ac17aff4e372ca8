"""`macro-splat benchmark`: every way to model the blur, side by side on the same captures."""

from __future__ import annotations

from macro_splat.benchmark.config import BenchmarkConfig


def benchmark(config: BenchmarkConfig) -> int:
    """Train the chosen modes on captures with equal iterations, and compare their sharp renders with the truth.

    Writes the figures as text, Markdown and JSON (`table.txt`, `table.md`, `results.json`), a page with cut-outs
    (`index.html`) and these as pictures (`cutouts/`). Runs that were finished before are not done again.
    """
    from macro_splat.benchmark.report import run_benchmark

    return run_benchmark(config)
