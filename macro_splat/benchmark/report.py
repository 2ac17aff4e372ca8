"""A benchmark from the command's options to the files: plan, runs with their progress, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from macro_splat.benchmark.config import BenchmarkConfig
from macro_splat.benchmark.crops import make_sheet, strips_by_capture
from macro_splat.benchmark.modes import ABLATIONS, MODES, VARIANTS, Mode, Variant, choose
from macro_splat.benchmark.page import make_results_page
from macro_splat.benchmark.plan import Entry, plan
from macro_splat.benchmark.suite import Row, run_all
from macro_splat.benchmark.tables import METRICS, derive, markdown_table, means, notes, text_table
from macro_splat.errors import MacroSplatError
from macro_splat.utils.atomic import atomic_write

TABLE_WIDTH = 180
"""Characters of the table where there is no terminal whose width decides."""


def run_benchmark(config: BenchmarkConfig) -> int:
    """Do what the command line says; see `run_and_report`."""
    config.check()
    wanted = (*config.modes, *(mode.name for mode in ABLATIONS)) if config.ablation else config.modes
    modes = choose("modes", (*MODES, *ABLATIONS), wanted)
    return run_and_report(config, modes, choose("variants", VARIANTS, config.variants))


def run_and_report(config: BenchmarkConfig, modes: Sequence[Mode], variants: Sequence[Variant]) -> int:
    """Do all runs, write `index.html`, `results.json`, `table.txt`, `table.md` and `cutouts/`, print the tables.

    Args:
        modes, variants: what the config names.

    Returns:
        The exit code: 1 if a run failed, 130 after Ctrl-C.

    Raises:
        MacroSplatError: bad input, or the output folder cannot be used.
    """
    output = config.output
    if output.exists() and not output.is_dir():
        raise MacroSplatError(f"{output}: a file lies where a folder is needed; give another --output")
    entries = plan(config, modes, variants)
    output.mkdir(parents=True, exist_ok=True)
    console = Console()
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    try:
        rows = _run_with_progress(entries, output, config.resume, console)
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on with the run that was interrupted.", style="bold yellow")
        return 130
    records = derive(rows)
    write_files(records, output)
    print_tables(records, console)
    strips = strips_by_capture(rows)
    with atomic_write(output / "index.html", "w") as file:
        file.write(make_results_page(records, strips, config.iterations, config.seed))
    for (capture, variant), own in strips.items():
        sheet = output / "cutouts" / f"{capture}-{variant}.jpg"
        sheet.parent.mkdir(exist_ok=True)
        make_sheet(own).save(sheet, quality=92)
    console.print(f"Written to {output}: index.html, cutouts/, results.json, table.txt, table.md", highlight=False)
    return int(any(row.reason.startswith("failed") for row in rows))


def write_files(records: Sequence[dict[str, Any]], output: Path) -> None:
    """Write `results.json`, `table.txt` and, for a README, `table.md`."""
    content = {
        "rows": records,
        "means": means(records),
        "notes": notes(records),
        "columns": {metric.key: metric.explanation for metric in METRICS},
    }
    with atomic_write(output / "results.json", "w") as file:
        json.dump(content, file, indent=1)
    with atomic_write(output / "table.txt", "w") as file:
        print_tables(records, Console(file=file, width=TABLE_WIDTH))
    with atomic_write(output / "table.md", "w") as file:
        tables = [markdown_table(title, group) for title, group in _groups(records)]
        file.write("\n\n".join([*tables, *notes(records)]) + "\n")


def print_tables(records: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table for each capture, one of the means, and the notes."""
    for title, group in _groups(records):
        console.print(text_table(title, group, console.width))
    for note in notes(records):
        console.print(note, highlight=False)


def _groups(records: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return rows that have figures by capture, then the means, each with its title."""
    done = [record for record in records if "reason" not in record]
    captures = dict.fromkeys(record["capture"] for record in done)
    groups = [(capture, [record for record in done if record["capture"] == capture]) for capture in captures]
    return groups + list(means(records).items())


def _run_with_progress(entries: list[Entry], output: Path, resume: bool, console: Console) -> list[Row]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)
        running = ""

        def show(run: str, done: int, total: int) -> None:
            nonlocal running
            if run != running:
                bar.reset(task)
                running = run
            bar.update(task, description=escape(run), completed=done, total=total)

        return run_all(entries, output, resume=resume, progress=show)
