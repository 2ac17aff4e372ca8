"""Does the runs of a benchmark one after the other, and reads those that are done already."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macro_splat.benchmark.plan import Entry
from macro_splat.benchmark.run import LOG, PROGRESS, RESULT, SPEC
from macro_splat.utils.progress import ProgressCallback, no_progress


@dataclass(frozen=True)
class Row:
    """An entry of the plan with what came of it: a result, or the reason why there is none."""

    entry: Entry
    folder: Path | None
    result: dict[str, Any] | None
    reason: str = ""


def run_all(
    entries: list[Entry], output: Path, *, resume: bool = True, progress: ProgressCallback = no_progress
) -> list[Row]:
    """Train and judge every entry; a failing run is reported in its row and does not stop the others.

    Args:
        output: folder; each run has its own folder in `runs/`, named after what it is and its key.
        resume: use the results of runs that were finished before.
        progress: called with a run's number and names, the steps done and the steps in all.
    """
    done: dict[str, Row] = {}
    digests: dict[str, str] = {}
    rows = []
    for index, entry in enumerate(entries):
        if entry.spec is None:
            rows.append(Row(entry, None, None, f"skipped: {entry.skipped}"))
            continue
        key = entry.spec.key(digests)
        if key not in done:
            folder = output / "runs" / entry.capture / f"{entry.spec.variant}-{entry.spec.mode}-{key[:12]}"
            finished = _finished(entry, folder, key) if resume else None
            name = f"[{index + 1}/{len(entries)}] {entry.capture}, {entry.variant.name}, {entry.mode.name}"
            done[key] = finished or _run(entry, folder, key, name, progress)
        shared = done[key]
        rows.append(Row(entry, shared.folder, shared.result, shared.reason))
    return rows


def _finished(entry: Entry, folder: Path, key: str) -> Row | None:
    """Return the row of a run whose result is there and whole."""
    try:
        result = json.loads((folder / RESULT).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return Row(entry, folder, result) if result.get("key") == key else None


def _run(entry: Entry, folder: Path, key: str, name: str, progress: ProgressCallback) -> Row:
    assert entry.spec is not None
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    entry.spec.write(folder / SPEC)
    command = [sys.executable, "-m", "macro_splat.benchmark.run", str(folder), key]
    last = ""
    with (
        (folder / LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(PROGRESS):
                    progress(name, int(line[len(PROGRESS) :]), entry.spec.iterations)
                else:
                    log.write(line)
                    last = line.strip() or last
        except BaseException:
            process.terminate()
            raise
    if process.returncode == 0:
        return Row(entry, folder, json.loads((folder / RESULT).read_text()))
    return Row(entry, folder, None, f"failed: {last} (all of it in {folder / LOG})")
