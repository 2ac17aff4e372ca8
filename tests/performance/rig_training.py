"""Whether plain photographs and a rig.yaml train as well as the capture whose exact transforms.json is known.

    python -m tests.performance.rig_training CAPTURE tests/process/rig/data/pod_stack_6x5_rig.yaml

The photographs alone are copied to a temporary folder and processed with the rig. Both captures are trained alike and
judged at the held-out views of the exact one, against what is all in focus there. Poses, lens and points of the
processed one come from the rig and the photographs; nothing of the exact one is used for it but the held-out views.
Ends with exit code 1 where it is worse by more than 0.5 dB.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from macro_splat.benchmark.config import BenchmarkConfig
from macro_splat.benchmark.modes import MODES, VARIANTS, choose
from macro_splat.benchmark.plan import plan
from macro_splat.benchmark.suite import run_all
from macro_splat.capture import read_capture
from macro_splat.process.config import ProcessConfig
from macro_splat.process.run import process
from tests.performance.tables import to_markdown

ALLOWED_DB = 0.5
"""How much worse than the exact capture the processed one may be."""
FIGURES = {"psnr": ("PSNR", "{:.2f}"), "psnr_object": ("of the object", "{:.2f}"), "ssim": ("SSIM", "{:.3f}")}
"""By their keys in a result: heading, format."""


def main(
    capture: tyro.conf.Positional[Path],
    rig: tyro.conf.Positional[Path],
    iterations: int = 1500,
    mode: str = "image",
    seeds: tuple[int, ...] = (42,),
    keep: Path | None = None,
) -> None:
    """Process, train both, judge, print.

    Args:
        capture: folder with the exact transforms.json, with held-out views.
        rig: rig.yaml that describes how its photographs were taken.
        iterations: of each training.
        mode: as `macro-splat benchmark` takes it.
        seeds: one training of each capture for every one; figures are means.
        keep: folder for the runs, instead of a temporary one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        made = process_photographs(capture, rig, folder)
        print(f"poses differ by at most {pose_difference(capture, made):.1e}")
        rows = {"exact transforms.json": capture, "photographs + rig.yaml": made}
        results = [train(list(rows.values()), iterations, mode, seed, folder) for seed in seeds]
    table = Table(title=f"{capture.name}, {iterations:,} iterations, {len(results[0][0]['by_view'])} held-out views")
    table.add_column("trained on", justify="left")
    for heading in ("points", *(heading for heading, _ in FIGURES.values()), "s"):
        table.add_column(heading, justify="right")
    for i, (name, path) in enumerate(rows.items()):
        own = [result[i] for result in results]
        figures = [form.format(mean(own, key)) for key, (_, form) in FIGURES.items()]
        table.add_row(name, f"{points_of(path):,}", *figures, f"{mean(own, 'seconds'):.0f}")
    Console().print(table)
    print(to_markdown(table))
    lost = mean([exact for exact, _ in results], "psnr") - mean([processed for _, processed in results], "psnr")
    good = lost <= ALLOWED_DB  # NaN is not
    print(f"photographs and rig lose {lost:+.2f} dB ({'at most' if good else 'NOT at most'} {ALLOWED_DB} dB)")
    if not good:
        raise SystemExit(1)


def process_photographs(capture: Path, rig: Path, folder: Path) -> Path:
    """The capture that `process` makes of a capture's training photographs, with the other's held-out views added."""
    exact = json.loads((capture / "transforms.json").read_text(encoding="utf-8"))
    photographs, made = folder / "photographs", folder / "photographs_and_rig"
    photographs.mkdir(parents=True, exist_ok=True)
    training = set(exact["train_filenames"])
    for name in training:
        shutil.copyfile(capture / name, photographs / Path(name).name)
    process(ProcessConfig(photographs, made, rig=rig))
    transforms = json.loads((made / "transforms.json").read_text(encoding="utf-8"))
    shared = {key: exact[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "p1", "p2") if key in exact}
    held_out = [shared | frame for frame in exact["frames"] if frame["file_path"] not in training]
    for frame in held_out:
        for key in ("file_path", "sharp_file_path", "depth_file_path", "mask_path"):
            if key in frame:
                (made / frame[key]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(capture / frame[key], made / frame[key])
    transforms["train_filenames"] = [frame["file_path"] for frame in transforms["frames"]]
    transforms["test_filenames"] = transforms["val_filenames"] = [frame["file_path"] for frame in held_out]
    transforms["frames"] += held_out
    (made / "transforms.json").write_text(json.dumps(transforms, indent=1), encoding="utf-8")
    return made


def pose_difference(capture: Path, made: Path) -> float:
    """The largest difference of a number in the poses of the same photographs."""
    known = {Path(frame.name).name: frame.camera_to_world for frame in read_capture(capture).frames}
    return max(
        float(np.abs(frame.camera_to_world - known[Path(frame.name).name]).max()) for frame in read_capture(made).frames
    )


def points_of(capture: Path) -> int:
    """How many points a training on the capture starts with."""
    points = read_capture(capture).points
    return 0 if points is None else len(points.xyz)


def train(captures: list[Path], iterations: int, mode: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Train and judge each capture; its figures at the held-out views."""
    config = BenchmarkConfig(tuple(captures), iterations=iterations, output=folder, seed=seed)
    entries = plan(config, choose("modes", MODES, (mode,)), choose("variants", VARIANTS, ("given",)))
    results = []
    for row in run_all(entries, folder):
        if row.result is None:
            raise SystemExit(f"{row.entry.capture}: {row.reason}")
        results.append(row.result)
    return results


def mean(results: list[dict[str, Any]], key: str) -> float:
    """Of one figure over several trainings."""
    return float(np.mean([result[key] for result in results]))


if __name__ == "__main__":
    tyro.cli(main)
