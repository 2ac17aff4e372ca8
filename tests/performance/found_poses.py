"""Whether `macro-splat process` finds the poses of photographs again that a capture knows.

    python -m tests.performance.found_poses captures/real/tankard captures/real/blowtorch_f6

The photographs alone are copied to a temporary folder and processed. The poses found are laid on the capture's by the
similarity that fits the camera centres best (Umeyama, 1991), and compared: angle between orientations, and distance of
centres as a share of the median distance from the object. Ends with exit code 1 where a target is missed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from macro_splat.capture import read_capture
from macro_splat.capture.coverage import object_centre
from tests.performance.machine import processor_name
from tests.performance.tables import to_markdown

LEAST_FOUND, MOST_DEGREES, MOST_SHARE = 0.95, 1.0, 0.02
"""Targets: part of the photographs, median rotation, median distance as a share of that from the object."""


def main(captures: tyro.conf.Positional[tuple[Path, ...]], threads: int = 0, keep: Path | None = None) -> None:
    """Measure and print.

    Args:
        captures: folders with a transforms.json whose poses are taken for true.
        threads: as `process` takes it; 0: not given.
        keep: folder for what `process` makes, instead of a temporary one; what was done there before is not done again.
    """
    table = Table(title="Poses found again from the photographs alone (medians)")
    for heading in ("capture", "photographs", "found", "rotation", "position / distance", "s", "targets"):
        table.add_column(heading, justify="left" if heading == "capture" else "right")
    missed = []
    for path in captures:
        known = {frame.image: frame.camera_to_world for frame in read_capture(path).frames}
        with tempfile.TemporaryDirectory() as temporary:
            start = time.monotonic()
            found = process(list(known), Path(temporary) if keep is None else keep / path.name, threads)
            seconds = time.monotonic() - start
        rotation, position = compare(np.stack([known[image] for image in found]), np.stack(list(found.values())))
        share = len(found) / len(known)
        good = share >= LEAST_FOUND and rotation <= MOST_DEGREES and position <= MOST_SHARE
        missed += [] if good else [path.name]
        figures = (f"{100 * share:.0f} %", f"{rotation:.2f}°", f"{100 * position:.2f} %", f"{seconds:.0f}")
        table.add_row(path.name, str(len(known)), *figures, "met" if good else "missed")
        for image in known.keys() - found.keys():
            print(f"{path.name}: {image.name} found no place")
    table.caption = (
        f"Targets: at least {LEAST_FOUND:.0%} found, at most {MOST_DEGREES:g}° and {MOST_SHARE:.0%}. "
        f"{processor_name()}."
    )
    Console().print(table)
    print(to_markdown(table))
    if missed:
        raise SystemExit(f"targets are missed: {', '.join(missed)}")


def process(photographs: list[Path], folder: Path, threads: int) -> dict[Path, NDArray[np.float64]]:
    """The poses [4, 4] that are found, by photograph; those that found no place are missing."""
    (folder / "photographs").mkdir(parents=True, exist_ok=True)
    by_name = {}
    for i, photograph in enumerate(photographs):
        name = f"{i:04d}{photograph.suffix}"  # names of test and training photographs may be the same
        if not (folder / "photographs" / name).exists():  # a new file would be another photograph to process
            shutil.copyfile(photograph, folder / "photographs" / name)
        by_name[Path(name).stem] = photograph
    command: list[object] = [
        Path(sys.executable).with_name("macro-splat"),
        "process",
        folder / "photographs",
        folder / "capture",
    ]
    command += ["--threads", threads] if threads else []
    subprocess.run([str(word) for word in command], check=True)
    frames = read_capture(folder / "capture").frames
    return {by_name[frame.image.stem]: np.asarray(frame.camera_to_world, dtype=float) for frame in frames}


def compare(true: NDArray[np.float64], found: NDArray[np.float64]) -> tuple[float, float]:
    """Median angle in degrees and median distance, relative to that from the object, of poses [V, 3 or 4, 4]."""
    a, b = found[:, :3, 3], true[:, :3, 3]
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    u, singular, vt = np.linalg.svd((b - mean_b).T @ (a - mean_a) / len(a))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ sign @ vt
    scale = np.trace(np.diag(singular) @ sign) / np.square(a - mean_a).sum(axis=1).mean()
    moved = scale * (a - mean_a) @ turn.T + mean_b
    relative = np.einsum("vji,vjk->vik", true[:, :3, :3], turn @ found[:, :3, :3])
    angles = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    centre = object_centre(true, None)
    distance = np.median(np.linalg.norm(b - (mean_b if centre is None else centre), axis=1))
    return float(np.median(angles)), float(np.median(np.linalg.norm(moved - b, axis=1)) / distance)


if __name__ == "__main__":
    tyro.cli(main)
