"""`rasterization_cpu`: the kernels joined to torch's automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from macro_splat.ops.rasterizer.cpu import binning, compositing, harmonics, projection
from macro_splat.ops.rasterizer.cpu.binning import TILE
from macro_splat.simd import run

_EMPTY = np.empty(0, np.float32)


def rasterization_cpu(
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
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    absgrad: bool = False,
    rasterize_mode: str = "classic",
    blur_variance: Tensor | None = None,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render on the processor. Arguments and results are those of `macro_splat.ops.rasterizer.rasterization`.

    They arrive checked: float32 tensors on the CPU of the right shapes.
    """
    n, n_cameras = len(means), len(viewmats)
    means2d, depths, conics, effective_opacities, radii = _Project.apply(
        means,
        quats,
        scales,
        opacities,
        viewmats,
        Ks,
        blur_variance,
        width,
        height,
        near_plane,
        far_plane,
        radius_clip,
        eps2d,
        rasterize_mode == "antialiased",
    )
    with_colors = render_mode not in ("D", "ED")
    if not with_colors:
        colors = means.new_empty(n, 0)
        backgrounds = None
    elif sh_degree is not None:
        colors = _Shade.apply(means, viewmats, colors, radii, sh_degree)
    depth_channel = depths if render_mode != "RGB" else None
    bins = binning.bin_gaussians(
        _flat(means2d),
        _flat(conics),
        _flat(effective_opacities),
        _flat(radii),
        _flat(depths),
        _flat(colors),
        n_cameras,
        n,
        width,
        height,
        color_channels=colors.shape[-1],
        per_camera_colors=colors.dim() == 3,
        with_depth=depth_channel is not None,
    )
    render, alphas = _Composite.apply(
        means2d,
        conics,
        effective_opacities,
        colors,
        depth_channel,
        backgrounds,
        bins,
        width,
        height,
        render_mode in ("ED", "RGB+ED"),
        absgrad,
    )
    info = {
        "camera_ids": None,
        "gaussian_ids": None,
        "radii": radii,
        "means2d": means2d,
        "depths": depths,
        "conics": conics,
        "opacities": effective_opacities,
        "width": width,
        "height": height,
        "n_cameras": n_cameras,
        "tile_size": TILE,
        "tile_width": _chunks(width, TILE),
        "tile_height": _chunks(height, TILE),
        "tiles_per_gauss": torch.from_numpy(bins.tiles_per_gauss).view(n_cameras, n),
    }
    return render, alphas, info


def _flat(tensor: Tensor | None) -> np.ndarray:
    """The numbers of a tensor as one row; empty for None."""
    return _EMPTY if tensor is None else tensor.detach().contiguous().view(-1).numpy()


def _sum(terms: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Add up by numpy, whose order does not depend on the number of threads as torch's does."""
    return terms.sum(axis=axes, dtype=np.float64).astype(np.float32)


def _as_image(by_tile: np.ndarray, cameras: int, height: int, width: int) -> Tensor:
    """From the compositing kernels' order, by tile and block, to rows of pixels. -> [C, H, W]"""
    tile_rows, tile_columns = _chunks(height, TILE), _chunks(width, TILE)
    axes = torch.from_numpy(by_tile).view(cameras, tile_rows, tile_columns, TILE // 2, TILE // 4, 2, 4)
    rows = axes.permute(0, 1, 3, 5, 2, 4, 6).reshape(cameras, tile_rows * TILE, tile_columns * TILE)
    return rows[:, :height, :width]


def _chunks(n: int, chunk: int) -> int:
    return -(-n // chunk)


class _Project(torch.autograd.Function):
    """Gaussians to image: centres [C, N, 2], depths [C, N], conics [C, N, 3], opacities [C, N], radii [C, N]."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        means,
        quats,
        scales,
        opacities,
        viewmats,
        Ks,
        blur_variance,
        width,
        height,
        near,
        far,
        radius_clip,
        eps2d,
        antialiased,
    ):
        n, cameras = len(means), len(viewmats)
        means2d, conics = means.new_empty(cameras, n, 2), means.new_empty(cameras, n, 3)
        depths, effective_opacities = means.new_empty(cameras, n), means.new_empty(cameras, n)
        radii = means.new_empty(cameras, n, dtype=torch.int32)
        run(
            projection.project_forward,
            cameras * _chunks(n, projection.CHUNK),
            *map(_flat, (means, quats, scales, opacities, viewmats, Ks, blur_variance)),
            n,
            np.float32(width),
            np.float32(height),
            np.float32(near),
            np.float32(far),
            np.float32(radius_clip),
            np.float32(eps2d),
            antialiased,
            *map(_flat, (means2d, depths, conics, effective_opacities, radii)),
        )
        ctx.save_for_backward(means, quats, scales, opacities, viewmats, Ks, blur_variance, conics, radii)
        ctx.settings = width, height, eps2d, antialiased
        ctx.mark_non_differentiable(radii)
        return means2d, depths, conics, effective_opacities, radii

    @staticmethod
    @once_differentiable
    def backward(ctx, v_means2d, v_depths, v_conics, v_effective, _):  # type: ignore[no-untyped-def]
        means, quats, scales, opacities, viewmats, Ks, blur_variance, conics, radii = ctx.saved_tensors
        width, height, eps2d, antialiased = ctx.settings
        n, cameras = len(means), len(viewmats)
        chunks = _chunks(n, projection.CHUNK)
        v_means, v_quats, v_scales, v_opacities = (torch.empty(t.shape) for t in (means, quats, scales, opacities))
        v_blur = torch.empty(blur_variance.shape) if ctx.needs_input_grad[6] else None
        v_poses = np.empty((chunks, cameras, 12), np.float32) if ctx.needs_input_grad[4] else _EMPTY
        run(
            projection.project_backward,
            chunks,
            *map(_flat, (means, quats, scales, opacities, viewmats, Ks, blur_variance)),
            n,
            cameras,
            np.float32(width),
            np.float32(height),
            np.float32(eps2d),
            antialiased,
            *map(_flat, (conics, radii, v_means2d, v_depths, v_conics, v_effective)),
            *map(_flat, (v_means, v_quats, v_scales, v_opacities, v_blur)),
            v_poses.reshape(-1),
        )
        v_viewmats = None
        if ctx.needs_input_grad[4]:
            v_viewmats = torch.zeros(cameras, 4, 4)
            v_viewmats[:, :3] = torch.from_numpy(_sum(v_poses, axes=0)).view(cameras, 3, 4)
        return v_means, v_quats, v_scales, v_opacities, v_viewmats, None, v_blur, *[None] * 7


class _Shade(torch.autograd.Function):
    """Colours [C, N, 3] of spherical harmonics [N, K, 3] seen from cameras [C, 4, 4]."""

    @staticmethod
    def forward(ctx, means, viewmats, coefficients, radii, degree):  # type: ignore[no-untyped-def]
        n, cameras = len(means), len(viewmats)
        colors = means.new_empty(cameras, n, 3)
        poses = np.linalg.inv(viewmats.numpy())
        centres = np.ascontiguousarray(poses[:, :3, 3]).reshape(-1)
        run(
            harmonics.shade_forward,
            cameras * _chunks(n, harmonics.CHUNK),
            _flat(means),
            centres,
            _flat(coefficients),
            n,
            coefficients.shape[1],
            degree,
            _flat(radii),
            _flat(colors),
        )
        ctx.save_for_backward(means, coefficients, radii, colors)
        ctx.poses, ctx.centres, ctx.degree = poses, centres, degree
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx, v_colors):  # type: ignore[no-untyped-def]
        means, coefficients, radii, colors = ctx.saved_tensors
        n, cameras = len(means), len(colors)
        chunks = _chunks(n, harmonics.CHUNK)
        for_means, for_viewmats, for_coefficients = ctx.needs_input_grad[:3]
        v_means = torch.empty(means.shape) if for_means or for_viewmats else None
        v_centres = np.empty((chunks, cameras, 3), np.float32) if for_viewmats else _EMPTY
        v_coefficients = torch.empty(coefficients.shape) if for_coefficients else None
        run(
            harmonics.shade_backward,
            chunks,
            _flat(means),
            ctx.centres,
            _flat(coefficients),
            n,
            cameras,
            coefficients.shape[1],
            ctx.degree,
            *map(_flat, (radii, colors, v_colors, v_coefficients, v_means)),
            v_centres.reshape(-1),
        )
        v_viewmats = None
        if for_viewmats:
            # The centre is the last column of P = V⁻¹, and dP = -P·dV·P.
            v_poses = np.zeros_like(ctx.poses)
            v_poses[:, :3, 3] = _sum(v_centres, axes=0)
            transposed = ctx.poses.transpose(0, 2, 1)
            v_viewmats = torch.from_numpy(-transposed @ v_poses @ transposed)
        return v_means, v_viewmats, v_coefficients, None, None


class _Composite(torch.autograd.Function):
    """Binned Gaussians to images [C, H, W, channels] and alphas [C, H, W, 1].

    Sets `absgrad` on the tensor of the centres when it goes backward, as gsplat's function does.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        means2d,
        conics,
        opacities,
        colors,
        depths,
        backgrounds,
        bins,
        width,
        height,
        expected_depth,
        absgrad,
    ):
        cameras = len(means2d)
        channels = colors.shape[-1] + (depths is not None)
        tile_rows, tile_columns = _chunks(height, TILE), _chunks(width, TILE)
        tiles = cameras * tile_rows * tile_columns
        render, alphas = torch.empty(cameras, height, width, channels), torch.empty(cameras, height, width, 1)
        kept = (
            np.empty(tiles * compositing.PIXELS, np.float32),
            np.empty(tiles * compositing.PIXELS, np.int32),
            np.empty(len(bins.entries) // 2, np.int32),
        )
        full_backgrounds = None
        if backgrounds is not None:
            full_backgrounds = torch.zeros(cameras, channels)
            full_backgrounds[:, : colors.shape[-1]] = backgrounds
        common = (
            bins.records,
            bins.stride,
            bins.entries,
            bins.tile_starts,
            bins.tiles_by_length,
            _flat(full_backgrounds),
            tile_rows,
            tile_columns,
            width,
            height,
            channels,
            expected_depth,
            _flat(render),
        )
        run(compositing.composite_forward, tiles, *common, _flat(alphas), *kept)
        ctx.save_for_backward(means2d, conics, opacities, render)
        ctx.bins, ctx.kept, ctx.common, ctx.tiles = bins, kept, common[:-1], tiles
        ctx.colors_shape, ctx.with_depth, ctx.absgrad = colors.shape, depths is not None, absgrad
        return render, alphas

    @staticmethod
    @once_differentiable
    def backward(ctx, v_render, v_alphas):  # type: ignore[no-untyped-def]
        means2d, conics, opacities, render = ctx.saved_tensors
        bins = ctx.bins
        cameras, n = opacities.shape
        color_channels = ctx.colors_shape[-1]
        slots = len(bins.entries) // 2
        touched_slots = np.zeros(slots, np.uint8)
        v_slots = np.empty(slots * bins.stride, np.float32)
        run(
            compositing.composite_backward,
            ctx.tiles,
            *ctx.common,
            _flat(render),
            *ctx.kept,
            _flat(v_render),
            _flat(v_alphas),
            ctx.absgrad,
            touched_slots,
            v_slots,
        )
        v_means2d, v_conics, v_opacities = (
            torch.zeros(cameras, n, 2),
            torch.zeros(cameras, n, 3),
            torch.zeros(cameras, n),
        )
        v_absolute = torch.zeros(cameras, n, 2) if ctx.absgrad else None
        v_colors = torch.zeros(cameras, n, color_channels)
        v_depths = torch.zeros(cameras, n) if ctx.with_depth else None
        run(
            compositing.reduce_gradients,
            _chunks(len(bins.gaussians), compositing.REDUCE_CHUNK),
            bins.gaussians,
            bins.first_slots,
            touched_slots,
            v_slots,
            bins.stride,
            _flat(conics),
            _flat(opacities),
            color_channels,
            ctx.with_depth,
            *map(_flat, (v_means2d, v_absolute, v_conics, v_opacities, v_colors, v_depths)),
        )
        if v_absolute is not None:
            means2d.absgrad = v_absolute
        if len(ctx.colors_shape) == 2:
            v_colors = v_colors.sum(0)
        v_backgrounds = None
        if ctx.needs_input_grad[5]:
            left = _as_image(ctx.kept[0], *render.shape[:3])
            v_pixels = (v_render[..., :color_channels] * left[..., None]).numpy()
            v_backgrounds = torch.from_numpy(_sum(v_pixels, axes=(1, 2)))
        return v_means2d, v_conics, v_opacities, v_colors, v_depths, v_backgrounds, *[None] * 5
