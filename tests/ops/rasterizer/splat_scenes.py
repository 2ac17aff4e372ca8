"""Small seeded scenes, and what is needed to compare two rasterizers on them fairly.

A rasterizer is not continuous: a Gaussian vanishes from a pixel where its alpha falls under 1/255, and a pixel ends
where its transmittance would fall to 1e-4. Within rounding of such a step float32 and float64 may rightly disagree.
`steady_pixels` finds the pixels that are away from every step (more than 98 % of them, which the tests assert); all
others get no weight in the loss, for both sides. Nothing else is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

DIFFERENTIABLE = ("means", "quats", "scales", "opacities", "colors", "viewmats", "backgrounds", "blur_variance")


@dataclass
class Scene:
    """Arguments of a rasterizer, float64 values that float32 represents exactly."""

    tensors: dict[str, Tensor]
    width: int
    height: int
    options: dict[str, Any] = field(default_factory=dict)

    def with_options(self, **options: Any) -> Scene:
        return Scene(self.tensors, self.width, self.height, {**self.options, **options})

    def with_tensors(self, **tensors: Tensor) -> Scene:
        return Scene({**self.tensors, **tensors}, self.width, self.height, self.options)

    def leaves(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return {
            name: tensor.to(dtype, copy=True).requires_grad_(name in DIFFERENTIABLE)
            for name, tensor in self.tensors.items()
        }

    def render(self, function: Callable, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, dict[str, Any]]:
        with torch.no_grad():
            return function(**self.leaves(dtype), width=self.width, height=self.height, **self.options)


def float32_exact(tensor: Tensor) -> Tensor:
    return tensor.float().double()


def look_at_origin(eye: Tensor) -> Tensor:
    """World to camera, OpenCV axes. [3] -> [4, 4]"""
    forward = -eye / eye.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0], dtype=eye.dtype))
    right = right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    view = torch.eye(4, dtype=eye.dtype)
    view[:3, :3] = rotation
    view[:3, 3] = -rotation @ eye
    return view


def intrinsics(n_cameras: int, width: int, height: int, focal: float) -> Tensor:
    K = torch.tensor([[focal, 0, 0.52 * width], [0, 1.03 * focal, 0.47 * height], [0, 0, 1]], dtype=torch.float64)
    return K.repeat(n_cameras, 1, 1)


def random_scene(
    seed: int,
    n: int = 80,
    n_cameras: int = 1,
    *,
    sh_degree: int | None = None,
    channels: int = 3,
    colors_per_camera: bool = False,
    background: bool = True,
    blur: bool = False,
    width: int = 45,
    height: int = 37,
    scale: tuple[float, float] = (0.03, 0.25),
    opacity: tuple[float, float] = (0.05, 0.95),
) -> Scene:
    """A ball of anisotropic Gaussians seen from around, some of it outside the image."""
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=g, dtype=torch.float64)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    eyes = torch.nn.functional.normalize(normal(n_cameras, 3) + torch.tensor([0.3, 1.5, 0.2]), dim=-1) * 3.0
    if sh_degree is not None:
        colors = normal(n, 16, 3) * 0.3
        colors[:, 0] += 0.5
    elif colors_per_camera:
        colors = uniform(0.0, 1.0, n_cameras, n, channels)
    else:
        colors = uniform(0.0, 1.0, n, channels)
    tensors = {
        "means": normal(n, 3) * 0.6,
        "quats": normal(n, 4),
        "scales": uniform(*scale, n, 3),
        "opacities": uniform(*opacity, n),
        "colors": colors,
        "viewmats": torch.stack([look_at_origin(eye) for eye in eyes]),
        "Ks": intrinsics(n_cameras, width, height, 1.1 * width),
    }
    if background:
        tensors["backgrounds"] = uniform(0.0, 1.0, n_cameras, colors.shape[-1])
    if blur:
        tensors["blur_variance"] = uniform(0.0, 3.0, n_cameras, n) ** 2
    tensors = {name: float32_exact(tensor) for name, tensor in tensors.items()}
    return Scene(tensors, width, height, {} if sh_degree is None else {"sh_degree": sh_degree})


def flat_scene(
    means: list,
    *,
    scales: float = 0.1,
    axes: tuple[float, float, float] = (1.0, 0.7, 1.3),
    opacities: float = 0.7,
    width: int = 45,
    height: int = 37,
) -> Scene:
    """Gaussians at given places, standing along the axes of one camera at the origin that looks along z."""
    n = len(means)
    tensors = {
        "means": torch.tensor(means, dtype=torch.float64).reshape(n, 3),
        "quats": torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(n, 1),
        "scales": scales * torch.tensor([axes], dtype=torch.float64).repeat(n, 1),
        "opacities": torch.full((n,), opacities, dtype=torch.float64),
        "colors": torch.linspace(0.2, 0.9, 3 * n, dtype=torch.float64).reshape(n, 3),
        "viewmats": torch.eye(4, dtype=torch.float64)[None],
        "Ks": intrinsics(1, width, height, 40.0),
    }
    return Scene({name: float32_exact(tensor) for name, tensor in tensors.items()}, width, height)


def steady_pixels(info: dict[str, Any]) -> Tensor:
    """Pixels where no Gaussian is within rounding of one of the rasterizer's steps. bool [C, H, W]"""
    means2d, conics, opacities = (info[k].detach().double() for k in ("means2d", "conics", "opacities"))
    order = info["depths"].detach().argsort(dim=1, stable=True)
    rows = torch.arange(info["height"], dtype=torch.float64) + 0.5
    columns = torch.arange(info["width"], dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    dx, dy = means2d[:, None, None, :, 0] - x[..., None], means2d[:, None, None, :, 1] - y[..., None]
    a, b, c = (conics[:, None, None, :, k] for k in range(3))
    alpha = opacities[:, None, None] * torch.exp(-(0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy))
    alpha = torch.where(info["radii"][:, None, None] > 0, alpha, 0.0)
    near_cut = (alpha * 255 - 1).abs() < 2e-4
    near_clamp = (alpha / 0.999 - 1).abs() < 1e-5
    alpha = torch.where(alpha * 255 < 1, 0.0, alpha.clamp_max(0.999))
    rest = (1 - alpha.gather(-1, order[:, None, None].expand_as(alpha))).cumprod(-1)
    near_end = (rest / 1e-4 - 1).abs() < 2e-3
    return ~(near_cut | near_clamp | near_end).any(-1)


def loss_weights(scene: Scene, reference: Callable, least_steady: float = 0.98) -> tuple[Tensor, Tensor]:
    """Random upstream gradients of the image and of alpha, zero at the unsteady pixels."""
    render, alphas, info = scene.render(reference, torch.float64)
    steady = steady_pixels(info)[..., None]
    assert steady.double().mean() > least_steady
    g = torch.Generator().manual_seed(0)
    weights = [float32_exact(torch.randn(x.shape, generator=g, dtype=torch.float64)) for x in (render, alphas)]
    return weights[0] * steady, weights[1] * steady


def outputs_and_gradients(
    function: Callable, scene: Scene, dtype: torch.dtype, weights: tuple[Tensor, Tensor], *, absgrad: bool = True
) -> dict[str, Tensor]:
    """Render, weigh, go back: the images (at weighted pixels) and every gradient by name."""
    leaves = scene.leaves(dtype)
    options = {**scene.options, **({"absgrad": True} if absgrad else {})}
    render, alphas, info = function(**leaves, width=scene.width, height=scene.height, **options)
    info["means2d"].retain_grad()
    weights = (weights[0].to(dtype), weights[1].to(dtype))
    ((render * weights[0]).sum() + (alphas * weights[1]).sum()).backward()
    used = weights[1] != 0
    found = {"render": (render * used).detach(), "alphas": (alphas * used).detach()}
    for name, tensor in leaves.items():
        if tensor.requires_grad:
            # A tensor that the mode does not use (the colours of a depth image) may have no gradient at all.
            found[f"d {name}"] = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
    found["d means2d"] = info["means2d"].grad
    if absgrad:
        found["absgrad"] = info["means2d"].absgrad
    return found


def assert_agree(got: dict[str, Tensor], want: dict[str, Tensor], tolerance: float) -> None:
    """Every entry within `tolerance` of the reference, relative to the reference's largest magnitude."""
    assert got.keys() == want.keys()
    errors = {}
    for name, expected in want.items():
        assert got[name].shape == expected.shape, name
        assert got[name].isfinite().all(), name
        size = expected.abs().max().item() if expected.numel() else 0.0
        error = (got[name].double() - expected.double()).abs().max().item() if expected.numel() else 0.0
        errors[name] = error / size if size > 0 else error
    worst = {name: f"{error:.2e}" for name, error in errors.items() if not error <= tolerance}
    assert not worst, f"farther than {tolerance:g} from the reference: {worst}"
