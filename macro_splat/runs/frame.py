"""Where exported things stand: the capture's own world in millimetres, or the model's frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from macro_splat.runs.gaussians import Gaussians


@dataclass(frozen=True, eq=False)
class OutputFrame:
    """x = scale · rotation x_model + translation."""

    scale: float
    rotation: Tensor
    """[3, 3] float64."""
    translation: Tensor
    """[3] float64."""
    unit: str
    """Of a length: "mm", or words that say that the scale is unknown."""

    def move(self, gaussians: Gaussians) -> Gaussians:
        """Splats of the model, in this frame."""
        return gaussians.moved(self.scale, self.rotation, self.translation)

    def move_points(self, points: Tensor) -> Tensor:
        """Points of the model [N, 3], in this frame, float64."""
        return self.scale * points.double() @ self.rotation.T + self.translation

    def world_to_camera(self, camera_to_model: Tensor) -> Tensor:
        """[4, 4] float64, OpenCV axes, of a camera's pose [3, 4] in the model's frame with OpenGL's axes."""
        axes = self.rotation @ camera_to_model[:3, :3].double() @ torch.diag(torch.tensor([1.0, -1.0, -1.0]).double())
        centre = self.move_points(camera_to_model[None, :3, 3])[0]
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = axes.T
        matrix[:3, 3] = -axes.T @ centre
        return matrix


def output_frame(metadata: Mapping[str, Any], kind: Literal["world", "model"] = "world") -> OutputFrame:
    """Return the frame for an export.

    Args:
        metadata: the dataparser's. x_model = `dataparser_scale` (R x + t) with [R | t] = `dataparser_transform`;
            `mm_per_unit` leads from scene units to millimetres, where the capture knows its scale.
        kind: "world" = that of the capture's poses, in mm; "model" = as it was trained.
    """
    identity = torch.eye(3, dtype=torch.float64)
    scale = metadata.get("dataparser_scale")
    if kind == "model" or scale is None:
        return OutputFrame(1.0, identity, torch.zeros(3, dtype=torch.float64), "model units")
    transform = torch.as_tensor(metadata["dataparser_transform"]).double()
    mm = metadata.get("mm_per_unit")
    unit = "scene units, scale unknown" if mm is None else "mm"
    mm = 1.0 if mm is None else float(mm)
    rotation = transform[:, :3].T
    return OutputFrame(mm / float(scale), rotation, -mm * rotation @ transform[:, 3], unit)
