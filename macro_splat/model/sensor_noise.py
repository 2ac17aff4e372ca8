"""A sensor's noise where it is clipped: black reads brighter on average than it is, and white darker.

Beside a blurred object in the dark that little light, spread over its outskirts, is as much as a silhouette one to two
tenths of a pixel too wide would bring there. So the picture is told before it is compared: of a value v with Gaussian
noise of scatter s, clipped at 0, the mean is v Φ(v/s) + s φ(v/s), the mean of a rectified Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLIPPED = 0.4
"""Share of the background's values at the end of the scale, from which its noise is clipped there: of noise around that
end one half is."""


@dataclass(frozen=True)
class SensorNoise:
    """Noise at one end of the scale."""

    scatter: Tensor
    """[3] standard deviation before it was clipped, > 0."""
    white: bool
    """At 1, not at 0."""

    @classmethod
    def of_background(
        cls, values: NDArray[np.floating], background: NDArray[np.floating], device: torch.device | str = "cpu"
    ) -> SensorNoise | None:
        """From what is left of it; None where it is not clipped, or there is none.

        Args:
            values: [N, 3] in 0..1 of pixels that show the background. background: [3] in 0..1.
            device: of the pictures.
        """
        white = bool(background.mean() > 0.5)
        distance = np.abs(values - float(white))
        if len(values) == 0 or (distance <= 0).mean() < CLIPPED:
            return None
        scatter = math.sqrt(2 * math.pi) * distance.mean(axis=0)  # of a rectified Gaussian around 0
        return cls(torch.from_numpy(scatter.astype(np.float32)).to(device), white) if scatter.min() > 0 else None

    def read(self, picture: Tensor) -> Tensor:
        """Mean of what the sensor reads of a picture [..., 3] in 0..1."""
        if self.white:
            return 1.0 - _RectifiedMean.apply(1.0 - picture, self.scatter)
        return _RectifiedMean.apply(picture, self.scatter)


class _RectifiedMean(torch.autograd.Function):
    """vΦ(v/s) + sφ(v/s), whose derivative by v is Φ(v/s)."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scatter: Tensor) -> Tensor:
        in_scatters = value / scatter
        share = 0.5 + 0.5 * torch.erf(in_scatters * math.sqrt(0.5))
        ctx.save_for_backward(share)
        density = torch.exp(-0.5 * in_scatters * in_scatters)
        return torch.addcmul(density * (scatter / math.sqrt(2 * math.pi)), value, share)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (share,) = ctx.saved_tensors
        return grad * share, None
