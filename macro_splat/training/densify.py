"""Adding and removing Gaussians: gsplat's strategy, held to a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from gsplat.strategy import DefaultStrategy


@dataclass
class BudgetStrategy(DefaultStrategy):
    """gsplat's default strategy, which splits where the gradient on screen is above a threshold, up to a number.

    How large that gradient is depends on how blurred the photographs are, and how many Gaussians have it on how much
    of them is filled. So the threshold can be low, and of those above it only as many are split, the largest
    gradients first, as the budget allows: the training's time and memory stay in bounds on every capture.
    """

    grow_grad2d: float = 0.0002
    """Gradient on screen from which a Gaussian may be split."""
    max_gaussians: int = 60_000
    """No Gaussians are added beyond this number."""

    @torch.no_grad()
    def _grow_gs(self, params: Any, optimizers: Any, state: dict[str, Any], step: int) -> tuple[int, int]:
        room = self.max_gaussians - len(params["means"])
        if room <= 0:
            return 0, 0
        gradient = state["grad2d"] / state["count"].clamp_min(1)
        threshold = self.grow_grad2d
        if int((gradient > threshold).sum()) > room:
            # Each one above the threshold, split or doubled, adds one.
            self.grow_grad2d = float(torch.topk(gradient, room + 1).values[-1])
        try:
            return super()._grow_gs(params, optimizers, state, step)
        finally:
            self.grow_grad2d = threshold
