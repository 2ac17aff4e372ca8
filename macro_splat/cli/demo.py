"""`macro-splat demo`: the whole path on a small capture: train, evaluate, export, render."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from macro_splat.errors import MacroSplatError

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def demo(
    data: Path = ASSETS / "pod_mini",
    output: Path = Path("demo"),
    iterations: int = 0,
    overwrite: bool = False,
) -> int:
    """Train on a small macro capture, then write its splats and a sharp video.

    Args:
        data: the capture; by default the one that comes with the source.
        output: folder for the run, `splat.ply`, `sharp.mp4` and `eval.json`.
        iterations: of the training; 0: chosen from the capture and the machine.
        overwrite: replace what an earlier demo left in the folder.
    """
    if not (data / "transforms.json").is_file():
        raise MacroSplatError(f"{data}: no capture there; run it from a clone of the source, or give --data CAPTURE")
    run_folder = output / "run"
    if run_folder.exists():
        if not overwrite:
            raise MacroSplatError(f"{run_folder}: exists already; give another --output, or --overwrite")
        shutil.rmtree(run_folder)
    start = time.monotonic()
    train = ["macro-splat", "--data", str(data), "--output-dir", str(run_folder), "--vis", "tensorboard"]
    if iterations > 0:
        train += ["--max-num-iterations", str(iterations)]
    _run("Training", "ns-train", *train)
    config = next(run_folder.rglob("config.yml"))
    evaluation = output / "eval.json"
    _run("Evaluating", "ns-eval", "--load-config", str(config), "--output-path", str(evaluation))
    _run("Exporting", "ns-export", "gaussian-splat", "--load-config", str(config), "--output-dir", str(output))
    video = output / "sharp.mp4"
    render = ["interpolate", "--load-config", str(config), "--pose-source", "eval", "--output-path", str(video)]
    _run("Rendering", "ns-render", *render)

    results = json.loads(evaluation.read_text())["results"]
    print(
        f"\nDone in {time.monotonic() - start:.0f} s. Sharp views held out: PSNR {results['psnr']:.2f} dB, SSIM "
        f"{results['ssim']:.3f}."
    )
    print(f"  splats  {output / 'splat.ply'}   (any splat viewer opens it)")
    print(f"  video   {video}")
    print(f"  look    ns-viewer --load-config {config}")
    return 0


def _run(title: str, command: str, *arguments: str) -> None:
    """Run one of nerfstudio's commands of this environment and show the user exactly which."""
    program = Path(sys.executable).parent / command
    print(f"\n{title}: {command} {' '.join(arguments)}", flush=True)
    code = subprocess.run([str(program), *arguments], check=False).returncode
    if code:
        raise MacroSplatError(f"{command} ended with exit code {code}; its own message is above")
