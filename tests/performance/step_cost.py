"""What a training step costs in each defocus mode, beside the plain one's, at the same Gaussians.

    python tests/performance/step_cost.py [CAPTURE] [--gaussians N] [--warm-up STEPS] [--rounds N] [--markdown FILE]

The Gaussians come from a short training in mode off. Times are processor time of one thread: for each of a few views
the least of several rounds in which all modes take turns, so that other programs on the machine disturb little; then
the mean over the views. Nothing moves meanwhile (learning rates are 0), and the bookkeeping of the densification, which
is the same in all modes, is left out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads must not spin while ours work
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from rich.console import Console
from rich.table import Table

from macro_splat.defocus.config import DefocusConfig
from macro_splat.simd import set_num_threads
from tests.model.trainers import begin, build_trainer, do_step
from tests.performance.machine import processor_name
from tests.performance.tables import to_markdown

MODES = {
    "off": DefocusConfig(mode="off"),
    "splat": DefocusConfig(mode="splat"),
    "splat, blur_net": DefocusConfig(mode="splat", blur_net=True),
    "image": DefocusConfig(mode="image", blur_net=False),
    "image, blur_net": DefocusConfig(mode="image", blur_net=True),
}
PHASES = ("forward", "loss", "backward", "optimizer")
VIEWS = 3


def main() -> None:
    """Measure, print, and write Markdown if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path, nargs="?", default=Path(sys.path[0]) / "assets/pod_mini")
    parser.add_argument("--gaussians", type=int, default=30_000)
    parser.add_argument("--warm-up", type=int, default=200, help="steps of the training that makes them (200)")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_num_threads(1)
    CONSOLE.quiet = True

    console = Console(width=max(120, Console().width))
    with tempfile.TemporaryDirectory() as folder, patch("macro_splat.compat.lpips.lpips_or_none", lambda **_: None):
        steps = make_steps(options.capture, Path(folder), options.gaussians, options.warm_up)
        table = cost_table(steps, options.capture, options.rounds)
    console.print(
        f"{processor_name()}, torch {torch.__version__}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}"
    )
    console.print(table)
    if options.markdown:
        options.markdown.write_text(to_markdown(table) + "\n", encoding="utf-8")


class Step:
    """A training step of one mode, phase by phase."""

    def __init__(self, capture: Path, outputs: Path, defocus: DefocusConfig, gaussians: int) -> None:
        options: dict[str, Any] = {"num_init_gaussians": gaussians, "stop_split_at": 0, "defocus": defocus}
        self.trainer = build_trainer(capture, outputs, mode=defocus.mode, **options)
        begin(self.trainer)
        self.model = self.trainer.pipeline.model

    def hold_still(self, gaussians: dict[str, torch.Tensor]) -> None:
        """Take these Gaussians, every degree of colour, and learn nothing any more."""
        for name, parameter in self.model.gauss_params.items():
            parameter.data.copy_(gaussians[name])
        self.model.step = self.model.schedule.iterations - 1
        for optimizer in self.trainer.optimizers.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = 0.0

    def __call__(self, view: int) -> list[float]:
        """Processor seconds of each of `PHASES`."""
        trainer, model = self.trainer, self.model
        trainer.pipeline.datamanager.train_unseen_cameras.insert(0, view)
        camera, batch = trainer.pipeline.datamanager.next_train(0)
        trainer.optimizers.zero_grad_all()
        times = [time.process_time()]
        outputs = model(camera)
        times.append(time.process_time())
        losses = model.get_loss_dict(outputs, batch, model.get_metrics_dict(outputs, batch))
        loss = torch.stack([term.reshape(()) for term in losses.values()]).sum()
        times.append(time.process_time())
        loss.backward()
        times.append(time.process_time())
        trainer.optimizers.optimizer_scaler_step_all(trainer.grad_scaler)
        times.append(time.process_time())
        return [after - before for before, after in itertools.pairwise(times)]


def make_steps(capture: Path, outputs: Path, gaussians: int, warm_up: int) -> dict[str, Step]:
    """A step of every mode, at the same Gaussians."""
    steps = {name: Step(capture, outputs, defocus, gaussians) for name, defocus in MODES.items()}
    plain = steps["off"]
    for step in range(1, warm_up + 1):
        do_step(plain.trainer, step)
    trained = {name: tensor.detach().clone() for name, tensor in plain.model.gauss_params.items()}
    for each in steps.values():
        each.hold_still(trained)
    return steps


def cost_table(steps: dict[str, Step], capture: Path, rounds: int) -> Table:
    """Milliseconds of every mode and phase, and the ratio to mode off."""
    cameras = steps["off"].trainer.pipeline.datamanager.train_dataset.cameras
    views = [len(cameras) * i // VIEWS for i in range(VIEWS)]
    least = {name: {view: [float("inf")] * len(PHASES) for view in views} for name in steps}
    for step in steps.values():
        step(views[0])  # compiles
    for _ in range(rounds):
        for view in views:
            for name, step in steps.items():
                least[name][view] = [min(pair) for pair in zip(least[name][view], step(view), strict=True)]
    mean = {
        name: [sum(phases) / len(views) for phases in zip(*by_view.values(), strict=True)]
        for name, by_view in least.items()
    }
    size = f"{int(cameras.width[0])}x{int(cameras.height[0])}"
    table = Table(
        title=f"Training step: {capture.name}, {size}, {steps['off'].model.num_points} Gaussians, one thread, ms"
    )
    for heading in ("mode", *PHASES, "step", "ratio to off"):
        table.add_column(heading, justify="left" if heading == "mode" else "right")
    for name, phases in mean.items():
        ratio = sum(phases) / sum(mean["off"])
        table.add_row(name, *(f"{1000 * seconds:.1f}" for seconds in (*phases, sum(phases))), f"{ratio:.2f}")
    return table


if __name__ == "__main__":
    main()
