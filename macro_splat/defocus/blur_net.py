"""What a real lens does besides the thin-lens law: a small network that scales the blur, within bounds.

Vignetting by the lens's barrel, a curved field, aberrations: the blur of a real lens depends on the place in the
picture, and on the side of the plane of focus. The network learns the logarithm of that factor,

    σ = σ_thin-lens · exp(0.4 · tanh(network(place, depth, view))),

so that it can never turn the sign of the defocus, sharpen, or explain away the lens. It varies slowly: it is evaluated
at few places and interpolated, which costs next to nothing beside rendering. Depth informs it and gets no gradient
from it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BOUND = 0.4
"""Largest residual of log σ: the blur is scaled by 0.67 to 1.49."""
CELL_PX = 8
"""Pixels along the squares of a picture for which the network is evaluated once, up to `MOST_CELLS` along a side."""
MOST_CELLS = 64
LATTICE = (5, 13, 17)
"""Depths, rows and columns at which it is evaluated for points in space."""
DEPTH_GAIN, DEPTH_LIMIT = 10.0, 2.0
"""The network sees the distance from the plane of focus in tenths of the focus distance, up to two."""
EMBEDDING, WIDTH = 8, 32


class BlurNet(nn.Module):
    """See the module's text. Positions are (x, y) from the picture's centre in half diagonals.

    Relative depths are z/d − 1: how far behind the plane of focus, as a share of its distance.
    """

    def __init__(self, num_views: int) -> None:
        """Starts as a factor of exactly 1, and leaves the global random numbers as they are."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.view_embedding = nn.Parameter(0.1 * torch.randn(num_views, EMBEDDING))
            last = nn.Linear(WIDTH, 1)
            self.network = nn.Sequential(
                nn.Linear(8 + EMBEDDING, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), last
            )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self._seen: Tensor | None = None

    def residual(self, view: int, position: Tensor, relative_depth: Tensor) -> Tensor:
        """Return the residual of log σ, within ± `BOUND`.

        Args:
            view: index of the training view. position: [..., 2]. relative_depth: [...].

        Returns:
            [...]
        """
        x, y = position.unbind(-1)
        depth = (DEPTH_GAIN * relative_depth).clamp(-DEPTH_LIMIT, DEPTH_LIMIT)
        waves = [f(math.pi * t) for t in (x, y) for f in (torch.sin, torch.cos)]
        known = torch.stack([x, y, x * x + y * y, *waves, depth], dim=-1).detach()
        embedding = self.view_embedding[view].expand(*known.shape[:-1], -1)
        residual = BOUND * torch.tanh(self.network(torch.cat([known, embedding], dim=-1))[..., 0])
        if torch.is_grad_enabled():
            self._seen = residual
        return residual

    def on_picture(self, view: int, relative_depth: Tensor, covered: Tensor) -> Tensor:
        """Return the factor of the blur at every pixel.

        Args:
            relative_depth: [H, W]. covered: [H, W] bool, where it means something; elsewhere it is taken for 0.

        Returns:
            [H, W]
        """
        height, width = relative_depth.shape
        cell = max(CELL_PX, math.ceil(max(height, width) / MOST_CELLS))
        weight = covered.to(relative_depth.dtype)
        planes = torch.stack([torch.where(covered, relative_depth, 0.0).detach(), weight])[None]
        total, count = F.avg_pool2d(planes, cell, ceil_mode=True)[0]
        rows, columns = total.shape
        # The last cells may reach over the border; their middles are where a whole cell's would be.
        position = pixel_positions(height, width, cell, rows, columns).to(total)
        residual = self.residual(view, position, total / count.clamp(min=1e-6))
        fine = F.interpolate(residual[None, None], scale_factor=cell, mode="bilinear", align_corners=False)
        return torch.exp(fine[0, 0, :height, :width])

    def at_points(self, view: int, position: Tensor, relative_depth: Tensor) -> Tensor:
        """Return the factor of the blur at points in space; no gradient flows to where they are.

        Args:
            position: [N, 2], relative_depth: [N]. Beyond the picture it is that at its border.

        Returns:
            [N]
        """
        axes = [torch.linspace(-1.0, 1.0, count, device=position.device, dtype=position.dtype) for count in LATTICE]
        depth, y, x = torch.meshgrid(*axes, indexing="ij")
        lattice = self.residual(view, torch.stack([x, y], dim=-1), depth * (DEPTH_LIMIT / DEPTH_GAIN))
        scaled = relative_depth[:, None] * (DEPTH_GAIN / DEPTH_LIMIT)
        place = torch.cat([position, scaled], dim=-1).detach().nan_to_num(0.0).clamp(-1.0, 1.0)
        residual = F.grid_sample(lattice[None, None], place[None, None, None], align_corners=True)
        return torch.exp(residual.reshape(-1))

    def penalty(self) -> Tensor:
        """Return the mean square of the residual where it was asked for last: the prior that the lens is a thin one."""
        return torch.zeros(()) if self._seen is None else self._seen.square().mean()


def pixel_positions(height: int, width: int, cell: int = 1, rows: int | None = None, columns: int | None = None):
    """Return middles of the squares of ``cell`` pixels of a picture, as the network takes them. [rows, columns, 2]"""
    half = 0.5 * math.hypot(height, width)
    y = (torch.arange(rows or height) + 0.5) * cell - 0.5 * height
    x = (torch.arange(columns or width) + 0.5) * cell - 0.5 * width
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y], dim=-1) / half
