"""The public face of the rasterizer: checks the arguments, then hands them to the machine's own implementation."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from macro_splat.ops.rasterizer.options import TILE_SIZE, RasterizeInputs, RasterizeMode, RasterizeOptions, RenderMode
from macro_splat.utils.untraced import untraced


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = False,
    tile_size: int = TILE_SIZE,
    backgrounds: Tensor | None = None,
    render_mode: RenderMode = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: RasterizeMode = "classic",
    channel_chunk: int = 32,
    distributed: bool = False,
    camera_model: Literal["pinhole"] = "pinhole",
    covars: Tensor | None = None,
    *,
    blur_variance: Tensor | None = None,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render N Gaussians into C images: gsplat 1.4's `rasterization`, plus a defocus of each Gaussian.

    Differentiable in `means`, `quats`, `scales`, `opacities`, `colors`, `viewmats`, `backgrounds` and
    `blur_variance`; not in `Ks`.

    Args:
        means: centres, world units. [N, 3]
        quats: orientations, wxyz, not necessarily normalised. [N, 4]
        scales: standard deviations along the three axes, world units. [N, 3]
        opacities: in [0, 1]. [N]
        colors: with `sh_degree` None, D features per Gaussian, [N, D] or [C, N, D]; else coefficients of the real
            spherical harmonics, [N, K, 3] with K ≥ (sh_degree + 1)².
        viewmats: world to camera, OpenCV axes (z forward). [C, 4, 4]
        Ks: pinhole intrinsics in pixels, no skew. [C, 3, 3]
        width, height, near_plane, far_plane, radius_clip, eps2d, sh_degree, render_mode, absgrad, rasterize_mode,
            channel_chunk: see `RasterizeOptions`.
        backgrounds: features behind everything, [C, D]; None is black. The depth channel's is 0.
        packed, tile_size, sparse_grad, distributed, camera_model, covars: only their defaults.
        blur_variance: variance σ² ≥ 0 in pixels² of the isotropic Gaussian each splat is blurred with in each
            image; None is no blur. The 2D covariance becomes Σ + eps2d·I + σ²·I; the opacity is scaled by the
            square root of the ratio of the two determinants, so that the splat's integral over the image is kept.
            [C, N]

    Returns:
        `(render_colors, render_alphas, info)`: [C, H, W, X] with X = D, 1 or D + 1 by `render_mode`; [C, H, W, 1];
        and a dict with, at least, "means2d" [C, N, 2] (part of the graph: `retain_grad` works), "radii" (int32, 0 =
        not in the image; [C, N], or [C, N, 2] where gsplat ≥ 1.5 runs on CUDA), "depths" [C, N], "conics" [C, N, 3],
        "opacities" [C, N], "width", "height", "n_cameras", "tile_size", and "camera_ids" and "gaussian_ids", which
        are None in this unpacked layout.

    Raises:
        NotImplementedError: an option of gsplat's that this function does not have.
        TypeError: a tensor of another dtype than float32.
        ValueError: a wrong shape, device or value; the message names the argument.
    """
    for name, value, only in (
        ("packed", packed, False),
        ("tile_size", tile_size, TILE_SIZE),
        ("sparse_grad", sparse_grad, False),
        ("distributed", distributed, False),
        ("camera_model", camera_model, "pinhole"),
        ("covars", covars, None),
    ):
        if value is not only and (isinstance(value, Tensor) or value != only):
            raise NotImplementedError(f"rasterization: {name}={_short(value)} is not supported, only {name}={only!r}")
    options = RasterizeOptions(
        width,
        height,
        near_plane,
        far_plane,
        radius_clip,
        eps2d,
        sh_degree,
        render_mode,
        absgrad,
        rasterize_mode,
        channel_chunk,
    )
    inputs = RasterizeInputs(means, quats, scales, opacities, colors, viewmats, Ks, backgrounds, blur_variance)
    _check_tensors(inputs, sh_degree)
    # Both are imported on first use: one starts a compiler, the other needs an NVIDIA card.
    if means.device.type == "cpu":
        with untraced():
            from macro_splat.ops.rasterizer.cpu import rasterization_cpu

        return rasterization_cpu(inputs, options)
    with untraced():
        from macro_splat.ops.rasterizer.gpu import rasterization_gsplat

    return rasterization_gsplat(inputs, options)


def _check_tensors(inputs: RasterizeInputs, sh_degree: int | None) -> None:
    means, colors, viewmats, blur_variance = inputs.means, inputs.colors, inputs.viewmats, inputs.blur_variance
    n = len(means) if isinstance(means, Tensor) and means.dim() else 0
    c = len(viewmats) if isinstance(viewmats, Tensor) and viewmats.dim() else 0
    for name, shapes in _expected_shapes(n, c, colors, sh_degree).items():
        tensor = getattr(inputs, name)
        if tensor is None and name in ("backgrounds", "blur_variance"):
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"rasterization: {name} is a {type(tensor).__name__}, it must be a torch.Tensor")
        if not any(_matches(tuple(tensor.shape), shape) for shape in shapes):
            wanted = " or ".join(_shape_text(shape) for shape in shapes)
            raise ValueError(
                f"rasterization: {name} has shape {list(tensor.shape)}, wanted {wanted}"
                f" (N = {n} from means, C = {c} from viewmats)"
            )
        if tensor.dtype != torch.float32:
            raise TypeError(
                f"rasterization: {name} is {tensor.dtype}, it must be torch.float32"
                " (rasterization_reference takes other dtypes)"
            )
        if tensor.device != means.device:
            raise ValueError(f"rasterization: {name} is on {tensor.device}, but means is on {means.device}")

    if means.device.type not in ("cpu", "cuda"):
        raise ValueError(f"rasterization: means is on {means.device}; only cpu and cuda are supported")
    if c == 0:
        raise ValueError("rasterization: viewmats has shape [0, 4, 4]; at least one camera is needed")
    if sh_degree is not None and colors.shape[-2] < (sh_degree + 1) ** 2:
        raise ValueError(
            f"rasterization: colors has {colors.shape[-2]} coefficients per Gaussian,"
            f" sh_degree {sh_degree} needs {(sh_degree + 1) ** 2}"
        )
    # `not >= 0` rather than `< 0`, so that NaN is caught as well.
    if blur_variance is not None and blur_variance.numel() and not bool(blur_variance.detach().min() >= 0):
        raise ValueError(
            f"rasterization: blur_variance is {float(blur_variance.detach().min())} somewhere, it must be at least 0"
        )


def _expected_shapes(n: int, c: int, colors: Tensor, sh_degree: int | None) -> dict[str, list[tuple[int | None, ...]]]:
    """Return the shapes that each tensor may have; None stands for any length."""
    dimensions = colors.dim() if isinstance(colors, Tensor) else 0
    channels = 3 if sh_degree is not None else colors.shape[-1] if dimensions else None
    flat_colors: list[tuple[int | None, ...]] = [] if dimensions == 3 else [(n, None)]
    return {
        "means": [(n, 3)],
        "quats": [(n, 4)],
        "scales": [(n, 3)],
        "opacities": [(n,)],
        "colors": [*flat_colors, (c, n, None)] if sh_degree is None else [(n, None, 3)],
        "viewmats": [(c, 4, 4)],
        "Ks": [(c, 3, 3)],
        "backgrounds": [(c, channels)],
        "blur_variance": [(c, n)],
    }


def _matches(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted, strict=True))


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("any" if s is None else str(s) for s in shape) + "]"


def _short(value: object) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
