"""The lens in the units that people know: millimetres and f-numbers where the capture tells them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from macro_splat.defocus.thin_lens import depth_of_field
from macro_splat.defocus.virtual_lens import VirtualLens

MARGIN = 0.5
"""How far the focus can be set before the nearest and behind the farthest point, as a share of their distance."""


@dataclass(frozen=True)
class LensUnits:
    """How values of the panel become values of the model."""

    length: float
    """Of the panel's units per model unit."""
    name: str
    """Of that unit: "mm", the capture's own, or "units"."""
    focal_length_mm: float | None
    """Of the lens; with it and millimetres, apertures are f-numbers."""
    typical_f_number: float
    """As the capture gives it, or 4."""

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> LensUnits:
        """From the dataparser's metadata (see `MacroDataParser`); of other parsers, which say less, model units."""
        scale, mm, lens = (metadata.get(key) for key in ("dataparser_scale", "mm_per_unit", "lens"))
        f_number = _median(None if lens is None else lens.f_number) or 4.0
        if scale is None:
            return cls(1.0, "units", None, f_number)
        if mm is None:
            return cls(1.0 / scale, metadata.get("scene_unit") or "units", None, f_number)
        return cls(mm / scale, "mm", _median(None if lens is None else lens.focal_length_mm), f_number)

    @property
    def knows_f_numbers(self) -> bool:
        return self.focal_length_mm is not None

    def f_number(self, aperture_radius: float) -> float:
        """Of an entrance pupil in model units; infinite for a pinhole."""
        assert self.focal_length_mm is not None
        return math.inf if aperture_radius <= 0 else self.focal_length_mm / (2.0 * aperture_radius * self.length)

    def aperture_radius(self, f_number: float) -> float:
        """Of the entrance pupil, in model units."""
        assert self.focal_length_mm is not None
        return self.focal_length_mm / (2.0 * f_number * self.length)

    def stops(self, aperture_radius: float) -> float:
        """Of an entrance pupil in model units, from f/1: each halves the light, 4 are f/4. Infinite for a pinhole."""
        return 2.0 * math.log2(self.f_number(aperture_radius))

    def describe(self, lens: VirtualLens) -> str:
        """The lens in a line that fits the panel."""
        aperture = f"f/{self.f_number(lens.aperture_radius):.3g}, " if self.knows_f_numbers else ""
        return f"{aperture}focus {lens.focus_distance * self.length:.5g} {self.name}"

    def sharp_zone(self, lens: VirtualLens, focal_px: float) -> str:
        """From where to where the circle of confusion of a photograph is at most 2 px wide, to 1/10 of that zone."""
        sharp = depth_of_field(1.0 / lens.focus_distance, lens.aperture_radius * focal_px, 2.0)
        near, far = (float(depth) * self.length for depth in sharp)
        if math.isinf(far):
            return f"{near:.4g} {self.name} to infinity"
        digits = max(0, math.ceil(-math.log10(far - near)) + 1)
        return f"{near:.{digits}f} to {far:.{digits}f} {self.name}"


def focus_range(metadata: dict[str, Any], poses: Tensor, centre_depth: Tensor) -> tuple[float, float]:
    """From where to where a plane of focus makes sense, in model units.

    Args:
        metadata: the dataparser's; its sparse points tell, without them the cameras' distances.
        poses: [V, 3, 4] of the training cameras. centre_depth: [V] depth of what they look at.
    """
    points = metadata.get("points3D_xyz")
    depth = centre_depth
    if points is not None and len(points):
        some = points[:: max(1, len(points) // 2000)].cpu().float()
        depth = -((some[None] - poses[:, None, :, 3]) * poses[:, None, :, 2]).sum(dim=-1).reshape(-1)
        depth = depth[depth > 0]
        depth = depth[:: max(1, len(depth) // 100_000)] if len(depth) else centre_depth
    near, far = (float(v) for v in torch.quantile(depth, torch.tensor([0.01, 0.99])))
    return near * (1 - MARGIN), far * (1 + MARGIN)


def slider_range(low: float, high: float) -> tuple[float, float, float]:
    """Bounds and step of a slider: the step is a power of ten, some hundreds or thousands of them, the bounds round."""
    digits = -math.floor(math.log10((high - low) / 300.0))
    step = 10.0**-digits
    return max(round(low, digits), step), round(high, digits), step


def on_steps(value: float, low: float, high: float, step: float) -> float:
    """The value that a slider of these bounds can show which is nearest to a value."""
    digits = max(0, math.ceil(-math.log10(step)) + 1)
    return round(low + step * round((min(max(value, low), high) - low) / step), digits)


def _median(values: Tensor | None) -> float | None:
    if values is None:
        return None
    known = values[values.isfinite() & (values > 0)]
    return float(known.median()) if known.numel() else None
