"""Trains on captures with no flag but `--data`, then runs every command of nerfstudio's on each result.

    python tests/performance/every_command.py CAPTURE... [--iterations N] [--output DIR] [--markdown FILE]

What a command writes is checked as the tests do: splats are rendered back, figures are worked out again from the
pictures, videos are decoded. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads must not spin while ours work
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tests.end_to_end.commands import Run
from tests.performance.machine import processor_name
from tests.performance.tables import to_markdown

COMMANDS: dict[str, Callable[[Run, Path], object]] = {
    "eval": Run.evaluate,
    "export": Run.export,
    "dataset": Run.render_dataset,
    "interpolate": Run.interpolate,
    "camera-path": Run.camera_path,
    "images": lambda run, folder: run.interpolate(folder, "images"),
    "viewer": Run.view,
}
COLUMNS = ("train", "load", *COMMANDS)
"""load: the result into this process, for the checks."""


@dataclass
class Outcome:
    """What came of one capture. `errors`: the first line of each failed command's error, in the order of commands."""

    capture: str
    run: Run | None = None
    written: dict[str, object] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Run everything, print the tables, write Markdown if asked for; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE", help="folders in the capture format")
    parser.add_argument("--iterations", type=int, help="of each training; otherwise the method's own choice")
    parser.add_argument("--output", type=Path, help="keep everything that is written in this folder, one per capture")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    names = [capture.resolve().name for capture in options.captures]
    if len(set(names)) < len(names):
        parser.error("two captures of the same name")

    console = Console(width=max(120, Console().width))
    with tempfile.TemporaryDirectory() as temporary:
        outcomes = []
        for capture, name in zip(options.captures, names, strict=True):
            folder = (options.output or Path(temporary)).resolve() / name
            if folder.exists():
                parser.error(f"{folder} exists: give another --output, or remove it")
            outcomes.append(try_everything(capture, folder, options.iterations, console))
        tables = [figures_table(outcomes), commands_table(outcomes)]
    for table in tables:
        console.print(table)
    if options.markdown:
        options.markdown.write_text("\n\n".join(map(to_markdown, tables)) + "\n", encoding="utf-8")
    return int(any(outcome.errors for outcome in outcomes))


def try_everything(capture: Path, folder: Path, iterations: int | None, console: Console) -> Outcome:
    """Train, and run each command whatever became of the others."""
    outcome = Outcome(folder.name)

    def attempt(name: str, command: Callable[[], object]) -> None:
        try:
            outcome.written[name] = command()
        except Exception as error:  # whatever it is goes into the table, and into the exit code
            first = next(iter(str(error).splitlines()), "no message")
            outcome.errors[name] = first if isinstance(error, AssertionError) else f"{type(error).__name__}: {first}"
        state = f"[red]failed[/red] {escape(outcome.errors[name])}" if name in outcome.errors else "ok"
        console.print(f"{outcome.capture}: {name} {state}")

    options = () if iterations is None else ("--max-num-iterations", iterations)
    attempt("train", lambda: Run.train(capture, folder, *options))
    run = outcome.written.get("train")
    if isinstance(run, Run):
        outcome.run = run
        attempt("load", lambda: run.pipeline)
        for name, command in COMMANDS.items():
            attempt(name, functools.partial(command, run, folder / name))
    return outcome


def figures_table(outcomes: list[Outcome]) -> Table:
    """A row per capture: what the training took and what came of it."""
    table = Table(title=f"Trainings, {processor_name()}")
    for heading in ("capture", "views", "iterations", "train s", "peak MB", "Gaussians", "PSNR", "SSIM", "PLY MB"):
        table.add_column(heading, justify="left" if heading == "capture" else "right")
    for outcome in outcomes:
        table.add_row(Text(outcome.capture), *_figures(outcome))
    table.caption = Text(
        "views: for training + held out; train s and peak MB: the whole ns-train process with its start"
    )
    return table


def commands_table(outcomes: list[Outcome]) -> Table:
    """A row per capture: how each command ended; a dash for those that had nothing to work on. Errors stand below."""
    table = Table(title="Commands")
    for heading in ("capture", *COLUMNS):
        table.add_column(heading, justify="left")
    for outcome in outcomes:
        states = ["FAILED" if c in outcome.errors else "ok" if c in outcome.written else "-" for c in COLUMNS]
        table.add_row(Text(outcome.capture), *states)
    errors = [f"{o.capture}: {name}: {error}" for o in outcomes for name, error in o.errors.items()]
    table.caption = Text("\n".join(errors), justify="left") if errors else None
    return table


def _figures(outcome: Outcome) -> list[str]:
    """Views, iterations, seconds, peak MB, Gaussians, PSNR, SSIM, MB of the PLY; a dash for what there is not."""
    run = outcome.run
    if run is None or "load" in outcome.errors:
        return ["-"] * 8
    views = f"{len(run.pipeline.datamanager.train_dataset)} + {len(run.held_out)}"
    cells = [views, str(run.iterations), f"{run.training.seconds:.0f}", f"{run.training.peak_bytes / 1e6:.0f}"]
    cells.append(str(run.pipeline.model.num_points))
    results, ply = outcome.written.get("eval"), outcome.written.get("export")
    cells += [f"{results['psnr']:.2f}", f"{results['ssim']:.3f}"] if isinstance(results, dict) else ["-", "-"]
    cells.append(f"{ply.stat().st_size / 1e6:.1f}" if isinstance(ply, Path) else "-")
    return cells


if __name__ == "__main__":
    sys.exit(main())
