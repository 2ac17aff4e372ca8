"""Whether `macro-splat process` finds the poses of photographs again that a capture knows.

    python -m tests.benchmarks.found_poses CAPTURE...

The photographs alone are copied to a temporary folder and processed. The poses found are laid on the capture's by the
similarity that fits the camera centres best (Umeyama, 1991), and compared: angle between orientations, and distance of
centres as a share of the median distance from the object.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from macro_splat.capture import read_capture
from macro_splat.capture.coverage import object_centre
from tests.benchmarks.tables import to_markdown


def main(captures: tyro.conf.Positional[tuple[Path, ...]], markdown: Path | None = None) -> None:
    """Measure and print.

    Args:
        captures: folders with a transforms.json whose poses are taken for true.
        markdown: file for the table.
    """
    table = Table(title="Poses found again from the photographs alone (medians)")
    for heading in ("capture", "photographs", "found", "rotation", "position / distance"):
        table.add_column(heading, justify="left" if heading == "capture" else "right")
    for path in captures:
        known = {frame.image: frame.camera_to_world for frame in read_capture(path).frames}
        with tempfile.TemporaryDirectory() as folder:
            found = process(list(known), Path(folder))
        rotation, position = compare(np.stack([known[image] for image in found]), np.stack(list(found.values())))
        share = f"{100 * len(found) / len(known):.0f} %"
        table.add_row(path.name, str(len(known)), share, f"{rotation:.2f}°", f"{100 * position:.2f} %")
    Console().print(table)
    if markdown is not None:
        markdown.write_text(to_markdown(table) + "\n", encoding="utf-8")


def process(photographs: list[Path], folder: Path) -> dict[Path, NDArray[np.float64]]:
    """The poses [4, 4] that are found, by photograph; those that found no place are missing."""
    (folder / "photographs").mkdir()
    by_name = {}
    for i, photograph in enumerate(photographs):
        name = f"{i:04d}{photograph.suffix}"  # names of test and training photographs may be the same
        shutil.copyfile(photograph, folder / "photographs" / name)
        by_name[Path(name).stem] = photograph
    command = [Path(sys.executable).with_name("macro-splat"), "process", folder / "photographs", folder / "capture"]
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
