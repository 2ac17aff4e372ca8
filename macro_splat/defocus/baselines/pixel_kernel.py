"""A free kernel for every pixel, and a mask that says where it is used.

After Peng et al., BAGS: Blur Agnostic Gaussian Splatting, ECCV 2024: the photograph is m·Σ_k w_k·I(p + k) + (1 − m)·I
with w the softmax over K × K values and m a sigmoid, both from 1 × 1 convolutions (64 wide) on an embedding of the
view (32), a positional encoding of the pixel (16) and features of the detached colour and depth (32); 10⁻³·mean(m)
joins the loss. Coarse to fine: K = 5 at ¼ of the resolution, 9 at ½, 17 at the full one.

For the sake of processors the network runs on a grid of ¼ of the full resolution in all three stages, and its kernels
and mask are interpolated between the grid's cells. Kernels begin as narrow Gaussians: uniform ones would blur the
picture before anything is learnt.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from macro_splat.defocus.baselines.positional_encoding import encode
from macro_splat.defocus.blur_models import BlurModel

STAGES = ((4, 5), (2, 9), (1, 17))
"""What the resolution is divided by, and K."""
STAGE_SHARE = 0.2
"""Share of the training that each but the last stage takes."""
GRID = 4
"""Pixels of the full resolution per cell of the network's grid."""
VIEW_WIDTH, FEATURE_WIDTH, WIDTH = 32, 32, 64
FREQUENCIES = 4
MASK_WEIGHT = 1e-3
START_SIGMA = 0.1
"""Of the kernels at the start, as a share of K."""


class PixelKernelBlurModel(BlurModel):
    """See the module's text."""

    needs_depth = True
    grow_gradient = 0.0002  # blur on the picture makes gradients small

    def __init__(self, num_views: int) -> None:
        super().__init__()
        self.view_embedding = nn.Embedding(num_views, VIEW_WIDTH)
        self.features = nn.Sequential(
            nn.Conv2d(4, FEATURE_WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(FEATURE_WIDTH, FEATURE_WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(FEATURE_WIDTH, FEATURE_WIDTH, 3, padding=1),
        )
        self.network = nn.Sequential(
            nn.Conv2d(VIEW_WIDTH + 4 * FREQUENCIES + FEATURE_WIDTH, WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
            nn.ReLU(),
        )
        self.outputs = nn.ModuleList([_output_layer(size) for _, size in STAGES])
        self._stage = 0
        self._mask_mean: Tensor | None = None

    def set_progress(self, fraction: float) -> None:
        """Choose the stage."""
        self._stage = min(int(fraction / STAGE_SHARE), len(STAGES) - 1)

    def param_groups(self) -> dict[str, list[Parameter]]:
        """Return all parameters of the network."""
        return {"blur_net": list(self.parameters())}

    def blur_picture(self, view: int, picture: Tensor, alpha: Tensor, depth: Tensor | None, focal_px: Tensor) -> Tensor:
        """Blur by the kernels of the present stage."""
        assert depth is not None
        kernels, mask = self.kernels_and_mask(view, picture, depth)
        self._mask_mean = mask.mean()
        return mask * apply_kernels(picture, kernels) + (1.0 - mask) * picture

    def kernels_and_mask(self, view: int, picture: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network says about a picture [H, W, 3] and its depth [H, W, 1]: [K², H, W] and [H, W, 1]."""
        height, width = picture.shape[:2]
        divisor, _ = STAGES[self._stage]
        cell = max(GRID // divisor, 1)
        size = (-(-height // cell), -(-width // cell))
        # The depth's unit is of no meaning: in multiples of its mean.
        seen = torch.cat([picture, depth / depth.mean().clamp(min=1e-9)], dim=-1).detach()
        features = self.features(F.adaptive_avg_pool2d(seen.permute(2, 0, 1)[None], size))
        y, x = (torch.linspace(-1.0, 1.0, n, device=picture.device) for n in size)
        place = encode(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1), FREQUENCIES)
        embedding = self.view_embedding.weight[view]
        inputs = [embedding[None, :, None, None].expand(1, -1, *size), place.permute(2, 0, 1)[None], features]
        values = self.outputs[self._stage](self.network(torch.cat(inputs, dim=1)))
        kernels, mask = values[:, :-1].softmax(dim=1), values[:, -1:].sigmoid()
        fine: dict[str, Any] = {"size": (height, width), "mode": "bilinear"}
        if cell > 1:
            kernels, mask = (F.interpolate(each, **fine) for each in (kernels, mask))
        return kernels[0], mask[0, 0, :, :, None]

    def losses(self) -> dict[str, Tensor]:
        """Return the term that keeps the kernels to where they are needed."""
        return {} if self._mask_mean is None else {"blur_mask": MASK_WEIGHT * self._mask_mean}


def _output_layer(size: int) -> nn.Conv2d:
    """Return values of a K × K kernel and a mask, at first a narrow Gaussian and one half."""
    layer = nn.Conv2d(WIDTH, size * size + 1, 1)
    offset = torch.arange(size) - size // 2
    squared = offset[:, None] ** 2 + offset[None, :] ** 2
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()  # type: ignore[union-attr]
        layer.bias[:-1] = -0.5 * squared.reshape(-1) / (START_SIGMA * size) ** 2  # type: ignore[index]
    return layer


def apply_kernels(picture: Tensor, kernels: Tensor) -> Tensor:
    """Return Σ_k w_k(p)·I(p + k), the border repeated outside.

    Args:
        picture: [H, W, C]. kernels: [K², H, W], offsets in row order, K odd. Differentiable in both.
    """
    return _ApplyKernels.apply(picture, kernels)


class _ApplyKernels(torch.autograd.Function):
    """One offset at a time: the K² shifted copies of the picture are never there together."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, kernels: Tensor) -> Tensor:
        radius = _radius(kernels)
        padded = F.pad(picture.permute(2, 0, 1)[None], (radius,) * 4, mode="replicate")[0]
        result = torch.zeros_like(padded[:, radius : -radius or None, radius : -radius or None])
        for k, shifted in enumerate(_shifted(padded, radius)):
            result.addcmul_(shifted, kernels[k])
        ctx.save_for_backward(padded, kernels)
        return result.permute(1, 2, 0).contiguous()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        padded, kernels = ctx.saved_tensors
        radius = _radius(kernels)
        slope = upstream.permute(2, 0, 1).contiguous()
        by_kernels = torch.empty_like(kernels)
        by_padded = torch.zeros_like(padded)
        for k, (shifted, target) in enumerate(
            zip(_shifted(padded, radius), _shifted(by_padded, radius), strict=True),
        ):
            torch.sum(slope * shifted, dim=0, out=by_kernels[k])
            target.addcmul_(slope, kernels[k])
        # What lies in the repeated border belongs to the edge that it repeats.
        for axis in (1, 2):
            size = by_padded.shape[axis]
            low, middle, high = by_padded.split([radius, size - 2 * radius, radius], dim=axis)
            middle = middle.clone()
            middle.select(axis, 0).add_(low.sum(dim=axis))
            middle.select(axis, -1).add_(high.sum(dim=axis))
            by_padded = middle
        return by_padded.permute(1, 2, 0).contiguous(), by_kernels


def _radius(kernels: Tensor) -> int:
    return round(len(kernels) ** 0.5) // 2


def _shifted(padded: Tensor, radius: int) -> list[Tensor]:
    """Return views [C, H, W] of the padded picture, one per offset."""
    height, width = (size - 2 * radius for size in padded.shape[1:])
    steps = range(2 * radius + 1)
    return [padded[:, dy : dy + height, dx : dx + width] for dy in steps for dx in steps]
