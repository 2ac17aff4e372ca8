"""`macro-splat demo`: the whole path on a small capture: train, evaluate, export, render."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from macro_splat.errors import MacroSplatError

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class DemoConfig:
    """What the demo trains on, and where it writes."""

    data: Path = ASSETS / "pod_mini"
    """the capture; by default the one that comes with the source."""
    output: Path = Path("demo")
    """folder for the run, `splat.ply`, `sharp.mp4` and `eval.json`."""
    iterations: int = 0
    """of the training; 0: chosen from the capture and the machine."""
    overwrite: bool = False
    """replace what an earlier demo left in the folder."""


def demo(config: DemoConfig) -> int:
    """Train on a small macro capture, then write its splats and a sharp video."""
    data, output = config.data, config.output
    if not (data / "transforms.json").is_file():
        raise MacroSplatError(f"{data}: no capture there; run it from a clone of the source, or give --data CAPTURE")
    run_folder = output / "run"
    if run_folder.exists():
        if not config.overwrite:
            raise MacroSplatError(f"{run_folder}: exists already; give another --output, or --overwrite")
        shutil.rmtree(run_folder)
    start = time.monotonic()
    train = ["macro-splat", "--data", str(data), "--output-dir", str(run_folder), "--vis", "tensorboard"]
    if config.iterations > 0:
        train += ["--max-num-iterations", str(config.iterations)]
    _run("Training", "ns-train", *train)
    run = next(run_folder.rglob("config.yml"))
    evaluation = output / "eval.json"
    _run("Evaluating", "ns-eval", "--load-config", str(run), "--output-path", str(evaluation))
    _run("Exporting", "ns-export", "gaussian-splat", "--load-config", str(run), "--output-dir", str(output))
    video = output / "sharp.mp4"
    render = ["interpolate", "--load-config", str(run), "--pose-source", "eval", "--output-path", str(video)]
    _run("Rendering", "ns-render", *render)

    results = json.loads(evaluation.read_text())["results"]
    print(
        f"\nDone in {time.monotonic() - start:.0f} s. Sharp views held out: PSNR {results['psnr']:.2f} dB, SSIM "
        f"{results['ssim']:.3f}."
    )
    print(f"  splats  {output / 'splat.ply'}   (any splat viewer opens it)")
    print(f"  video   {video}")
    print(f"  look    ns-viewer --load-config {run}")
    return 0


def _run(title: str, command: str, *arguments: str) -> None:
    """Run one of nerfstudio's commands of this environment and show the user exactly which."""
    program = Path(sys.executable).parent / command
    print(f"\n{title}: {command} {' '.join(arguments)}", flush=True)
    code = subprocess.run([str(program), *arguments], check=False).returncode
    if code:
        raise MacroSplatError(f"{command} ended with exit code {code}; its own message is above")
