"""The sRGB transfer curve (IEC 61966-2-1): between what image files store and light, in which blur adds up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

GAMMA = 2.4
OFFSET = 0.055
TOE = 12.92
TOE_END = 0.04045
"""sRGB value up to which the curve is a line of slope 1 / TOE."""


def srgb_to_linear(x: Tensor) -> Tensor:
    """Linear light from sRGB values, any shape; values above 1 go on along the curve, negative ones along its line."""
    return _ToLinear.apply(x)


def linear_to_srgb(x: Tensor) -> Tensor:
    """The inverse of `srgb_to_linear`."""
    return _ToSRGB.apply(x)


class _ToLinear(torch.autograd.Function):
    """Its slope follows from its value: one power in all, where autograd takes two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        base = ((x + OFFSET) / (1 + OFFSET)).clamp_(min=(TOE_END + OFFSET) / (1 + OFFSET))
        linear = torch.where(x <= TOE_END, x / TOE, base**GAMMA)
        ctx.save_for_backward(base, linear, x <= TOE_END)
        return linear

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # type: ignore[override]
        base, linear, toe = ctx.saved_tensors
        slope = (linear / base).mul_(GAMMA / (1 + OFFSET))
        return upstream * slope.masked_fill_(toe, 1 / TOE)


class _ToSRGB(torch.autograd.Function):
    """As `_ToLinear`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        toe = x <= TOE_END / TOE
        light = x.clamp(min=TOE_END / TOE)
        power = (light ** (1 / GAMMA)).mul_(1 + OFFSET)
        ctx.save_for_backward(light, power, toe)
        return torch.where(toe, x * TOE, power - OFFSET)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # type: ignore[override]
        light, power, toe = ctx.saved_tensors
        return upstream * (power / light).div_(GAMMA).masked_fill_(toe, TOE)
