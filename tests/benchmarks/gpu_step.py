"""What defocus adds to a training step on an NVIDIA card.

    python -m tests.benchmarks.gpu_step                       # 1 and 8 megapixels, 300,000 and 2,000,000 Gaussians
    python -m tests.benchmarks.gpu_step --device cpu --quick  # that the script runs; its figures mean nothing

A step renders one picture, blurs it, takes the mean absolute difference from a photograph and goes back to all
parameters of the Gaussians. `17x17` is a free kernel for every pixel applied to the unfolded picture, the known way.
Times are medians of rounds in which all ways take turns; memory is the peak of a step. Needs torch, numpy and gsplat.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.ops.rasterizer import rasterization

KERNEL = 17
DISTANCE, RADIUS = 4.0, 1.3
"""Of a ball of Gaussians from the camera, and its own; its front and back are out of focus."""
WIDEST_PX = 8.0
"""Radius of the circle of confusion there, at 1 megapixel: as far as the free kernel reaches."""


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no usable NVIDIA card here; --device cpu --quick tries the script itself")
    sizes = (
        [(2_000, 120), (6_000, 240)]
        if arguments.quick
        else [(n, w) for w in (1152, 3264) for n in (300_000, 2_000_000)]
    )
    rounds = 2 if arguments.quick else arguments.rounds
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    print(f"**A step's time and memory with defocus, {name}, torch {torch.__version__}**\n")
    print("| Gaussians | megapixels | way | ms | ratio | peak GiB | ratio |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for count, width in sizes:
        height = width * 3 // 4
        ways = make_ways(count, width, height, arguments.device)
        times: dict[str, list[float]] = {way: [] for way in ways}
        peaks: dict[str, float] = {}
        for round_ in range(rounds + 2):
            for way, step in list(ways.items()):
                measured = measure(step, arguments.device)
                if measured is None:
                    del ways[way]  # out of memory
                elif round_ >= 2:  # the first ones warm up
                    times[way].append(measured[0])
                    peaks[way] = max(peaks.get(way, 0.0), measured[1])
        plain = statistics.median(times["plain"])
        for way, values in times.items():
            if not values:
                print(f"| {count:,} | {width * height / 1e6:.2f} | {way} | out of memory | | | |")
                continue
            ms, peak = statistics.median(values), peaks[way]
            ratio = peak / peaks["plain"] if peaks["plain"] else float("nan")
            figures = f"{ms:.1f} | {ms / plain:.2f} | {peak:.2f} | {ratio:.2f}"
            print(f"| {count:,} | {width * height / 1e6:.2f} | {way} | {figures} |", flush=True)


def make_ways(count: int, width: int, height: int, device: str) -> dict[str, Callable[[], None]]:
    """A step of each way, by its name."""
    generator = torch.Generator().manual_seed(0)
    focal = 1.2 * width

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    # As large that some tens of them lie over a pixel, whatever their number.
    size = 0.35 * RADIUS * (62.0 / count) ** 0.5
    means = torch.nn.functional.normalize(normal(count, 3), dim=1) * RADIUS
    means = means * torch.rand(count, 1, generator=generator) ** (1 / 3)
    leaves = {
        "means": means,
        "quats": normal(count, 4),
        "scales": torch.exp(0.4 * normal(count, 3)) * size,
        "opacities": torch.sigmoid(-1.2 + 1.2 * normal(count)),
        "colors": 0.5 + 0.1 * normal(count, 9, 3),
    }
    leaves = {name: value.to(device).requires_grad_() for name, value in leaves.items()}
    viewmats = torch.eye(4)[None].clone()
    viewmats[0, 2, 3] = DISTANCE
    viewmats = viewmats.to(device)
    Ks = torch.tensor([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]]).to(device)
    photograph = torch.rand(height, width, 3, generator=generator).to(device)
    nearest = DISTANCE - RADIUS
    pupil = WIDEST_PX * (width / 1152) / (focal * (1 / nearest - 1 / DISTANCE))
    lens = PerViewLens(1)
    lens.set_start(torch.tensor([DISTANCE]), torch.tensor([pupil]), torch.tensor([focal]))
    lens = lens.to(device)
    # Photographs of this size: a kernel that is learnt for every pixel is a parameter as well.
    weights: list[Tensor] = []

    def render(mode: str, blur_variance: Tensor | None = None) -> tuple[Tensor, Tensor]:
        picture, alpha, _ = rasterization(
            **leaves, viewmats=viewmats, Ks=Ks, width=width, height=height, sh_degree=2, render_mode=mode,  # type: ignore[arg-type]
            absgrad=True, blur_variance=blur_variance,
        )  # fmt: skip
        return picture[0], alpha[0]

    def finish(picture: Tensor) -> None:
        (picture - photograph).abs().mean().backward()
        for leaf in (*leaves.values(), *lens.parameters(), *weights):
            leaf.grad = None

    def plain() -> None:
        finish(render("RGB")[0])

    def splat() -> None:
        depth = leaves["means"] @ viewmats[0, 2, :3] + viewmats[0, 2, 3]
        finish(render("RGB", lens.blur_variance(0, depth, focal)[None])[0])

    def image() -> None:
        picture, alpha = render("RGB+ED")
        circle = lens.coc_radius(0, picture[..., 3:], focal)
        finish(defocus_picture(picture[..., :3], circle, alpha))

    def unfolded() -> None:
        if not weights:
            weights.append(torch.zeros(KERNEL**2, height * width, device=device, requires_grad=True))
        picture = render("RGB")[0].permute(2, 0, 1)[None]
        around = torch.nn.functional.unfold(picture, KERNEL, padding=KERNEL // 2).reshape(3, KERNEL**2, -1)
        blurred = (around * weights[0].softmax(dim=0)).sum(dim=1)
        finish(blurred.reshape(3, height, width).permute(1, 2, 0))

    return {"plain": plain, "ours, splat": splat, "ours, image": image, f"{KERNEL}x{KERNEL}": unfolded}


def measure(step: Callable[[], None], device: str) -> tuple[float, float] | None:
    """Milliseconds and peak GiB of a step; None where the card has too little memory. (On a CPU memory is not told.)"""
    if device == "cpu":
        began = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - began), 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    try:
        step()
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None
    return 1000 * (time.perf_counter() - began), torch.cuda.max_memory_allocated() / 2**30


if __name__ == "__main__":
    main()
