"""`rasterization_cpu`: the kernels joined to torch's automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from macro_splat.ops.rasterizer.cpu import binning, compositing, harmonics, projection
from macro_splat.ops.rasterizer.cpu.binning import TILE
from macro_splat.ops.rasterizer.cpu.compositing import Images, Kept
from macro_splat.ops.rasterizer.cpu.projection import Gaussians, Projected
from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions
from macro_splat.simd import flat, run


def rasterization_cpu(inputs: RasterizeInputs, options: RasterizeOptions) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render on the processor, float32 tensors whose shapes have been checked; results as of `rasterization`."""
    n, n_cameras = len(inputs.means), len(inputs.viewmats)
    means2d, depths, conics, opacities, radii = _Project.apply(
        inputs.means,
        inputs.quats,
        inputs.scales,
        inputs.opacities,
        inputs.viewmats,
        inputs.Ks,
        inputs.blur_variance,
        options,
    )
    colors, backgrounds = inputs.colors, inputs.backgrounds
    if not options.with_colors:
        colors, backgrounds = inputs.means.new_empty(n, 0), None
    elif options.sh_degree is not None:
        colors = _Shade.apply(inputs.means, inputs.viewmats, colors, radii, options.sh_degree)
    depth_channel = depths if options.with_depth else None
    bins = binning.bin_gaussians(
        Projected(*map(flat, (means2d, depths, conics, opacities, radii))),
        flat(colors),
        n_cameras,
        options.tile_rows,
        options.tile_columns,
        color_channels=colors.shape[-1],
        per_camera_colors=colors.dim() == 3,
        with_depth=options.with_depth,
    )
    render, alphas = _Composite.apply(means2d, conics, opacities, colors, depth_channel, backgrounds, bins, options)
    info = options.info(
        n_cameras,
        radii=radii,
        means2d=means2d,
        depths=depths,
        conics=conics,
        opacities=opacities,
        tiles_per_gauss=torch.from_numpy(bins.tiles_per_gauss).view(n_cameras, n),
    )
    return render, alphas, info


def _sum(terms: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Add up by numpy, whose order does not depend on the number of threads as torch's does."""
    return terms.sum(axis=axes, dtype=np.float64).astype(np.float32)


def _as_image(by_tile: np.ndarray, cameras: int, height: int, width: int) -> Tensor:
    """Return rows of pixels of what is in the compositing kernels' order, by tile and block. -> [C, H, W]"""
    tile_rows, tile_columns = _chunks(height, TILE), _chunks(width, TILE)
    axes = torch.from_numpy(by_tile).view(cameras, tile_rows, tile_columns, TILE // 2, TILE // 4, 2, 4)
    rows = axes.permute(0, 1, 3, 5, 2, 4, 6).reshape(cameras, tile_rows * TILE, tile_columns * TILE)
    return rows[:, :height, :width]


def _chunks(n: int, chunk: int) -> int:
    return -(-n // chunk)


class _Project(torch.autograd.Function):
    """Gaussians to image: centres [C, N, 2], depths [C, N], conics [C, N, 3], opacities [C, N], radii [C, N]."""

    @staticmethod
    def forward(ctx, means, quats, scales, opacities, viewmats, Ks, blur_variance, options):  # type: ignore[no-untyped-def]
        n, cameras = len(means), len(viewmats)
        means2d, conics = means.new_empty(cameras, n, 2), means.new_empty(cameras, n, 3)
        depths, effective_opacities = means.new_empty(cameras, n), means.new_empty(cameras, n)
        radii = means.new_empty(cameras, n, dtype=torch.int32)
        given = means, quats, scales, opacities, viewmats, Ks, blur_variance
        found = means2d, depths, conics, effective_opacities, radii
        limits = options.width, options.height, options.near_plane, options.far_plane, options.radius_clip
        run(
            projection.project_forward,
            cameras * _chunks(n, projection.CHUNK),
            Gaussians(*map(flat, given)),
            *map(np.float32, (*limits, options.eps2d)),
            options.antialiased,
            Projected(*map(flat, found)),
        )
        ctx.save_for_backward(*given, conics, radii)
        ctx.options = options
        ctx.mark_non_differentiable(radii)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, v_means2d, v_depths, v_conics, v_effective, _):  # type: ignore[no-untyped-def]
        *given, conics, radii = ctx.saved_tensors
        means, quats, scales, opacities, viewmats, _, blur_variance = given
        options, n, cameras = ctx.options, len(means), len(viewmats)
        chunks = _chunks(n, projection.CHUNK)
        for_poses, for_blur = ctx.needs_input_grad[4], ctx.needs_input_grad[6]
        v_means, v_quats, v_scales, v_opacities = (torch.empty(t.shape) for t in (means, quats, scales, opacities))
        v_poses = torch.empty(chunks, cameras, 12) if for_poses else None
        v_blur = torch.empty(blur_variance.shape) if for_blur else None
        run(
            projection.project_backward,
            chunks,
            Gaussians(*map(flat, given)),
            *map(np.float32, (options.width, options.height, options.eps2d)),
            options.antialiased,
            *map(flat, (conics, radii)),
            Projected(*map(flat, (v_means2d, v_depths, v_conics, v_effective, None))),
            Gaussians(*map(flat, (v_means, v_quats, v_scales, v_opacities, v_poses, None, v_blur))),
        )
        v_viewmats = None
        if v_poses is not None:
            v_viewmats = torch.zeros(cameras, 4, 4)
            v_viewmats[:, :3] = torch.from_numpy(_sum(v_poses.numpy(), axes=0)).view(cameras, 3, 4)
        return v_means, v_quats, v_scales, v_opacities, v_viewmats, None, v_blur, None


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
            flat(means),
            centres,
            flat(coefficients),
            n,
            coefficients.shape[1],
            degree,
            flat(radii),
            flat(colors),
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
        v_centres = torch.empty(chunks, cameras, 3) if for_viewmats else None
        v_coefficients = torch.empty(coefficients.shape) if for_coefficients else None
        run(
            harmonics.shade_backward,
            chunks,
            flat(means),
            ctx.centres,
            flat(coefficients),
            n,
            cameras,
            coefficients.shape[1],
            ctx.degree,
            *map(flat, (radii, colors, v_colors, v_coefficients, v_means, v_centres)),
        )
        v_viewmats = None
        if v_centres is not None:
            # The centre is the last column of P = V⁻¹, and dP = -P·dV·P.
            v_poses = np.zeros_like(ctx.poses)
            v_poses[:, :3, 3] = _sum(v_centres.numpy(), axes=0)
            transposed = ctx.poses.transpose(0, 2, 1)
            v_viewmats = torch.from_numpy(-transposed @ v_poses @ transposed)
        return v_means, v_viewmats, v_coefficients, None, None


class _Composite(torch.autograd.Function):
    """Binned Gaussians to images [C, H, W, channels] and alphas [C, H, W, 1].

    Sets `absgrad` on the tensor of the centres when it goes backward, as gsplat's function does.
    """

    @staticmethod
    def forward(ctx, means2d, conics, opacities, colors, depths, backgrounds, bins, options):  # type: ignore[no-untyped-def]
        cameras, channels = len(means2d), colors.shape[-1] + options.with_depth
        tiles = cameras * bins.tile_rows * bins.tile_columns
        render = torch.empty(cameras, options.height, options.width, channels)
        alphas = torch.empty(cameras, options.height, options.width, 1)
        kept = Kept(
            np.empty(tiles * compositing.PIXELS, np.float32),
            np.empty(tiles * compositing.PIXELS, np.int32),
            np.empty(len(bins.entries) // 2, np.int32),
        )
        full_backgrounds = None
        if backgrounds is not None:
            full_backgrounds = torch.zeros(cameras, channels)
            full_backgrounds[:, : colors.shape[-1]] = backgrounds
        sizes = options.width, options.height, channels, options.expected_depth
        images = Images(*sizes, *map(flat, (full_backgrounds, render, alphas)))
        run(compositing.composite_forward, tiles, bins, images, kept)
        ctx.save_for_backward(means2d, conics, opacities, render)
        ctx.bins, ctx.kept, ctx.images, ctx.tiles = bins, kept, images, tiles
        ctx.colors_shape, ctx.options = colors.shape, options
        return render, alphas

    @staticmethod
    @once_differentiable
    def backward(ctx, v_render, v_alphas):  # type: ignore[no-untyped-def]
        means2d, conics, opacities, render = ctx.saved_tensors
        bins, options = ctx.bins, ctx.options
        cameras, n = opacities.shape
        color_channels = ctx.colors_shape[-1]
        slots = len(bins.entries) // 2
        touched_slots = np.zeros(slots, np.uint8)
        v_slots = np.empty(slots * bins.stride, np.float32)
        upstream = flat(v_render), flat(v_alphas), options.absgrad
        run(compositing.composite_backward, ctx.tiles, bins, ctx.images, ctx.kept, *upstream, touched_slots, v_slots)
        v_means2d, v_conics = torch.zeros(cameras, n, 2), torch.zeros(cameras, n, 3)
        v_opacities, v_colors = torch.zeros(cameras, n), torch.zeros(cameras, n, color_channels)
        v_absolute = torch.zeros(cameras, n, 2) if options.absgrad else None
        v_depths = torch.zeros(cameras, n) if options.with_depth else None
        run(
            compositing.reduce_gradients,
            _chunks(len(bins.gaussians), compositing.REDUCE_CHUNK),
            bins,
            touched_slots,
            v_slots,
            *map(flat, (conics, opacities)),
            color_channels,
            options.with_depth,
            *map(flat, (v_means2d, v_absolute, v_conics, v_opacities, v_colors, v_depths)),
        )
        if v_absolute is not None:
            means2d.absgrad = v_absolute
        if len(ctx.colors_shape) == 2:
            v_colors = v_colors.sum(0)
        v_backgrounds = None
        if ctx.needs_input_grad[5]:
            left = _as_image(ctx.kept.transmittances, *render.shape[:3])
            v_pixels = (v_render[..., :color_channels] * left[..., None]).numpy()
            v_backgrounds = torch.from_numpy(_sum(v_pixels, axes=(1, 2)))
        return v_means2d, v_conics, v_opacities, v_colors, v_depths, v_backgrounds, None, None
