"""Keeps a run of this version for all later ones to load.

    python -m tests.versions.make_fixture

Trains a tiny capture and puts both into `tests/versions/runs/VERSION/`, with relative paths alone in config.yml, beside
a few figures of the model. To be run once for each release, and committed; what is there already is not touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from macro_splat.runs.load import load_run
from tests.captures import write_capture

RUNS = Path(__file__).with_name("runs")
LARGEST_BYTES = 300_000
FIGURES = "expected.json"
"""What the model of the kept run is, for later versions to find again."""


def figures(folder: Path) -> dict[str, Any]:
    """Numbers that tell whether a kept run loads as the same model.

    Args:
        folder: with capture and run; it has to be the current one, for the paths in the config are relative.
    """
    assert folder.samefile(Path.cwd()), folder
    run = load_run(Path("trained"))
    camera, _ = run.datamanager.eval_view(0)
    with torch.no_grad():
        picture = run.model.get_outputs_for_camera(camera)["rgb"]
    return {
        "step": run.step,
        "gaussians": int(run.model.num_points),
        "mean": run.model.means.mean(dim=0).tolist(),
        "picture_mean": picture.mean(dim=(0, 1)).tolist(),
        "picture_std": float(picture.std()),
    }


def main() -> None:
    target = RUNS / version("macro-splat")
    if target.exists():
        raise SystemExit(f"{target} is there already: a kept run is never changed")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_capture(place / "capture", views=5, test_views=1, width=32, height=24, points=120, depth=False)
        words = ["--data", "capture", "--output-dir", ".", "--experiment-name", "trained", "--vis", "tensorboard"]
        words += ["--max-num-iterations", "60", "--steps-per-save", "1000", "--timestamp", "run", "--report", "False"]
        words += ["--pipeline.model.num-init-gaussians", "120", "--pipeline.model.max-gaussians", "150"]
        words = [str(Path(sys.executable).with_name("ns-train")), "macro-splat", *words]
        subprocess.run(words, cwd=place, check=True, stdin=subprocess.DEVNULL)
        os.chdir(place)
        (place / FIGURES).write_text(json.dumps(figures(place), indent=1) + "\n", encoding="utf-8")
        shutil.copytree(place, target, ignore=shutil.ignore_patterns("events.*"))
    print(target, sum(path.stat().st_size for path in target.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
