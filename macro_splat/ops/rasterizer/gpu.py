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
from macro_splat.ops.rasterizer.features import blended_backgrounds, blended_features, expected_depth
from macro_splat.ops.rasterizer.options import TILE_SIZE, RasterizeInputs, RasterizeOptions

ALPHA_MIN = 1.0 / 255.0


def rasterization_gsplat(inputs: RasterizeInputs, options: RasterizeOptions) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render as `rasterization` does, whose checked arguments these are, on CUDA.

    Raises:
        MacroSplatError: gsplat is not installed.
    """
    gsplat = _import_gsplat()
    if inputs.blur_variance is None:
        tensors = {name: tensor for name, tensor in vars(inputs).items() if name != "blur_variance"}
        return gsplat.rasterization(**tensors, **vars(options), packed=False, tile_size=TILE_SIZE)
    radii, means2d, depths, conics, opacities = _project(gsplat, inputs, options, inputs.blur_variance)

    def spherical_harmonics(directions: Tensor, coefficients: Tensor) -> Tensor:
        drawn = (radii if radii.dim() == 2 else radii[..., 0]) > 0
        return gsplat.spherical_harmonics(options.sh_degree, directions, coefficients, masks=drawn)

    features = blended_features(inputs, options, depths, spherical_harmonics)
    n_cameras, tiles = len(inputs.viewmats), (options.tile_columns, options.tile_rows)
    tiles_per_gauss, isect_ids, flatten_ids = gsplat.isect_tiles(
        means2d, radii, depths, TILE_SIZE, *tiles, packed=False
    )
    isect_offsets = gsplat.isect_offset_encode(isect_ids, n_cameras, *tiles)
    lists = {"isect_offsets": isect_offsets, "flatten_ids": flatten_ids}
    render, alphas = _composite(gsplat, inputs, options, (means2d, conics, opacities), features, lists)
    info = options.info(
        n_cameras,
        radii=radii,
        means2d=means2d,
        depths=depths,
        conics=conics,
        opacities=opacities,
        tiles_per_gauss=tiles_per_gauss,
        isect_ids=isect_ids,
        **lists,
    )
    return render, alphas, info


def _project(
    gsplat: ModuleType, inputs: RasterizeInputs, options: RasterizeOptions, blur_variance: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return radii in the layout of the gsplat at hand, centres, depths, conics and opacities, all with the blur."""
    width, height = options.width, options.height
    # gsplat drops what lies outside the image before the blur could bring it in, so it projects onto a wider image.
    margin = blur_margin(blur_variance, width, height)
    shift = torch.zeros_like(inputs.Ks)
    shift[:, :2, 2] = margin
    radii, means2d, depths, conics, compensations = gsplat.fully_fused_projection(
        inputs.means,
        None,
        inputs.quats,
        inputs.scales,
        inputs.viewmats,
        inputs.Ks + shift,
        width + 2 * margin,
        height + 2 * margin,
        eps2d=options.eps2d,
        near_plane=options.near_plane,
        far_plane=options.far_plane,
        packed=False,
        calc_compensations=options.antialiased,
    )
    per_axis = radii.dim() == 3
    projected = (radii > 0).all(-1) if per_axis else radii > 0
    means2d = means2d - margin
    # What was dropped holds uninitialised numbers, which must not reach a gradient even when multiplied by zero.
    conics = torch.where(projected[..., None], conics, conics.new_tensor([1.0, 0.0, 1.0]))
    conics, factors = dilate(conics, blur_variance)
    opacities = inputs.opacities[None] * factors
    if compensations is not None:
        opacities = opacities * compensations
    with torch.no_grad():
        extents = _extents(conics, opacities, per_axis)
        radii = _radii(extents, means2d, projected, width, height, options.radius_clip)
    return radii if per_axis else radii[..., 0].contiguous(), means2d, depths, conics, opacities


def _composite(
    gsplat: ModuleType,
    inputs: RasterizeInputs,
    options: RasterizeOptions,
    splats: tuple[Tensor, Tensor, Tensor],
    features: Tensor,
    lists: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """Blend `splats`, their centres, conics and opacities, into images: some channels at once."""
    means2d, conics, opacities = splats
    backgrounds = blended_backgrounds(inputs, options)
    chunks, alphas = [], []
    for first in range(0, features.shape[-1], options.channel_chunk):
        part = slice(first, first + options.channel_chunk)
        chunk, alpha = gsplat.rasterize_to_pixels(
            means2d,
            conics,
            features[..., part],
            opacities,
            options.width,
            options.height,
            TILE_SIZE,
            *lists.values(),
            backgrounds=None if backgrounds is None else backgrounds[..., part],
            packed=False,
            absgrad=options.absgrad,
        )
        chunks.append(chunk)
        alphas.append(alpha)  # of all chunks the same
    render = torch.cat(chunks, dim=-1) if len(chunks) > 1 else chunks[0]
    return expected_depth(render, alphas[0]) if options.expected_depth else render, alphas[0]


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
    """Return how far outside the image, in whole pixels, a blurred splat may reach into it: 3σ of the strongest blur.

    No more than half the image's longer side: a single splat close to the lens would ask for any amount. Widening the
    image also widens the bounds that the projection is linearised in (by 1.3 margins), which only concerns splats
    centred farther outside than 15 % of the image's size.
    """
    if blur_variance.numel() == 0:
        return 0
    strongest = float(blur_variance.detach().max())
    return min(math.ceil(3 * math.sqrt(strongest)), (max(width, height) + 1) // 2)


def _extents(conics: Tensor, opacities: Tensor, per_axis: bool) -> Tensor:
    """Return how far from its centre each splat is drawn by the gsplat at hand, in x and y, whole pixels. [C, N, 2]"""
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
    """Return the extents as integers, zero where nothing is to be drawn. int32 [C, N, 2]"""
    size = means2d.new_tensor([width, height])
    touches = ((means2d + extents > 0) & (means2d - extents < size)).all(-1)
    drawn = projected & touches & (extents > 0).all(-1) & (extents > radius_clip).any(-1)
    return torch.where(drawn[..., None], extents.clamp_max(2**30), 0.0).int()


def _import_gsplat() -> ModuleType:
    try:
        import gsplat
    except ImportError as error:
        raise MacroSplatError(
            f"gsplat is needed on CUDA and cannot be imported ({error}): pip install gsplat"
        ) from error
    return gsplat
