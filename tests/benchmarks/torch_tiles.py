"""The yardstick of the benchmark: what plain torch can do on a processor, as fast as it goes without kernels.

Tiles of 16 x 16 pixels, each with the depth-sorted list of the splats whose alpha reaches 1/255 inside it; tiles of
similar length are padded to one rectangle and composited together by whole-tensor operations; autograd goes back.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions
from macro_splat.ops.rasterizer.reference import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project, spherical_harmonics

TILE = 16
TILES_AT_ONCE = 8  # the fastest: what they need stays in the cache


def rasterization_torch_tiles(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    sh_degree: int,
    tiles_at_once: int = TILES_AT_ONCE,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render one camera in mode RGB+ED with absgrad: the benchmark's case of `rasterization`."""
    inputs = RasterizeInputs(means, quats, scales, opacities, colors, viewmats, Ks)
    projection = project(inputs, RasterizeOptions(width, height))
    means2d = projection.means2d
    directions = means - torch.linalg.inv(viewmats)[0, :3, 3]
    rgb = (spherical_harmonics(directions, colors, sh_degree) + 0.5).clamp_min(0.0)
    features = torch.cat([rgb, projection.depths[0, :, None]], dim=-1)

    tiles_x, tiles_y = math.ceil(width / TILE), math.ceil(height / TILE)
    ids, counts = _sorted_into_tiles(projection, opacities, tiles_x, tiles_y)
    starts = counts.cumsum(0) - counts
    y, x = torch.meshgrid(torch.arange(TILE) + 0.5, torch.arange(TILE) + 0.5, indexing="ij")
    inside_tile = torch.stack([x.flatten(), y.flatten()], dim=-1)
    absgrad = torch.zeros_like(means2d[0])

    image = torch.zeros(tiles_x * tiles_y, TILE * TILE, 4)
    alphas = torch.zeros(tiles_x * tiles_y, TILE * TILE, 1)
    # The longest lists first, so that tiles padded together need little padding.
    by_length = counts.argsort(descending=True)[: int((counts > 0).sum())]
    for tiles in by_length.split(tiles_at_once):
        positions = starts[tiles, None] + torch.arange(int(counts[tiles].max()))
        real = positions < (starts + counts)[tiles, None]
        held = ids[positions.clamp_max(len(ids) - 1)]  # [T, L]
        corners = torch.stack([tiles % tiles_x, tiles // tiles_x], dim=-1) * TILE
        pixels = corners[:, None] + inside_tile  # [T, 256, 2]
        offsets = means2d[0, held][:, None] - pixels[:, :, None]  # [T, 256, L, 2]
        if offsets.requires_grad:

            def add_up(gradient: Tensor, held: Tensor = held) -> None:
                absgrad.index_add_(0, held.flatten(), gradient.abs().sum(1).flatten(0, 1))

            offsets.register_hook(add_up)
        dx, dy = offsets.unbind(-1)
        a, b, c = projection.conics[0, held][:, None].unbind(-1)
        sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[held][:, None] * torch.exp(-sigma)).clamp_max(ALPHA_MAX)
        alpha = torch.where(real[:, None] & (alpha >= ALPHA_MIN), alpha, 0.0)
        after = (1 - alpha).cumprod(-1)
        kept = after > TRANSMITTANCE_MIN
        before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], dim=-1)
        weights = torch.where(kept, alpha * before, 0.0)
        image = image.index_copy(0, tiles, weights @ features[held])
        alphas = alphas.index_copy(0, tiles, weights.sum(-1, keepdim=True))

    means2d.absgrad = absgrad[None]  # type: ignore[attr-defined]
    image, alphas = (_untile(t, tiles_x, tiles_y, width, height) for t in (image, alphas))
    image = torch.cat([image[..., :3], image[..., 3:] / alphas.clamp_min(1e-10)], dim=-1)
    return image, alphas, {"means2d": means2d, "radii": projection.radii}


@torch.no_grad()
def _sorted_into_tiles(projection: Any, opacities: Tensor, tiles_x: int, tiles_y: int) -> tuple[Tensor, Tensor]:
    """The splats of each tile, nearest first, all tiles in one row, and how many each has."""
    a, b, c = projection.conics[0].unbind(-1)
    reach = 2 * torch.log((opacities / ALPHA_MIN).clamp_min(1.0)) / (a * c - b * b)
    extent = torch.stack([reach * c, reach * a], dim=-1).sqrt()
    low = ((projection.means2d[0] - extent) / TILE).floor().long()
    high = ((projection.means2d[0] + extent) / TILE).floor().long() + 1
    limit = torch.tensor([tiles_x, tiles_y])
    low, high = low.clamp_min(0).minimum(limit), high.clamp_min(0).minimum(limit)
    size = (high - low).clamp_min(0) * (projection.radii[0] > 0)[:, None]
    n_tiles = size.prod(-1)

    ids = torch.arange(len(n_tiles)).repeat_interleave(n_tiles)
    number = torch.arange(len(ids)) - (n_tiles.cumsum(0) - n_tiles)[ids]  # within the splat's own rectangle
    columns = size[ids, 0]
    tile = (low[ids, 1] + number // columns) * tiles_x + low[ids, 0] + number % columns
    rank = projection.depths[0].argsort(stable=True).argsort()
    order = (tile * len(n_tiles) + rank[ids]).argsort()
    return ids[order], torch.bincount(tile, minlength=tiles_x * tiles_y)


def _untile(tiles: Tensor, tiles_x: int, tiles_y: int, width: int, height: int) -> Tensor:
    grid = tiles.view(tiles_y, tiles_x, TILE, TILE, -1).transpose(1, 2)
    return grid.reshape(1, tiles_y * TILE, tiles_x * TILE, tiles.shape[-1])[:, :height, :width]
