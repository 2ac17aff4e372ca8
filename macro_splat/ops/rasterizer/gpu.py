"""The rasterizer on NVIDIA cards: gsplat's own public functions, with the blur put between its two halves.

Without blur this is `gsplat.rasterization`. With it the projected Gaussians are widened in torch before they are
sorted into tiles. Works with gsplat 1.4, whose radii are [C, N], and 1.5, whose radii are [C, N, 2].
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from macro_splat.errors import MacroSplatError
from macro_splat.ops.rasterizer.rasterization import TILE_SIZE, RasterizeMode, RenderMode

ALPHA_MIN = 1.0 / 255.0


def rasterization_gsplat(
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
    near_plane: float,
    far_plane: float,
    radius_clip: float,
    eps2d: float,
    sh_degree: int | None,
    backgrounds: Tensor | None,
    render_mode: RenderMode,
    absgrad: bool,
    rasterize_mode: RasterizeMode,
    blur_variance: Tensor | None,
    channel_chunk: int,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render as `rasterization` does, whose checked arguments these are, on CUDA.

    Raises:
        MacroSplatError: gsplat is not installed.
    """
    gsplat = _import_gsplat()
    if blur_variance is None:
        return gsplat.rasterization(
            means,
            quats,
            scales,
            opacities,
            colors,
            viewmats,
            Ks,
            width,
            height,
            near_plane=near_plane,
            far_plane=far_plane,
            radius_clip=radius_clip,
            eps2d=eps2d,
            sh_degree=sh_degree,
            packed=False,
            tile_size=TILE_SIZE,
            backgrounds=backgrounds,
            render_mode=render_mode,
            absgrad=absgrad,
            rasterize_mode=rasterize_mode,
            channel_chunk=channel_chunk,
        )

    # gsplat drops what lies outside the image before the blur could bring it in, so it projects onto a wider image.
    margin = blur_margin(blur_variance, width, height)
    shift = torch.zeros_like(Ks)
    shift[:, :2, 2] = margin
    radii, means2d, depths, conics, compensations = gsplat.fully_fused_projection(
        means,
        None,
        quats,
        scales,
        viewmats,
        Ks + shift,
        width + 2 * margin,
        height + 2 * margin,
        eps2d=eps2d,
        near_plane=near_plane,
        far_plane=far_plane,
        packed=False,
        calc_compensations=rasterize_mode == "antialiased",
    )
    per_axis = radii.dim() == 3
    projected = (radii > 0).all(-1) if per_axis else radii > 0
    means2d = means2d - margin
    # What was dropped holds uninitialised numbers, which must not reach a gradient even when multiplied by zero.
    conics = torch.where(projected[..., None], conics, conics.new_tensor([1.0, 0.0, 1.0]))
    conics, factors = dilate(conics, blur_variance)
    opacities = opacities[None] * factors
    if compensations is not None:
        opacities = opacities * compensations
    with torch.no_grad():
        radii = _radii(_extents(conics, opacities, per_axis), means2d, projected, width, height, radius_clip)
    features = _features(gsplat, colors, means, viewmats, depths, radii[..., 0] > 0, sh_degree, render_mode)
    radii = radii if per_axis else radii[..., 0].contiguous()
    if backgrounds is not None and render_mode != "RGB":
        depth_background = torch.zeros_like(backgrounds[:, :1])
        parts = [depth_background] if render_mode in ("D", "ED") else [backgrounds, depth_background]
        backgrounds = torch.cat(parts, dim=-1)

    n_cameras = len(viewmats)
    tile_width, tile_height = math.ceil(width / TILE_SIZE), math.ceil(height / TILE_SIZE)
    tiles_per_gauss, isect_ids, flatten_ids = gsplat.isect_tiles(
        means2d, radii, depths, TILE_SIZE, tile_width, tile_height, packed=False
    )
    isect_offsets = gsplat.isect_offset_encode(isect_ids, n_cameras, tile_width, tile_height)

    chunks, render_alphas = [], None
    for first in range(0, features.shape[-1], channel_chunk):
        part = slice(first, first + channel_chunk)
        chunk, alphas = gsplat.rasterize_to_pixels(
            means2d,
            conics,
            features[..., part],
            opacities,
            width,
            height,
            TILE_SIZE,
            isect_offsets,
            flatten_ids,
            backgrounds=None if backgrounds is None else backgrounds[..., part],
            packed=False,
            absgrad=absgrad,
        )
        chunks.append(chunk)
        render_alphas = alphas if render_alphas is None else render_alphas  # of all chunks the same
    assert render_alphas is not None
    render = torch.cat(chunks, dim=-1) if len(chunks) > 1 else chunks[0]
    if render_mode in ("ED", "RGB+ED"):
        render = torch.cat([render[..., :-1], render[..., -1:] / render_alphas.clamp_min(1e-10)], dim=-1)

    info = {
        "camera_ids": None,
        "gaussian_ids": None,
        "radii": radii,
        "means2d": means2d,
        "depths": depths,
        "conics": conics,
        "opacities": opacities,
        "tile_width": tile_width,
        "tile_height": tile_height,
        "tiles_per_gauss": tiles_per_gauss,
        "isect_ids": isect_ids,
        "flatten_ids": flatten_ids,
        "isect_offsets": isect_offsets,
        "width": width,
        "height": height,
        "tile_size": TILE_SIZE,
        "n_cameras": n_cameras,
    }
    return render, render_alphas, info


def dilate(conics: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Widen 2D Gaussians by an isotropic one: the conics of Σ + σ²·I, and √(det Σ / det(Σ + σ²·I)).

    With the conic (a, b, c) of Σ, D = ac − b² and v = σ² the determinants' ratio is q = 1 + v(a + c) + v²D, and the
    new conic (a + vD, b, c + vD) / q. conics [..., 3], variance [...] in pixels² -> conics [..., 3], factors [...].
    """
    a, b, c = conics.unbind(-1)
    det = a * c - b * b
    q = 1 + variance * (a + c) + variance * variance * det
    widened = torch.stack([a + variance * det, b, c + variance * det], dim=-1) / q[..., None]
    return widened, q.rsqrt()


def blur_margin(blur_variance: Tensor, width: int, height: int) -> int:
    """How far outside the image, in whole pixels, a blurred splat may reach into it: 3σ of the strongest blur.

    No more than half the image's longer side: a single splat close to the lens would ask for any amount. Widening the
    image also widens the bounds that the projection is linearised in (by 1.3 margins), which only concerns splats
    centred farther outside than 15 % of the image's size.
    """
    if blur_variance.numel() == 0:
        return 0
    strongest = float(blur_variance.detach().max())
    return min(math.ceil(3 * math.sqrt(strongest)), (max(width, height) + 1) // 2)


def _extents(conics: Tensor, opacities: Tensor, per_axis: bool) -> Tensor:
    """How far from its centre each splat is drawn by the gsplat at hand, along x and y, whole pixels. [C, N, 2]"""
    a, b, c = conics.unbind(-1)
    det = 1 / (a * c - b * b)
    variance_x, variance_y = c * det, a * det
    if per_axis:  # gsplat 1.5: to alpha = 1/255, at most 3.33σ
        reach = (2 * torch.log(opacities / ALPHA_MIN)).clamp_min(0).sqrt().clamp_max(3.33)
        return (reach[..., None] * torch.stack([variance_x, variance_y], dim=-1).sqrt()).ceil()
    half_trace = 0.5 * (variance_x + variance_y)
    longest = half_trace + (half_trace * half_trace - det).clamp_min(0.01).sqrt()
    return (3 * longest.sqrt()).ceil()[..., None].expand(*a.shape, 2)


def _radii(extents: Tensor, means2d: Tensor, projected: Tensor, width: int, height: int, radius_clip: float) -> Tensor:
    """The extents as integers, zero where nothing is to be drawn. int32 [C, N, 2]"""
    size = means2d.new_tensor([width, height])
    touches = ((means2d + extents > 0) & (means2d - extents < size)).all(-1)
    drawn = projected & touches & (extents > 0).all(-1) & (extents > radius_clip).any(-1)
    return torch.where(drawn[..., None], extents.clamp_max(2**30), 0.0).int()


def _features(
    gsplat: ModuleType,
    colors: Tensor,
    means: Tensor,
    viewmats: Tensor,
    depths: Tensor,
    drawn: Tensor,
    sh_degree: int | None,
    render_mode: RenderMode,
) -> Tensor:
    """What is blended: colours, depths or both. [C, N, X]"""
    if render_mode in ("D", "ED"):
        return depths[..., None]
    if sh_degree is not None:
        directions = means[None] - torch.linalg.inv(viewmats)[:, None, :3, 3]
        coefficients = colors[None].expand(len(viewmats), *colors.shape)
        colors = gsplat.spherical_harmonics(sh_degree, directions, coefficients, masks=drawn)
        colors = (colors + 0.5).clamp_min(0.0)
    elif colors.dim() == 2:
        colors = colors[None].expand(len(viewmats), *colors.shape)
    return colors if render_mode == "RGB" else torch.cat([colors, depths[..., None]], dim=-1)


def _import_gsplat() -> ModuleType:
    try:
        import gsplat
    except ImportError as error:
        raise MacroSplatError(
            f"gsplat is needed on CUDA and cannot be imported ({error}): pip install gsplat"
        ) from error
    return gsplat
