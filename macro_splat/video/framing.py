"""From how far away a camera that circles an object sees all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nerfstudio.cameras.cameras import Cameras
from numpy.typing import NDArray

from macro_splat.runs.clean import object_gaussians
from macro_splat.runs.frame import output_frame

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

VISIBLE = 0.02
"""Opacity down to which a Gaussian is taken to reach."""
MARGIN = 1.02
WIDENING_PX = 2.0
"""What rendering adds to each Gaussian (0.3 px² of variance, three deviations of it), and the border pixel itself."""
FARTHEST = 2.5
"""How many times farther than the photographs were taken a camera goes at most: the rest is no object."""


def object_extent(run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres [N, 3] and reach [N] of the Gaussians that an export takes for the object, model units."""
    gaussians, _ = object_gaussians(run, output_frame(run.metadata, "model"))
    deviations = (2 * (gaussians.opacities / VISIBLE).clamp(min=1).log()).sqrt()
    reach = deviations * gaussians.scales.amax(dim=1)
    return gaussians.means.double().numpy(), reach.double().numpy()


def all_in_frame(
    poses: NDArray[np.float64],
    centre: NDArray[np.float64],
    camera: Cameras,
    means: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the poses, all moved back alike as far as it takes for balls to lie within the picture; never forward.

    Args:
        poses: [P, 3, 4] of cameras that look at the centre [3] from one distance, OpenGL axes.
        camera: one, whose picture it is.
        means, reach: [N, 3] centres and [N] radii of the balls.
    """
    distance = float(np.linalg.norm(poses[0, :, 3] - centre))
    (fx, fy), (cx, cy) = (float(camera.fx), float(camera.fy)), (float(camera.cx), float(camera.cy))
    # Tangents of the four sides of the view, from the axis; each with the direction in which it is left.
    width, height = float(camera.width) - WIDENING_PX, float(camera.height) - WIDENING_PX
    sides = [(0, -1, (cx - WIDENING_PX) / fx), (0, 1, (width - cx) / fx)]
    sides += [(1, 1, (cy - WIDENING_PX) / fy), (1, -1, (height - cy) / fy)]
    needed = 0.0
    for pose in poses if len(means) else []:
        place = (means - centre) @ pose[:, :3]
        for axis, sign, tangent in sides:
            # A ball lies within the side's plane from this distance of the camera from the centre.
            from_there = place[:, 2] + (sign * place[:, axis] + reach * np.hypot(1, tangent)) / tangent
            needed = max(needed, float(from_there.max()))
    moved = poses.copy()
    back = max(distance, min(MARGIN * needed, FARTHEST * distance))
    moved[:, :, 3] = centre + back * poses[:, :, 2]
    return moved
