"""What a capture tells of the lens of each view, as it travels with the cameras."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from nerfstudio.utils.tensor_dataclass import TensorDataclass
from torch import Tensor


@dataclass(eq=False)
class Lens(TensorDataclass):
    """The lens of N views, [N, 1] float32 each; NaN = unknown.

    It stands as `lens` in the metadata of a dataset and of its cameras, and is indexed, reshaped and moved with them.
    """

    focus_distance: Tensor
    """Distance of the plane of focus, as the capture gives it; model units."""
    aperture_radius: Tensor
    """Radius of the entrance pupil, as the capture gives it; model units, 0 for a pinhole."""
    focus_distance_start: Tensor
    """As the photograph's EXIF tags tell it: a start, not a given value. Model units."""
    aperture_radius_start: Tensor
    """As it follows from f-number and focal length: likewise. Model units."""
    f_number: Tensor
    """Of the capture, or else of the EXIF tags."""
    focal_length_mm: Tensor
    """Of the capture, or else of the EXIF tags."""

    @classmethod
    def unknown(cls, views: int) -> Lens:
        """Return the lens of so many views of which nothing is known, as of captures that other parsers read."""
        return cls(*(torch.full((views, 1), torch.nan) for _ in fields(cls)))
