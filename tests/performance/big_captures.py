"""Training on large photographs: memory and time of a step by megapixels, by number of photographs, whole and by crops.

    python -m tests.performance.big_captures [--megapixels 2 8 24] [--photographs 24 150] [--steps 60] [--budget 1]

Captures are made for it in a temporary folder: the photographs of assets/pod_mini enlarged, more of them than it has
under other names from poses beside theirs, so that what is measured is true and what is learnt is not. Every training
is a process of its own. Its peak memory holds nerfstudio and torch too, which alone take what the first row says.
"""

from __future__ import annotations

import copy
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table

from tests.end_to_end.processes import run
from tests.performance.machine import processor_name
from tests.performance.tables import to_markdown

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def main(
    megapixels: tuple[float, ...] = (2.0, 8.0, 24.0),
    photographs: tuple[int, ...] = (24, 150),
    steps: int = 60,
    budget: float = 1.0,
) -> None:
    """Make captures, train on them, print a table.

    Args:
        megapixels: of a photograph; whole ones are trained on up to 8.
        photographs: numbers of them; the smaller sizes are measured with the first alone.
        steps: of each training; the time of a step is the mean of its second half.
        budget: `--pipeline.datamanager.memory-budget`, GiB.
    """
    table = Table(
        title=f"Training on large photographs, {processor_name()}, memory budget {budget:g} GiB, {steps} steps"
    )
    for heading in ("photographs", "megapixels", "a step sees", "s per step", "peak GiB"):
        table.add_column(heading, justify="left" if heading == "a step sees" else "right")
    rows = [(photographs[0], 0.077, False)]
    rows += [(photographs[0], size, False) for size in megapixels]
    rows += [(count, max(megapixels), False) for count in photographs[1:]]
    rows += [(photographs[0], size, True) for size in megapixels if size <= 8]
    for count, size, whole in rows:
        with tempfile.TemporaryDirectory(prefix="big_captures_") as name:
            folder = Path(name)
            capture = enlarge(folder / "capture", count, size)
            words = ("macro-splat", "--data", capture, "--max-num-iterations", steps, "--vis", "tensorboard")
            data = ("--pipeline.datamanager.max-image-edge", 0, "--pipeline.datamanager.memory-budget", budget)
            data += ("--pipeline.datamanager.cache-folder", folder)
            data += ("--pipeline.datamanager.step-megapixels", 0) if whole else ()
            rest = ("--report", False, "--steps-per-eval-batch", 0, "--steps-per-eval-image", 0)
            rest += ("--steps-per-eval-all-images", 10**6, "--output-dir", folder / "out")
            done = run("ns-train", *words, *rest, *data, cwd=folder, log=folder / "log")
            seen = "whole" if whole or size < 0.6 else "crops of 0.6"
            seconds = f"{step_seconds(done.output):.2f}"
            table.add_row(str(count), f"{size:g}", seen, seconds, f"{done.peak_bytes / 2**30:.2f}")
            Console(width=120).print(" ".join(str(next(reversed(list(c.cells)))) for c in table.columns))
    print(to_markdown(table))


def enlarge(folder: Path, count: int, megapixels: float) -> Path:
    """A capture of so many photographs, each of so many megapixels in the proportions 4:3."""
    source = ASSETS / "pod_mini"
    transforms = json.loads((source / "transforms.json").read_text(encoding="utf-8"))
    frames = [frame for frame in transforms["frames"] if not frame["file_path"].startswith("test/")]
    width = 4 * round((megapixels * 1e6 / 12) ** 0.5)
    size, scale = (width, width * 3 // 4), width / transforms["w"]
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    made = []
    for index in range(count):
        frame = copy.deepcopy(frames[index % len(frames)])
        path = folder / "images" / f"{index:03d}.jpg"
        first = folder / "images" / f"{index % len(frames):03d}.jpg"
        if index < len(frames):
            with Image.open(source / frame["file_path"]) as picture:
                picture.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            path.write_bytes(first.read_bytes() + index.to_bytes(4, "little"))  # another file, by what follows its end
            pose = np.array(frame["transform_matrix"])
            pose[:3, 3] += generator.normal(0, 0.01, 3) * np.linalg.norm(pose[:3, 3])
            frame["transform_matrix"] = pose.tolist()
        made.append({key: frame[key] for key in frame if "path" not in key} | {"file_path": f"images/{path.name}"})
    for key in ("fl_x", "fl_y", "cx", "cy"):
        transforms[key] *= scale
    transforms |= {"w": size[0], "h": size[1], "frames": made}
    for key in [key for key in transforms if key.endswith("_filenames")]:
        del transforms[key]
    (folder / "transforms.json").write_text(json.dumps(transforms), encoding="utf-8")
    if "ply_file_path" in transforms:
        (folder / transforms["ply_file_path"]).write_bytes((source / transforms["ply_file_path"]).read_bytes())
    return folder


def step_seconds(output: str) -> float:
    """The mean time of the last steps that nerfstudio's table of a training tells."""
    times = re.findall(r"^\d+ \(\d+\.\d+%\)\s+([\d.]+) (ms|s)\b", output, re.MULTILINE)
    seconds = [float(value) / (1000 if unit == "ms" else 1) for value, unit in times]
    if not seconds:
        raise SystemExit(f"the training told no times: {output[-1000:]}")
    return float(np.mean(seconds[len(seconds) // 2 :]))


if __name__ == "__main__":
    tyro.cli(main)
