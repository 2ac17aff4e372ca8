"""What is blended into the images, and what lies behind it: for the rasterizers that are written in torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions


def blended_features(
    inputs: RasterizeInputs,
    options: RasterizeOptions,
    depths: Tensor,
    spherical_harmonics: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return what is blended: colours, depths or both, X channels. [C, N, X]

    Args:
        depths: [C, N].
        spherical_harmonics: evaluates them, from directions [C, N, 3] and coefficients [C, N, K, 3] to [C, N, 3].
    """
    if not options.with_colors:
        return depths[..., None]
    colors, n_cameras = inputs.colors, len(inputs.viewmats)
    if options.sh_degree is not None:
        directions = inputs.means[None] - torch.linalg.inv(inputs.viewmats)[:, None, :3, 3]
        coefficients = colors[None].expand(n_cameras, *colors.shape)
        colors = (spherical_harmonics(directions, coefficients) + 0.5).clamp_min(0.0)
    elif colors.dim() == 2:
        colors = colors[None].expand(n_cameras, *colors.shape)
    return torch.cat([colors, depths[..., None]], dim=-1) if options.with_depth else colors


def blended_backgrounds(inputs: RasterizeInputs, options: RasterizeOptions) -> Tensor | None:
    """Return the features behind everything [C, X], None for black; the depth channel's is 0."""
    backgrounds = inputs.backgrounds
    if backgrounds is None or not options.with_depth:
        return backgrounds
    depth = torch.zeros_like(backgrounds[:, :1])
    return torch.cat([backgrounds, depth], dim=-1) if options.with_colors else depth


def expected_depth(render: Tensor, alphas: Tensor) -> Tensor:
    """Return the images [C, H, W, X] with their last channel divided by alpha [C, H, W, 1]."""
    return torch.cat([render[..., :-1], render[..., -1:] / alphas.clamp_min(1e-10)], dim=-1)
