"""The benchmark's scene: a ball of splats that covers about 30 % of the frame, some 60 of them over each pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions
from macro_splat.ops.rasterizer.reference import project

COVERAGE = 0.30
CONTRIBUTIONS = 62.0  # per covered pixel; the range aimed at is 52 to 79
DISTANCE = 4.0


class Ball(NamedTuple):
    """The arguments of the rasterizer, and what was measured of them."""

    arguments: dict[str, Tensor]
    width: int
    height: int
    coverage: float
    """Share of the pixels that at least one splat contributes to."""
    contributions: float
    """Splats that contribute to a covered pixel, on average."""
    pairs: int
    """Contributing pairs of a pixel and a splat."""


def make_ball(n: int, width: int, height: int) -> Ball:
    """Build the scene; the splats' size and the ball's are adjusted until contributions and coverage fit."""
    g = torch.Generator().manual_seed(n + width)
    focal = 1.2 * width
    radius_px = math.sqrt(COVERAGE * width * height / math.pi)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=g), dim=-1)
    colors = 0.1 * torch.randn(n, 16, 3, generator=g)
    colors[:, 0] += 0.5
    arguments = {
        "means": directions * torch.rand(n, 1, generator=g) ** (1 / 3) * radius_px * DISTANCE / focal,
        "quats": torch.randn(n, 4, generator=g),
        "scales": torch.exp(0.4 * torch.randn(n, 3, generator=g)),
        "opacities": torch.sigmoid(-1.2 + 1.2 * torch.randn(n, generator=g)),
        "colors": colors,
        "viewmats": torch.eye(4)[None],
        "Ks": torch.tensor([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]]),
    }
    arguments["viewmats"][0, 2, 3] = DISTANCE
    arguments["scales"] = arguments["scales"] * math.sqrt(CONTRIBUTIONS / n) * radius_px * DISTANCE / focal * 0.35
    covered, pairs = count(arguments, width, height)
    for _ in range(6):
        arguments["means"] = arguments["means"] * math.sqrt(COVERAGE * width * height / covered)
        arguments["scales"] = arguments["scales"] * math.sqrt(CONTRIBUTIONS * covered / pairs)
        covered, pairs = count(arguments, width, height)
    return Ball(arguments, width, height, covered / (width * height), pairs / covered, pairs)


def count(arguments: dict[str, Tensor], width: int, height: int) -> tuple[int, int]:
    """Covered pixels, and contributing pairs of a pixel and a splat."""
    projection = project(RasterizeInputs(**arguments), RasterizeOptions(width, height))
    order = projection.depths[0].argsort()
    order = order[projection.radii[0, order] > 0]
    means2d, conics = projection.means2d[0, order].numpy(), projection.conics[0, order].numpy()
    return _count(means2d, conics, arguments["opacities"][order].numpy(), width, height)


@numba.njit
def _count(means2d, conics, opacities, width, height):  # type: ignore[no-untyped-def]
    rest = np.ones((height, width))
    hits = np.zeros((height, width), np.int64)
    for k in range(len(opacities)):
        a, b, c = conics[k]
        reach = 2 * np.log(max(255 * opacities[k], 1.0)) / (a * c - b * b)
        extent_x, extent_y = np.sqrt(reach * c), np.sqrt(reach * a)
        u, v = means2d[k]
        for i in range(max(int(v - extent_y), 0), min(int(v + extent_y) + 1, height)):
            for j in range(max(int(u - extent_x), 0), min(int(u + extent_x) + 1, width)):
                dx, dy = u - j - 0.5, v - i - 0.5
                alpha = min(opacities[k] * np.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy), 0.999)
                if alpha >= 1 / 255 and rest[i, j] > 0:
                    after = rest[i, j] * (1 - alpha)
                    hits[i, j] += after > 1e-4
                    rest[i, j] = after if after > 1e-4 else 0.0  # the pixel has ended
    return (hits > 0).sum(), hits.sum()
