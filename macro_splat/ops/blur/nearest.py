"""Carrying values from the pixels that have one to those that have none."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def carry_to_nearest(values: Tensor, known: Tensor, limit: float = math.inf) -> tuple[Tensor, Tensor]:
    """Give every pixel the value of the nearest pixel whose value is known.

    On a CPU the distances are exact (rows, then columns: Saito and Toriwaki, Pattern Recognition 27, 1994); on other
    devices by jump flooding (Rong and Tan 2006), exact but for rare ties by a fraction of a pixel.

    Args:
        values: [H, W] floating point.
        known: [H, W] bool.
        limit: how far to look, in whole pixels; the time grows with it.

    Returns:
        The values [H, W] and the distance [H, W] in pixels they were carried, 0 where known. Where nothing is known
        within the limit: 0, and infinity. No gradient flows.
    """
    values = values.detach()
    if not bool(known.any()):
        return torch.zeros_like(values), torch.full_like(values, math.inf)
    if values.device.type == "cpu":
        from macro_splat.ops.blur.nearest_cpu import nearest_known  # starts the compiler, so only where it is used

        carried, far = nearest_known(values.contiguous().numpy(), known.contiguous().numpy(), limit)
        return torch.from_numpy(carried), torch.from_numpy(far)
    row, column = _jump_flood(known)
    height, width = known.shape
    rows = torch.arange(height, device=values.device, dtype=row.dtype)[:, None]
    columns = torch.arange(width, device=values.device, dtype=row.dtype)[None, :]
    distance = torch.hypot((row - rows).to(values.dtype), (column - columns).to(values.dtype))
    near, carried = distance <= math.floor(min(limit, height + width)), values.reshape(-1)[row * width + column]
    return torch.where(near, carried, 0.0), torch.where(near, distance, math.inf)


def _jump_flood(known: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column [H, W] of the nearest known pixel, by comparing with ever closer neighbours."""
    height, width = known.shape
    rows = torch.arange(height, device=known.device)[:, None].expand(height, width)
    columns = torch.arange(width, device=known.device)[None, :].expand(height, width)
    far = 4 * (height + width)
    row = torch.where(known, rows, torch.full_like(rows, -far))
    column = torch.where(known, columns, torch.full_like(columns, -far))
    steps = [2**k for k in reversed(range(math.ceil(math.log2(max(height, width, 2)))))]
    for step in [*steps, 1]:  # once more with 1 mends most of the rare misses
        best = (row - rows) ** 2 + (column - columns) ** 2
        padded_row, padded_column = (
            torch.nn.functional.pad(t, (step, step, step, step), value=-far) for t in (row, column)
        )
        for dy in (0, step, 2 * step):
            for dx in (0, step, 2 * step):
                r, c = padded_row[dy : dy + height, dx : dx + width], padded_column[dy : dy + height, dx : dx + width]
                distance = (r - rows) ** 2 + (c - columns) ** 2
                closer = distance < best
                best = torch.where(closer, distance, best)
                row, column = torch.where(closer, r, row), torch.where(closer, c, column)
    return row, column
