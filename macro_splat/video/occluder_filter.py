"""What the camera of a film sees through on its way to the object."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from numpy.typing import NDArray
from torch import Tensor

NEAREST = 0.4
"""Share of the distance to the object before which nothing is shown: the training cameras had it free too."""
WIDEST = 0.25
"""Standard deviation, as a share of the picture's width, of the widest Gaussian that is shown before the object."""


class OccluderFilter:
    """Leaves out what floats between a camera and the object, as a crop box of the viewer leaves out what is outside.

    Few photographs leave room for haze close to a camera, which the others do not see: a film passes through it.

    Args:
        model: of the run. camera: one, axes as OpenGL's. middle: [3] of the object, model units.
        usual: distance of the training cameras from it; None: this camera's.
    """

    def __init__(self, model: Any, camera: Cameras, middle: NDArray[np.float64], usual: float | None = None) -> None:
        self._model = model
        self._pose = camera.camera_to_worlds[0]
        self._distance = float(np.linalg.norm(self._pose[:, 3].cpu().numpy() - middle))
        self._free = self._distance - (1 - NEAREST) * (self._distance if usual is None else usual)
        self._tangent = float(camera.width / camera.fx)

    def within(self, means: Tensor) -> Tensor:
        """Which Gaussians of the model are shown, [N, 1] bool."""
        pose = self._pose.to(means)
        depth = (pose[:, 3] - means) @ pose[:, 2]
        size = torch.exp(self._model.scales).amax(dim=1)
        wide = size > WIDEST * self._tangent * depth
        return ~((depth < self._free) | (wide & (depth < self._distance)))[:, None]
