"""The sRGB transfer curve (IEC 61966-2-1): between what image files store and light, in which blur adds up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from macro_splat.ops.srgb.constants import GAMMA, OFFSET, TOE, TOE_END

_MIN_VALUES = 8  # that the kernels take


def srgb_to_linear(x: Tensor) -> Tensor:
    """Return linear light from sRGB values, any shape; above 1 the curve goes on, below 0 its line."""
    return _Curve.apply(x, True)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Return sRGB values from linear light: the inverse of `srgb_to_linear`."""
    return _Curve.apply(x, False)


class _Curve(torch.autograd.Function):
    """The slope follows from the value: one power in all, where autograd takes two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, from_srgb: bool) -> Tensor:
        if x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() >= _MIN_VALUES:
            value, slope = _by_kernels(x, from_srgb)
        else:
            value, slope = _to_linear(x) if from_srgb else _to_srgb(x)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return upstream * ctx.saved_tensors[0], None


def _to_linear(x: Tensor) -> tuple[Tensor, Tensor]:
    base = ((x + OFFSET) / (1 + OFFSET)).clamp_(min=(TOE_END + OFFSET) / (1 + OFFSET))
    toe, power = x <= TOE_END, base**GAMMA
    slope = (power / base).mul_(GAMMA / (1 + OFFSET)).masked_fill_(toe, 1 / TOE)
    return torch.where(toe, x / TOE, power), slope


def _to_srgb(x: Tensor) -> tuple[Tensor, Tensor]:
    toe, light = x <= TOE_END / TOE, x.clamp(min=TOE_END / TOE)
    power = (light ** (1 / GAMMA)).mul_(1 + OFFSET)
    slope = (power / light).div_(GAMMA).masked_fill_(toe, TOE)
    return torch.where(toe, x * TOE, power - OFFSET), slope


def _by_kernels(x: Tensor, from_srgb: bool) -> tuple[Tensor, Tensor]:
    from macro_splat.ops.srgb import cpu as kernels  # starts the compiler, so only where it is used

    x = x.detach().contiguous()
    value, slope = torch.empty_like(x), torch.empty_like(x)
    fill = kernels.to_linear if from_srgb else kernels.to_srgb
    fill(x, value, slope)
    return value, slope
