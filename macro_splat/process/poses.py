"""Pose, intrinsics and optics of every photograph, from the rig or by structure from motion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics, Optics, SparsePoints

Source = Literal["rig", "sfm"]


@dataclass(frozen=True, eq=False)
class PosedPhotograph:
    """Where a photograph was taken, and how its lens stood."""

    camera_to_world: NDArray[np.float64]
    """[4, 4], rigid, OpenGL axes."""
    intrinsics: Intrinsics
    """Of the upright photograph at full size."""
    optics: Optics = field(default_factory=Optics)


@dataclass(frozen=True, eq=False)
class Poses:
    """The poses of a capture; those of structure from motion are in a world with the object at the origin and z up."""

    source: Source
    photographs: dict[str, PosedPhotograph]
    """By name; those without a pose are missing."""
    points: SparsePoints | None = None
    reprojection_error_px: float | None = None
    """Mean over the points, in pixels of the full photographs."""
    registered: frozenset[str] = frozenset()
    """Photographs whose poses are their own, rather than another slice's."""
    unregistered: tuple[str, ...] = ()
    """Photographs without a pose, in the stacks' order."""
    mm: bool = False
    """Whether lengths are in mm; else they have no meaning."""

    def scaled_to_mm(self, mm_per_unit: float) -> Poses:
        """Return the same poses in mm."""
        photographs = {}
        for name, posed in self.photographs.items():
            pose = posed.camera_to_world.copy()
            pose[:3, 3] *= mm_per_unit
            photographs[name] = replace(posed, camera_to_world=pose)
        points = self.points
        if points is not None:
            points = SparsePoints(points.xyz * mm_per_unit, points.rgb)
        return replace(self, photographs=photographs, points=points, mm=True)
