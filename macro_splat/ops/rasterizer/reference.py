"""The rasterizer in plain torch: dense, slow, of any float dtype, differentiated by autograd alone.

It states in readable form what the kernels must compute, and shares no code with them or with gsplat. Every pixel
meets every Gaussian, so memory grows with pixels x Gaussians: small scenes only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from macro_splat.ops.rasterizer.features import blended_backgrounds, blended_features, expected_depth
from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions

# gsplat 1.4's constants (rasterize_to_pixels_fwd.cu, fully_fused_projection_fwd.cu).
ALPHA_MAX = 0.999
ALPHA_MIN = 1.0 / 255.0
TRANSMITTANCE_MIN = 1e-4
FOV_MARGIN = 0.15  # of the image's size: how far outside it the projection is still linearised where it is


class Projection(NamedTuple):
    """What the images see of the Gaussians."""

    radii: Tensor
    """3σ along the longer axis, rounded up, pixels; 0 = not in the image. int32 [C, N]"""
    means2d: Tensor
    """Centres, pixels. [C, N, 2]"""
    depths: Tensor
    """z of the centres in the camera, world units. [C, N]"""
    conics: Tensor
    """(a, b, c) of the inverse 2D covariance, pixels⁻². [C, N, 3]"""
    opacity_factors: Tensor
    """What antialiasing and blur leave of each opacity. [C, N]"""


def rasterization_reference(
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
    backgrounds: Tensor | None = None,
    blur_variance: Tensor | None = None,
    **settings: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render as `rasterization` does; see there for arguments and results. All float tensors share one dtype.

    `settings` are the other fields of `RasterizeOptions`.
    """
    inputs = RasterizeInputs(means, quats, scales, opacities, colors, viewmats, Ks, backgrounds, blur_variance)
    options = RasterizeOptions(width, height, **settings)
    projection = project(inputs, options)
    opacities = inputs.opacities[None] * projection.opacity_factors

    def harmonics(directions: Tensor, coefficients: Tensor) -> Tensor:
        assert options.sh_degree is not None
        return spherical_harmonics(directions, coefficients, options.sh_degree)

    features = blended_features(inputs, options, projection.depths, harmonics)
    size = options.width, options.height
    backgrounds = blended_backgrounds(inputs, options)
    render, alphas = composite(projection, opacities, features, backgrounds, *size, absgrad=options.absgrad)
    if options.expected_depth:
        render = expected_depth(render, alphas)
    info = options.info(
        len(inputs.viewmats),
        radii=projection.radii,
        means2d=projection.means2d,
        depths=projection.depths,
        conics=projection.conics,
        opacities=opacities,
    )
    return render, alphas, info


def project(inputs: RasterizeInputs, options: RasterizeOptions) -> Projection:
    """Project the Gaussians: elliptical weighted averaging (Zwicker et al., EWA Volume Splatting, 2001)."""
    means, viewmats, Ks, blur_variance = inputs.means, inputs.viewmats, inputs.Ks, inputs.blur_variance
    width, height = options.width, options.height
    axes = rotation_matrices(inputs.quats) * inputs.scales[:, None, :]
    world_to_camera = viewmats[:, None, :3, :3]
    centres = (world_to_camera @ means[None, :, :, None])[..., 0] + viewmats[:, None, :3, 3]
    camera_axes = world_to_camera @ axes[None]  # [C, N, 3, 3], columns

    depths = centres[..., 2]
    visible = (depths >= options.near_plane) & (depths <= options.far_plane)
    # Those left out still pass through the formulas below; a harmless depth keeps NaN out of their gradients.
    x, y, z = centres[..., 0], centres[..., 1], torch.where(visible, depths, 1.0)
    fx, fy, cx, cy = (Ks[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)

    # The Jacobian of the projection, taken no farther outside the image than the margin.
    slope_x = (x / z).clamp(-(cx + FOV_MARGIN * width) / fx, (width - cx + FOV_MARGIN * width) / fx)
    slope_y = (y / z).clamp(-(cy + FOV_MARGIN * height) / fy, (height - cy + FOV_MARGIN * height) / fy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * slope_x / z, zero, fy / z, -fy * slope_y / z], dim=-1)
    image_axes = jacobian.unflatten(-1, (2, 3)) @ camera_axes  # [C, N, 2, 3]
    covariance = image_axes @ image_axes.transpose(-1, -2)

    identity = torch.eye(2, dtype=means.dtype, device=means.device)
    padded = covariance + options.eps2d * identity
    factors = torch.ones_like(depths)
    if options.antialiased:
        factors = factors * _sqrt_ratio(_det(covariance), _det(padded))
    if blur_variance is not None:
        blurred = padded + blur_variance[..., None, None] * identity
        factors = factors * _sqrt_ratio(_det(padded), _det(blurred))
        padded = blurred

    det = _det(padded)
    visible = visible & (det > 0)
    safe_det = torch.where(visible, det, 1.0)
    conics = torch.stack([padded[..., 1, 1], -padded[..., 0, 1], padded[..., 0, 0]], dim=-1) / safe_det[..., None]

    with torch.no_grad():
        half_trace = 0.5 * (padded[..., 0, 0] + padded[..., 1, 1])
        radius = (3.0 * (half_trace + (half_trace**2 - det).clamp_min(0.01).sqrt()).sqrt()).ceil()
        u, v = means2d.unbind(-1)
        inside = (u + radius > 0) & (u - radius < width) & (v + radius > 0) & (v - radius < height)
        radii = torch.where(visible & inside & (radius > options.radius_clip), radius.clamp_max(2**30), 0).int()
    return Projection(radii, means2d, depths, conics, factors)


def rotation_matrices(quats: Tensor) -> Tensor:
    """Return rotations of quaternions wxyz of any length; the identity for a zero quaternion. [N, 4] -> [N, 3, 3]"""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True).clamp_min(1e-12)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def spherical_harmonics(directions: Tensor, coefficients: Tensor, degree: int) -> Tensor:
    """Evaluate real spherical harmonics in the order and signs of 3D Gaussian splatting.

    Sloan, Efficient Spherical Harmonic Evaluation (JCGT 2013), appendix A. `directions` [..., 3] need not be
    normalised; `coefficients` [..., K, 3]; returns [..., 3].
    """
    length = directions.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    x, y, z = (directions / length).unbind(-1)
    basis = [torch.full_like(x, 0.28209479177387814)]
    if degree >= 1:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree >= 2:
        basis += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if degree >= 3:
        basis += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1),
            0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return (torch.stack(basis, dim=-1)[..., None] * coefficients[..., : (degree + 1) ** 2, :]).sum(-2)


def composite(
    projection: Projection,
    opacities: Tensor,
    features: Tensor,
    backgrounds: Tensor | None,
    width: int,
    height: int,
    *,
    absgrad: bool,
) -> tuple[Tensor, Tensor]:
    """Blend features front to back: [C, N, X] -> [C, H, W, X] and the accumulated alpha [C, H, W, 1]."""
    means2d, conics = projection.means2d, projection.conics
    dtype, device = means2d.dtype, means2d.device
    n_cameras, n = projection.depths.shape
    order = projection.depths.argsort(dim=1, stable=True)
    a, b, c = (conics[..., k].gather(1, order)[:, None] for k in range(3))
    in_image = (projection.radii > 0).gather(1, order)[:, None]

    rows = torch.arange(height, dtype=dtype, device=device) + 0.5
    columns = torch.arange(width, dtype=dtype, device=device) + 0.5
    pixels = torch.cartesian_prod(rows, columns).flip(-1)  # [P, (x, y)]

    # Each pixel gets its own copy of the centres: the gradients of the copies are the terms that absgrad adds up.
    order2 = order[..., None].expand(n_cameras, n, 2)
    copies = means2d.gather(1, order2)[:, None].expand(n_cameras, len(pixels), n, 2)
    if absgrad and copies.requires_grad:

        def add_up(gradient: Tensor) -> None:
            means2d.absgrad = torch.zeros_like(means2d).scatter(1, order2, gradient.abs().sum(1))  # type: ignore[attr-defined]

        copies.register_hook(add_up)

    dx, dy = (copies - pixels[None, :, None]).unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities.gather(1, order)[:, None] * torch.exp(-sigma)).clamp_max(ALPHA_MAX)
    alpha = torch.where(in_image & (sigma >= 0) & (alpha >= ALPHA_MIN), alpha, 0.0)

    # A pixel ends before the Gaussian that would take its transmittance to the minimum. The product only falls, so
    # that everything behind that Gaussian is left out by the same comparison.
    kept = (1 - alpha).cumprod(-1) > TRANSMITTANCE_MIN
    alpha = torch.where(kept, alpha, 0.0)
    start = alpha.new_ones(n_cameras, len(pixels), 1)
    transmittance = torch.cat([start, (1 - alpha).cumprod(-1)], dim=-1)
    weights = alpha * transmittance[..., :-1]
    rest = transmittance[..., -1:]

    render = weights @ features.gather(1, order[..., None].expand_as(features))
    if backgrounds is not None:
        render = render + rest * backgrounds[:, None]
    return render.unflatten(1, (height, width)), (1 - rest).unflatten(1, (height, width))


def _det(m: Tensor) -> Tensor:
    return m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0]


def _sqrt_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return √(numerator / denominator), and 0 with a zero gradient where the ratio is not positive (a flat splat)."""
    positive = (numerator > 0) & (denominator > 0)
    ratio = torch.where(positive, numerator, 1.0) / torch.where(positive, denominator, 1.0)
    return torch.where(positive, ratio.sqrt(), 0.0)
