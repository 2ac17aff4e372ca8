"""Upright photographs rotated to landscape, as the sensor saw them: portrait and landscape then have one camera.

Features are found in the upright picture; it is their places that are rotated, and the camera that is rotated back.
Pixels have their origin in the corner and y downwards, cameras are COLMAP's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics
from macro_splat.photographs.load import Photograph
from macro_splat.process.sfm.features import Features

STORED_CLOCKWISE = (7, 8)
"""EXIF's orientations in which the stored picture is the upright one rotated clockwise."""


@dataclass(frozen=True)
class LandscapeRotation:
    """How an upright photograph is rotated to landscape: not at all (0), counterclockwise (1) or clockwise (-1)."""

    quarter: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the rotated picture."""
        return (height, width) if self.quarter else (width, height)

    def features(self, features: Features, width: int, height: int) -> Features:
        """Return the features of an upright picture of this size as those of the rotated one."""
        if not self.quarter:
            return features
        keypoints = features.keypoints.copy()
        x, y = features.keypoints[:, :2].T
        keypoints[:, 0], keypoints[:, 1] = (y, width - x) if self.quarter > 0 else (height - y, x)
        keypoints[:, 3] -= self.quarter * np.pi / 2
        return Features(keypoints, features.descriptors)

    def upright(self, xy: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """Return places [N, 2] in the rotated picture as places in the upright one, which has this size."""
        if not self.quarter:
            return xy
        x, y = xy.T
        return np.stack([width - y, x] if self.quarter > 0 else [y, height - x], axis=1)

    @property
    def camera(self) -> NDArray[np.float64]:
        """[4, 4] from the upright camera's coordinates to those of the rotated one."""
        rotation, q = np.eye(4), self.quarter
        if q:
            rotation[:2, :2] = [[0, q], [-q, 0]]
        return rotation

    def upright_intrinsics(self, landscape: Intrinsics) -> Intrinsics:
        """Return the intrinsics of the upright photograph."""
        if not self.quarter:
            return landscape
        width, height, q = landscape.height, landscape.width, self.quarter
        k1, k2, k3, k4, p1, p2 = landscape.distortion
        return Intrinsics(
            landscape.fl_y,
            landscape.fl_x,
            width - landscape.cy if q > 0 else landscape.cy,
            landscape.cx if q > 0 else height - landscape.cx,
            width,
            height,
            (k1, k2, k3, k4, q * p2, -q * p1),
        )


def landscape_rotation(photograph: Photograph) -> LandscapeRotation:
    """Return the rotation that undoes the camera's: portraits become what was stored.

    Those that a program has rotated may be upside down then, which matters little.
    """
    if photograph.height <= photograph.width:
        return LandscapeRotation(0)
    return LandscapeRotation(-1 if photograph.exif.orientation in STORED_CLOCKWISE else 1)
