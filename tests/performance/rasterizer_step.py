"""How long the rasterizer and a training step take on this processor, and how far that is from what is possible.

    python tests/performance/rasterizer_step.py [--quick] [--rounds N] [--markdown FILE]

Times are processor time of one thread, the least of several rounds in which all scenes take turns, so that other
programs on the machine disturb little. The second thread's worth is a ratio of wall times, and needs a quiet machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads must not spin while ours work
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pytorch_msssim
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from macro_splat.ops.rasterizer import rasterization
from macro_splat.ops.ssim import ssim
from macro_splat.simd import set_num_threads
from tests.performance.ball_of_splats import Ball, make_ball
from tests.performance.machine import processor_name
from tests.performance.peak import measure_peak_flops
from tests.performance.tables import to_markdown
from tests.performance.torch_tiles import rasterization_torch_tiles

SIZES = [(n, *size) for size in ((320, 240), (640, 480)) for n in (10_000, 30_000, 100_000)]
BASELINE = (30_000, 320, 240)
Size = tuple[int, int, int]

# Float operations that no method of this kind can leave out for one contributing pair of pixel and splat, three
# colours and depth; a fused multiply-add counts two, exp 14 (a polynomial of degree five, three squarings).
FORWARD_FLOPS = 2 + 8 + 14 + 2 + 3 + 8  # offset, exponent, exp, alpha, weight and transmittance, four channels
# The first four again (26), transmittance (3), colours · gradient (8), slopes of alpha and exponent (7), gradients of
# four channels (8), six moments of the exponent's slope (12), opacity (1), absgrad (10).
BACKWARD_FLOPS = 26 + 3 + 8 + 7 + 8 + 12 + 1 + 10


def main() -> None:
    """Measure, print, and write Markdown if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="the smallest scene and few rounds, in well under a minute"
    )
    parser.add_argument("--rounds", type=int, help="rounds per scene (8; 3 with --quick)")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 8)
    sizes = SIZES[:1] if options.quick else SIZES
    torch.set_num_threads(1)
    set_num_threads(1)

    console = Console(width=max(120, Console().width))
    console.print(f"{processor_name()}, torch {torch.__version__}, {rounds} rounds, load {os.getloadavg()[0]:.1f}")
    balls = {size: make_ball(*size) for size in sizes}
    table, seconds = rasterizer_table(balls, rounds)
    baseline = BASELINE if BASELINE in balls else sizes[0]
    tables = [table, torch_table(balls[baseline], seconds[baseline])]
    tables.append(step_table([balls[s] for s in sizes if s[0] == BASELINE[0] or options.quick], rounds))
    tables.append(start_table())
    for table in tables:
        console.print(table)
    if options.markdown:
        options.markdown.write_text("\n\n".join(to_markdown(table) for table in tables) + "\n", encoding="utf-8")


def rasterizer_table(balls: dict[Size, Ball], rounds: int) -> tuple[Table, dict[Size, float]]:
    """Forward and backward of the rasterizer alone, beside the arithmetic floor; and the seconds of both."""
    steps = {size: RasterStep(ball, rasterization) for size, ball in balls.items()}
    forward, backward, one, two = ({size: float("inf") for size in balls} for _ in range(4))
    for step in steps.values():
        step()  # compiles
    for _ in range(rounds):
        for size, step in steps.items():
            for threads, wall in ((1, one), (2, two)):
                set_num_threads(threads)
                began = time.perf_counter()
                cpu = step()
                wall[size] = min(wall[size], time.perf_counter() - began)
                if threads == 1:
                    forward[size], backward[size] = min(forward[size], cpu[0]), min(backward[size], cpu[1])
    set_num_threads(1)
    peak = measure_peak_flops()

    table = Table(
        title=f"Rasterizer: SH 3, RGB+ED, absgrad; one thread; peak {peak / 1e9:.0f} GFLOP/s on eight float32 lanes",
        caption="floor: arithmetic of the contributing pixel-splat pairs alone, at the peak",
    )
    for heading in ("scene", "coverage", "per pixel", "forward ms", "backward ms", "both ms", "2 threads",
                    "floor ms", "distance"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "scene" else "right")
    for size, ball in balls.items():
        both = forward[size] + backward[size]
        floor = ball.pairs * (FORWARD_FLOPS + BACKWARD_FLOPS) / peak
        table.add_row(
            _name(ball),
            f"{100 * ball.coverage:.0f} %",
            f"{ball.contributions:.0f}",
            _ms(forward[size]),
            _ms(backward[size]),
            _ms(both),
            f"{one[size] / two[size]:.2f} x",
            _ms(floor),
            f"{both / floor:.1f} x",
        )
    return table, {size: forward[size] + backward[size] for size in balls}


def torch_table(ball: Ball, ours: float) -> Table:
    """The same step by whole-tensor operations of torch, a few tiles at a time and many."""
    table = Table(title=f"Vectorised torch tiles, one thread: {_name(ball)}")
    for heading in ("tiles at once", "both ms", "ratio to ours"):
        table.add_column(heading, justify="right")
    for tiles_at_once in (8, 64):

        def torch_tiles(render_mode: str, absgrad: bool, at_once: int = tiles_at_once, **arguments: Any) -> tuple:
            assert render_mode == "RGB+ED"  # it knows this mode only
            assert absgrad
            return rasterization_torch_tiles(**arguments, tiles_at_once=at_once)

        step = RasterStep(ball, torch_tiles)
        seconds = min(sum(step()) for _ in range(2))
        table.add_row(str(tiles_at_once), _ms(seconds), f"{seconds / ours:.0f} x")
    return table


class RasterStep:
    """One forward and backward of a rasterizer with fixed upstream gradients."""

    def __init__(self, ball: Ball, function: Callable) -> None:
        self.ball, self.function = ball, function
        self.leaves = {name: t.clone().requires_grad_(name != "Ks") for name, t in ball.arguments.items()}
        g = torch.Generator().manual_seed(0)
        self.upstream = torch.randn(1, ball.height, ball.width, 4, generator=g) / (ball.width * ball.height)

    def __call__(self) -> tuple[float, float]:
        """Processor seconds of forward and of backward, all threads together."""
        for leaf in self.leaves.values():
            leaf.grad = None
        began = time.process_time()
        render, alphas, _ = self.function(
            **self.leaves, width=self.ball.width, height=self.ball.height, sh_degree=3, render_mode="RGB+ED",
            absgrad=True,
        )  # fmt: skip
        between = time.process_time()
        torch.autograd.backward([render, alphas], [self.upstream, self.upstream[..., :1]])
        return between - began, time.process_time() - between


def step_table(balls: list[Ball], rounds: int) -> Table:
    """A whole training step, with our loss and torch's fused Adam, and with the usual ones."""
    table = Table(title="Training step, one thread, processor ms")
    for heading in ("scene", "loss and Adam", "raster", "loss", "backward", "of it loss", "Adam", "step"):
        table.add_column(heading, justify="left" if heading in ("scene", "loss and Adam") else "right")
    for ball in balls:
        variants = {
            "fused SSIM, fused Adam": TrainingStep(ball, fused_ssim, fused_adam=True),
            "pytorch_msssim, Adam": TrainingStep(ball, torch_ssim, fused_adam=False),
        }
        least = {name: [float("inf")] * 5 for name in variants}
        for _ in range(rounds + 1):
            for name, step in variants.items():
                least[name] = [min(pair) for pair in zip(least[name], step(), strict=True)]
        for name, (raster, loss, loss_backward, raster_backward, adam) in least.items():
            backward = loss_backward + raster_backward
            table.add_row(
                _name(ball),
                name,
                *(_ms(t) for t in (raster, loss, backward, loss_backward, adam, raster + loss + backward + adam)),
            )
    return table


def fused_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Ours."""
    return ssim(x, y)


def torch_ssim(x: Tensor, y: Tensor) -> Tensor:
    """What nerfstudio uses."""
    return pytorch_msssim.ssim(x.permute(2, 0, 1)[None], y.permute(2, 0, 1)[None], data_range=1.0)


class TrainingStep:
    """Render, compare (0.8 L1 + 0.2 (1 − SSIM)), go back, and let Adam move splatfacto's six parameters."""

    def __init__(self, ball: Ball, similarity: Callable[[Tensor, Tensor], Tensor], *, fused_adam: bool) -> None:
        self.ball, self.similarity = ball, similarity
        given = ball.arguments
        start = {
            "means": given["means"],
            "quats": given["quats"],
            "log_scales": given["scales"].log(),
            "logits": given["opacities"].logit(),
            "features_dc": given["colors"][:, :1],
            "features_rest": given["colors"][:, 1:],
        }
        self.parameters = {name: t.clone().contiguous().requires_grad_() for name, t in start.items()}
        self.optimizers = [
            torch.optim.Adam([p], lr=1e-6, eps=1e-15, fused=fused_adam) for p in self.parameters.values()
        ]
        g = torch.Generator().manual_seed(1)
        self.photograph = torch.rand(ball.height, ball.width, 3, generator=g)

    def __call__(self) -> tuple[float, float, float, float, float]:
        """Processor seconds of raster, loss, backward of the loss, backward of the raster, Adam."""
        p, given = self.parameters, self.ball.arguments
        times = [time.process_time()]
        render, _, _ = rasterization(
            means=p["means"],
            quats=p["quats"],
            scales=p["log_scales"].exp(),
            opacities=p["logits"].sigmoid(),
            colors=torch.cat([p["features_dc"], p["features_rest"]], dim=1),
            viewmats=given["viewmats"],
            Ks=given["Ks"],
            width=self.ball.width,
            height=self.ball.height,
            sh_degree=3,
            render_mode="RGB+ED",
            absgrad=True,
        )
        times.append(time.process_time())
        image = render[0, ..., :3]
        loss = 0.8 * (image - self.photograph).abs().mean() + 0.2 * (1 - self.similarity(image, self.photograph))
        times.append(time.process_time())
        (slope,) = torch.autograd.grad(loss, render)
        times.append(time.process_time())
        render.backward(slope)
        times.append(time.process_time())
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        times.append(time.process_time())
        raster, forward_loss, backward_loss, backward_raster, adam = (b - a for a, b in itertools.pairwise(times))
        return raster, forward_loss, backward_loss, backward_raster, adam


FIRST_USE = """
import json, time
import torch
from macro_splat.ops.ssim import ssim
from macro_splat.ops.rasterizer import rasterization
means = torch.tensor([[0.0, 0.0, 2.0]], requires_grad=True)
began = time.perf_counter()
render, _, _ = rasterization(
    means, torch.eye(4)[:1], torch.full((1, 3), 0.1), torch.tensor([0.5]), torch.ones(1, 16, 3), torch.eye(4)[None],
    torch.tensor([[[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]]), 40, 30, sh_degree=3, render_mode="RGB+ED", absgrad=True,
)
ssim(render[0, ..., :3], torch.zeros(30, 40, 3)).backward()
print(json.dumps(time.perf_counter() - began))
"""


def start_table() -> Table:
    """The first step of a new process, without and with compiled code in the cache; torch is imported before."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MACRO_SPLAT_CACHE_DIR": folder}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], environment.get("PYTHONPATH")]))
        seconds = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", FIRST_USE], env=environment, capture_output=True, text=True, check=True
            )
            seconds.append(json.loads(done.stdout))
    table = Table(title="First step of a new process, wall seconds")
    for heading in ("nothing compiled yet", "from the cache"):
        table.add_column(heading, justify="right")
    table.add_row(*(f"{s:.1f}" for s in seconds))
    return table


def _name(ball: Ball) -> str:
    return f"{ball.width}x{ball.height}, {len(ball.arguments['means']) // 1000}k"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"


if __name__ == "__main__":
    main()
