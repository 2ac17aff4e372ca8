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

    The budget grows evenly from round to round. All of it at once would go where texture shows first, and leave nothing
    for what few views see and what comes out of the blur late.
    """

    grow_grad2d: float = 0.0002
    """Gradient on screen from which a Gaussian may be split."""
    max_gaussians: int = 60_000
    """No Gaussians are added beyond this number."""

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]:
        """gsplat's, and with how many Gaussians the training began, once that is known."""
        return {**super().initialize_state(scene_scale), "count_at_start": None}

    def budget(self, step: int, count_at_start: int) -> int:
        """The largest number of Gaussians after the round at this step."""
        rounds = max(self.refine_stop_iter - self.refine_start_iter, 1)
        share = min(max((step + self.refine_every - self.refine_start_iter) / rounds, 0.0), 1.0)
        return int(count_at_start + share * (self.max_gaussians - count_at_start))

    def step_post_backward(
        self,
        params: Any,
        optimizers: Any,
        state: dict[str, Any],
        step: int,
        info: dict[str, Any],
        packed: bool = False,
    ) -> None:
        """gsplat's, but that no opacities are reset at the very first step, which gsplat 1.4 takes for a multiple of
        every number (1.5 does not): Gaussians that were just laid out would become all but transparent."""
        if step == 0 < self.refine_stop_iter:
            self._update_state(params, state, info, packed=packed)
        else:
            super().step_post_backward(params, optimizers, state, step, info, packed)

    def _update_state(self, params: Any, state: dict[str, Any], info: dict[str, Any], packed: bool = False) -> None:
        """gsplat's; a gradient that is no finite number counts as 0, or it would stay in the sums and in the budget."""
        screen = info[self.key_for_gradient]
        gradient = screen.absgrad if self.absgrad else screen.grad
        gradient.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        super()._update_state(params, state, info, packed)

    @torch.no_grad()
    def _grow_gs(self, params: Any, optimizers: Any, state: dict[str, Any], step: int) -> tuple[int, int]:
        if state.get("count_at_start") is None:  # the first round; checkpoints of older versions know no count
            state["count_at_start"] = len(params["means"])
        room = self.budget(step, state["count_at_start"]) - len(params["means"])
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
