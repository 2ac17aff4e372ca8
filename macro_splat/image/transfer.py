"""The sRGB transfer curve (IEC 61966-2-1): between what image files store and light, in which blur adds up."""

from __future__ import annotations

import torch
from torch import Tensor


def srgb_to_linear(x: Tensor) -> Tensor:
    """Linear light from sRGB values, any shape; values above 1 go on along the curve, negative ones along its line."""
    curve = ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(x <= 0.04045, x / 12.92, curve)


def linear_to_srgb(x: Tensor) -> Tensor:
    """The inverse of `srgb_to_linear`."""
    curve = 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(x <= 0.0031308, x * 12.92, curve)
