"""Gradients that are no finite numbers never reach a parameter.

One NaN in a gradient makes the parameter NaN for good, and one infinity the second moment of Adam: from then on every
picture that the Gaussian is in is lost. Such gradients are left out row by row, that is for the Gaussians, the views or
the units of a network concerned: skipping the whole step would stop the training of everything else as long as a single
Gaussian misbehaves. A row that is left out counts as a gradient of 0, so Adam's momentum still fades. Where the loss
itself is NaN, all rows are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

LIMIT = 1e18
"""A larger gradient is no better than infinity: its square, Adam's second moment, is beyond float32's 3.4e38."""


@dataclass
class LeftOut:
    """What was left out so far."""

    steps: int = 0
    """In which there was anything."""
    rows: int = 0
    """Gaussians, views or units, summed over parameters and steps."""


class GuardedOptimizers(Optimizers):
    """nerfstudio's optimizers, which only ever see finite gradients."""

    def __init__(self, config: dict[str, Any], param_groups: dict[str, list[torch.nn.Parameter]]):
        super().__init__(config, param_groups)
        self.left_out = LeftOut()

    def optimizer_scaler_step_some(self, grad_scaler: Any, param_groups: list[str]) -> None:
        """As the parent's. With mixed precision infinite gradients are the scaler's business, which skips steps."""
        if not grad_scaler.is_enabled():
            optimizers = (self.optimizers[name] for name in param_groups)
            groups = (group for optimizer in optimizers for group in optimizer.param_groups)
            rows = zero_nonfinite_rows([p.grad for group in groups for p in group["params"] if p.grad is not None])
            if rows > 0:
                if self.left_out.steps == 0:
                    CONSOLE.log(f"[yellow]Warning: {rows} gradients are no finite numbers and are left out")
                self.left_out.steps += 1
                self.left_out.rows += rows
        super().optimizer_scaler_step_some(grad_scaler, param_groups)


def zero_nonfinite_rows(gradients: Sequence[Tensor]) -> int:
    """Set to 0, in place, the rows in which anything is NaN, infinite or beyond `LIMIT`.

    Args:
        gradients: any shapes; a row is what belongs to one index of the first dimension.

    Returns:
        The number of rows.
    """
    # No number is larger than the norm, NaN is not below anything, and this reads each once and allocates nothing.
    if not gradients or bool((torch.stack([torch.linalg.vector_norm(g) for g in gradients]) < LIMIT).all()):
        return 0
    return sum(_zero_rows(gradient) for gradient in gradients)


def _zero_rows(gradient: Tensor) -> int:
    if gradient.numel() == 0:
        return 0
    rows = gradient.unsqueeze(0) if gradient.ndim == 0 else gradient
    bad = ~(rows.abs() < LIMIT).reshape(len(rows), -1).all(dim=1)  # NaN is not below anything
    rows[bad] = 0.0
    return int(bad.sum())


def report_left_out(left_out: LeftOut, steps: int) -> None:
    """Say how many steps had gradients that are no finite numbers, if any had."""
    if left_out.steps > 0:
        CONSOLE.print(
            f"In {left_out.steps} of {steps} steps some gradients ({left_out.rows} rows in all) were no finite numbers "
            "and were left out; the model is whole. Where they are many, photographs or poses may be at fault.",
            style="bold yellow",
        )
