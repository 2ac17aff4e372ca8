"""How the time of a training step grows: with Gaussians, pixels, the radius of the blur, and the number of views.

    python -m tests.performance.growth [--picture assets/pictures/growth.png] [--quick]

A step renders the benchmark's ball of splats (`ball_of_splats.py`), blurs the picture (image operator), compares it (L1
and SSIM) and goes back; with the number of views the step is a whole one of a trainer on tiny photographs. Times are
processor time of one thread, the least of the rounds in which all sizes take turns; a part of it is the system's,
which hands out memory (large arrays are given back after each use, and zeroed when they are asked for again). The slope
is that of the time's logarithm over the size's between the two largest sizes: 1 is linear, less is better.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads must not spin while ours work
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from rich.console import Console
from rich.table import Table

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.ops.rasterizer import rasterization
from macro_splat.ops.ssim import ssim
from macro_splat.simd import set_num_threads
from tests.captures import write_capture
from tests.model.trainers import build_trainer, do_step
from tests.performance.ball_of_splats import make_ball
from tests.performance.machine import processor_name
from tests.performance.tables import to_markdown

PICTURE = Path(__file__).resolve().parents[2] / "assets" / "pictures" / "growth.png"
PIXELS = {0.08: (320, 240), 0.3: (640, 480), 1.2: (1280, 960), 4.0: (2304, 1728), 8.0: (3264, 2448)}
Steps = dict[float, Callable[[], None]]


def main() -> None:
    """Measure, print Markdown, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the two smallest sizes of each, to try the script")
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_num_threads(1)
    CONSOLE.quiet = True
    most = 2 if options.quick else None
    curves: dict[str, dict[float, float]] = {}
    system: dict[str, dict[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        axes: dict[str, Callable[[], Steps]] = {
            "Gaussians (320x240)": lambda: {
                n: render_step(n, 320, 240, 3.0) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)[:most]
            },
            "megapixels (100,000 Gaussians, blur 5 px)": lambda: {
                size: render_step(100_000, *shape, 5.0) for size, shape in list(PIXELS.items())[:most]
            },
            "blur radius, px (640x480, 30,000 Gaussians)": lambda: {
                radius: render_step(30_000, 640, 480, radius)
                for radius in (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)[:most]
            },
            "views (48x36)": lambda: {n: view_step(n, Path(folder)) for n in (12, 50, 150, 500)[:most]},
        }
        for name, make in axes.items():
            curves[name], system[name] = least_times(make(), options.rounds)
    table = Table(title=f"Growth of a training step, {processor_name()}, one thread, ms of processor time")
    for heading in ("with", "sizes", "ms", "of it the system's", "slope at the end"):
        table.add_column(heading)
    for name, times in curves.items():
        sizes, slopes = list(times), slope(times)
        shown = [f"{1000 * part[size]:,.0f}" for part in (times, system[name]) for size in sizes]
        rows = [_short(size) for size in sizes], shown[: len(sizes)], shown[len(sizes) :]
        table.add_row(name, *(" / ".join(row) for row in rows), f"{slopes:.2f}")
    Console(width=200).print(table)
    print(to_markdown(table))
    draw(curves, options.picture)


def render_step(gaussians: int, width: int, height: int, radius: float) -> Callable[[], None]:
    """A step on the ball, whose front is blurred to this radius and its back as much; sharp without one."""
    ball = make_ball(gaussians, width, height)
    leaves = {name: tensor.clone().requires_grad_(name != "Ks") for name, tensor in ball.arguments.items()}
    photograph = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0))
    depths = ball.arguments["means"][:, 2]
    middle, half = 4.0, float(depths.abs().quantile(0.99))  # the ball's distance, see there

    def step() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        render, alphas, _ = rasterization(
            **leaves, width=width, height=height, sh_degree=2, render_mode="RGB+ED", absgrad=True
        )
        picture, depth = render[0, ..., :3], render[0, ..., 3:]
        if radius > 0:
            circle = torch.where(alphas[0] > 0, radius * (depth - middle) / half, 0.0)
            picture = defocus_picture(picture, circle, alphas[0])
        loss = 0.8 * (picture - photograph).abs().mean() + 0.2 * (1 - ssim(picture, photograph))
        loss.backward()

    return step


def view_step(views: int, folder: Path) -> Callable[[], None]:
    """A step of a trainer whose capture has so many views."""
    capture = write_capture(folder / str(views), views=views, width=48, height=36, sharp=False, depth=False)
    trainer = build_trainer(capture, folder / f"out{views}", mode="image")
    do_step(trainer, 0)
    count = 0

    def step() -> None:
        nonlocal count
        for _ in range(10):  # one alone is too short to be measured
            count += 1
            do_step(trainer, count)

    return step


def least_times(steps: Steps, rounds: int) -> tuple[dict[float, float], dict[float, float]]:
    """Processor seconds of each step, and those of them that were the system's."""
    times, system = dict.fromkeys(steps, math.inf), dict.fromkeys(steps, 0.0)
    for round_ in range(rounds + 1):  # the first one compiles
        for size, step in steps.items():
            before = resource.getrusage(resource.RUSAGE_SELF)
            step()
            after = resource.getrusage(resource.RUSAGE_SELF)
            of_system = after.ru_stime - before.ru_stime
            total = after.ru_utime - before.ru_utime + of_system
            if round_ and total < times[size]:
                times[size], system[size] = total, of_system
    return times, system


def slope(times: dict[float, float]) -> float:
    """d log t / d log size between the two largest sizes."""
    (before, t_before), (last, t_last) = list(times.items())[-2:]
    if before == 0:
        return math.nan
    return math.log(t_last / t_before) / math.log(last / before)


def draw(curves: dict[str, dict[float, float]], path: Path) -> None:
    """A chart of each, with what is linear from its last point dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, charts = pyplot.subplots(1, len(curves), figsize=(14, 3.6), constrained_layout=True)
    for chart, (name, times) in zip(charts, curves.items(), strict=True):
        shown = {size: 1000 * seconds for size, seconds in times.items() if size > 0}
        sizes, last = list(shown), list(shown)[-1]
        chart.loglog(sizes, list(shown.values()), "o-", color="#1f6f8b")
        least = min(shown.values()) / 1.5
        first = max(sizes[0], last * least / shown[last])
        chart.loglog([first, last], [shown[last] * first / last, shown[last]], "--", color="#b0b0b0", label="linear")
        chart.set_ylim(least, 2 * max(shown.values()))
        chart.set_xticks(sizes, labels=[_short(size) for size in sizes])
        chart.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        chart.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        chart.minorticks_off()
        what, _, where = name.partition(" (")
        chart.set_title(f"{what}\n({where}", fontsize=10)
        chart.set_ylabel("ms" if "views" not in name else "ms for ten steps")
        chart.grid(which="major", alpha=0.3)
        chart.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _short(number: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{letter}"
    return f"{number:g}"


if __name__ == "__main__":
    main()
