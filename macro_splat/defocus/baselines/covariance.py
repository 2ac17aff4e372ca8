"""Gaussians that a small network widens for each view.

After Lee et al., Deblurring 3D Gaussian Splatting, ECCV 2024: (δs, δr) = F(γ(x), s, r, γ(camera centre)) multiply a
Gaussian's scales and quaternion by clamp(λδ + 1 − λ, 1, 1.1), λ = 0.01, for the blurred picture only; the sharp
picture is that without the network. What the paper does for poor point clouds (new points at step 2500) is left out:
trainings here start from a dense cloud.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from macro_splat.defocus.baselines.positional_encoding import encode
from macro_splat.defocus.blur_models import BlurModel

POSITION_FREQUENCIES, CAMERA_FREQUENCIES = 10, 4
WIDTH = 64
STRENGTH = 0.01
"""λ"""
LARGEST = 1.1
"""Growth of scales and quaternion at most."""


class CovarianceBlurModel(BlurModel):
    """See the module's text."""

    def __init__(self, num_views: int) -> None:
        """``num_views`` is of no use: the network knows a view by where its camera is."""
        super().__init__()
        inputs = 3 * 2 * (POSITION_FREQUENCIES + CAMERA_FREQUENCIES) + 3 + 4
        self.network = nn.Sequential(
            nn.Linear(inputs, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, 7),
        )
        # δ = 1 changes nothing: start a little above.
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, 1.5)

    def param_groups(self) -> dict[str, list[Parameter]]:
        """Return the network's parameters."""
        return {"blur_net": list(self.network.parameters())}

    def blur_gaussians(self, view: int, gaussians: dict[str, Any], viewmat: Tensor, K: Tensor) -> dict[str, Any]:
        """Multiply scales and quaternions."""
        means, scales, quats = (gaussians[name] for name in ("means", "scales", "quats"))
        centre = (-viewmat[:3, :3].T @ viewmat[:3, 3]).detach()
        inputs = [
            encode(means.detach(), POSITION_FREQUENCIES),
            scales.detach(),
            quats.detach(),
            encode(centre, CAMERA_FREQUENCIES).expand(len(means), -1),
        ]
        wanted = STRENGTH * self.network(torch.cat(inputs, dim=-1)) + 1.0 - STRENGTH
        # The gradient passes the clamp: a value that shot beyond an end would never come back.
        growth = wanted + (wanted.clamp(1.0, LARGEST) - wanted).detach()
        return {**gaussians, "scales": scales * growth[:, :3], "quats": quats * growth[:, 3:]}
