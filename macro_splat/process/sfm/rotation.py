"""Upright photographs laid on their side, as the sensor saw them: portrait and landscape then have one camera.

Features are found in the upright picture; it is their places that are turned, and the camera that is turned back.
Pixels have their origin in the corner and y downwards, cameras are COLMAP's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics
from macro_splat.photographs.load import Photograph
from macro_splat.process.sfm.features import Features

LAID_CLOCKWISE = (7, 8)
"""EXIF's orientations in which the stored picture is the upright one turned clockwise."""


@dataclass(frozen=True)
class Turn:
    """How a photograph is laid down: not at all (0), counterclockwise (1) or clockwise (-1)."""

    quarter: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the picture once laid down."""
        return (height, width) if self.quarter else (width, height)

    def features(self, features: Features, width: int, height: int) -> Features:
        """The features of an upright picture of this size, laid down."""
        if not self.quarter:
            return features
        keypoints = features.keypoints.copy()
        x, y = features.keypoints[:, :2].T
        keypoints[:, 0], keypoints[:, 1] = (y, width - x) if self.quarter > 0 else (height - y, x)
        keypoints[:, 3] -= self.quarter * np.pi / 2
        return Features(keypoints, features.descriptors)

    def upright(self, xy: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """[N, 2] places in the laid picture as places in the upright one, which has this size."""
        if not self.quarter:
            return xy
        x, y = xy.T
        return np.stack([width - y, x] if self.quarter > 0 else [y, height - x], axis=1)

    @property
    def camera(self) -> NDArray[np.float64]:
        """[4, 4] from the upright camera's coordinates to those of the laid one."""
        turn, q = np.eye(4), self.quarter
        if q:
            turn[:2, :2] = [[0, q], [-q, 0]]
        return turn

    def intrinsics(self, laid: Intrinsics) -> Intrinsics:
        """Those of the upright photograph."""
        if not self.quarter:
            return laid
        width, height, q = laid.height, laid.width, self.quarter
        k1, k2, k3, k4, p1, p2 = laid.distortion
        return Intrinsics(
            laid.fl_y,
            laid.fl_x,
            width - laid.cy if q > 0 else laid.cy,
            laid.cx if q > 0 else height - laid.cx,
            width,
            height,
            (k1, k2, k3, k4, q * p2, -q * p1),
        )


def turn_of(photograph: Photograph) -> Turn:
    """Portraits are laid down as they were stored; those that a program has turned may be upside down then, which
    matters little."""
    if photograph.height <= photograph.width:
        return Turn(0)
    return Turn(-1 if photograph.exif.orientation in LAID_CLOCKWISE else 1)
