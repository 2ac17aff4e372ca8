"""From which sides the object was photographed, and from which it was not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import SparsePoints

CONVERGING, NOT_PARALLEL = 0.02, 1e-3
"""Least mean squared sine between optical axes, in any plane, from which on their crossing is taken for the object, or
is found at all."""
STEEP = 70.0
"""Degrees of elevation beyond which a camera looks down on all sides alike: its azimuth says nothing."""


class Gap(NamedTuple):
    """Azimuths without a camera, in degrees: from `start`, counterclockwise seen from above, over `width`."""

    start: float
    width: float


def nearest_to_axes(
    camera_to_world: NDArray[np.float64], least_convergence: float = NOT_PARALLEL
) -> NDArray[np.float64] | None:
    """Return the point [3] nearest to all optical axes, or None where they run parallel.

    The sum of squared distances of x from the lines c_i + t·d_i is least where Σ(I − d_i d_iᵀ)(x − c_i) = 0.

    Args:
        camera_to_world: [V, 3 or 4, 4], OpenGL axes, V ≥ 1.
        least_convergence: least mean squared sine between the axes, in any plane, at which they do not run parallel.
    """
    axes, centres = -camera_to_world[:, :3, 2], camera_to_world[:, :3, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    system = across.sum(axis=0)
    if np.linalg.eigvalsh(system)[0] < least_convergence * len(axes):
        return None
    return np.asarray(np.linalg.solve(system, (across @ centres[:, :, None]).sum(axis=0)[:, 0]), dtype=np.float64)


def object_centre(camera_to_world: NDArray[np.float64], points: SparsePoints | None) -> NDArray[np.float64] | None:
    """Return where the object is, [3]: the point nearest to all optical axes, or if parallel the median of the points.

    The axes come first because sparse points may lie on the background.

    Args:
        camera_to_world: [V, 4, 4], OpenGL axes, V ≥ 1.

    Returns:
        None where neither says anything.
    """
    centre = nearest_to_axes(camera_to_world, CONVERGING)
    if centre is None and points is not None:
        centre = np.median(points.xyz, axis=0)
    return None if centre is None else np.asarray(centre, dtype=np.float64)


def directions(camera_to_world: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return azimuth in (−180, 180], counterclockwise from +x, and elevation of each camera seen from the object, z up.

    Args:
        camera_to_world: [V, 4, 4]. centre: [3], of the object.

    Returns:
        [V, 2] degrees; of a camera at the centre itself (0, 0).
    """
    x, y, z = (camera_to_world[:, :3, 3] - centre).T
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=1))


def azimuth_gaps(azimuth_elevation: NDArray[np.float64], wider_than: float) -> list[Gap]:
    """Return the ways around the object, wider than so many degrees, on which no camera stands; the widest first.

    Cameras that look down (or up) steeply are left aside. There is no gap where none is left.

    Args:
        azimuth_elevation: [V, 2] degrees, as `directions` gives them.
    """
    azimuths = np.sort(azimuth_elevation[np.abs(azimuth_elevation[:, 1]) <= STEEP, 0])
    if azimuths.size == 0:
        return []
    widths = np.diff(azimuths, append=azimuths[0] + 360.0)
    gaps = [Gap(float(start), float(width)) for start, width in zip(azimuths, widths, strict=True)]
    return sorted((gap for gap in gaps if gap.width > wider_than), key=lambda gap: -gap.width)
