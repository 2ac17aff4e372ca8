"""Pose, intrinsics and optics of every photograph: from the rig, or from structure from motion and the EXIF data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics, Optics, SparsePoints
from macro_splat.process.sfm.solve import Reconstruction
from macro_splat.process.stacks.grouping import Stack

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
    """The poses of a capture."""

    source: Source
    photographs: dict[str, PosedPhotograph]
    """By name; those without a pose are missing."""
    points: SparsePoints | None = None
    reprojection_error_px: float | None = None
    registered: frozenset[str] = frozenset()
    """Photographs whose poses are their own, rather than another slice's."""
    unregistered: tuple[str, ...] = ()
    """Photographs without a pose."""
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


def poses_from_reconstruction(reconstruction: Reconstruction, stacks: Sequence[Stack]) -> Poses:
    """Return the poses that structure from motion found, with what the EXIF data say of the lens.

    Focus distance and pupil are left to training, which reads them from the images' tags as a start: what is engraved
    on a macro lens is too far off, when it is focused close, to be given as known.
    """
    photographs = {
        photograph.name: PosedPhotograph(
            reconstruction.camera_to_world[photograph.name],
            reconstruction.intrinsics[photograph.name],
            Optics(
                f_number=photograph.exif.f_number,
                focal_length_mm=photograph.exif.focal_length_mm,
                stack_motion=stack.motion,
            ),
        )
        for stack in stacks
        for photograph in stack.photographs
        if photograph.name in reconstruction.camera_to_world
    }
    return Poses(
        "sfm",
        photographs,
        reconstruction.points,
        reconstruction.reprojection_error_px,
        frozenset(reconstruction.registered),
        tuple(reconstruction.unregistered),
    )
