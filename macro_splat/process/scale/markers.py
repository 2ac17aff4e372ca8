"""Detection of targets of known size in photographs (cv2.aruco)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from macro_splat.errors import MacroSplatError
from macro_splat.process.targets import CharucoBoard, LooseMarkers, Mark, MarkerGrid, MarkerPair, Target

SHARP_DEVIATION_PX = 0.1
"""Standard deviation of a corner in a sharp picture ..."""
BLUR_FRACTION = 0.2
"""... to which this part of the edges' blur is added."""
REDUCTIONS = (1, 2, 4)
MIN_CORNERS = 4
"""Of a board; fewer are more often a mistake than a board."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A target as a photograph shows it."""

    xy: dict[Mark, NDArray[np.float64]]
    """[2] pixels of the picture that was searched, centres at half integers."""
    deviation_px: float
    """Standard deviation of each coordinate, from how blurred the edges are; rather relative than absolute."""


class TargetFinder:
    """Searches pictures for a target.

    Raises:
        MacroSplatError: the target is impossible.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        _check(target)
        aruco = cv2.aruco
        dictionary = aruco.getPredefinedDictionary(getattr(aruco, f"DICT_{target.dictionary}"))
        parameters = aruco.DetectorParameters()
        parameters.cornerRefinementMethod = aruco.CORNER_REFINE_SUBPIX
        parameters.perspectiveRemoveIgnoredMarginPerCell = 0.25  # blurred cells tell their colour in their middle
        self._detector = aruco.ArucoDetector(dictionary, parameters)
        self._board: Any = None
        self._charuco: list[Any] = []
        try:
            if isinstance(target, CharucoBoard):
                size = (target.columns, target.rows)
                # Boards with an even number of rows had the markers in the other squares before OpenCV 4.6.
                for legacy in (False, True)[: 2 - target.rows % 2]:
                    self._board = aruco.CharucoBoard(size, target.square_mm, target.marker_mm, dictionary)
                    self._board.setLegacyPattern(legacy)
                    self._charuco.append(aruco.CharucoDetector(self._board))
            elif isinstance(target, MarkerGrid):
                grid = (target.columns, target.rows)
                self._board = aruco.GridBoard(grid, target.marker_mm, target.gap_mm, dictionary)
        except (cv2.error, SystemError) as error:  # the binding's constructor loses its own error
            raise MacroSplatError(
                f"{target}: OpenCV knows no such target; check its numbers of columns and rows"
            ) from error
        codes = len(dictionary.bytesList)
        needed = _codes(target)
        if needed > codes:
            raise MacroSplatError(f"{target}: needs {needed} codes but the dictionary has {codes}; use a larger one")

    def known_mm(self, mark: Mark) -> NDArray[np.float64]:
        """Return [3], where a point is on its rigid body."""
        target, number = self.target, mark[1]
        if isinstance(target, CharucoBoard):
            return np.asarray(self._board.getChessboardCorners()[number], dtype=np.float64)
        if isinstance(target, MarkerGrid):
            return np.asarray(self._board.getObjPoints()[number // 4][number % 4], dtype=np.float64)
        if isinstance(target, LooseMarkers):
            return target.marker_mm * np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], dtype=np.float64)[number]
        return np.array([0.0 if number == target.first else target.distance_mm, 0.0, 0.0])

    def find(self, picture: NDArray[np.uint8]) -> Sighting | None:
        """Return the target in a picture [H, W, 3]; None if it is not seen.

        Where the codes are too blurred to be read the picture is reduced to a half and to a quarter.
        """
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        for step in REDUCTIONS:
            small = (
                grey if step == 1 else cv2.resize(grey, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            )
            sighting = self._find(small)
            if sighting is not None:
                grow = np.array([grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]])
                xy = {mark: point * grow for mark, point in sighting.xy.items()}
                return Sighting(xy, sighting.deviation_px * step)
        return None

    def _find(self, grey: Any) -> Sighting | None:
        corners, numbers, _ = self._detector.detectMarkers(grey)
        if numbers is None or not len(numbers):
            return None
        markers = {int(n): c.reshape(4, 2).astype(np.float64) for n, c in zip(numbers.ravel(), corners, strict=True)}
        if len(markers) < len(numbers.ravel()):  # the same code twice: nobody can say which is which
            repeated = {int(n) for n in numbers.ravel() if (numbers.ravel() == n).sum() > 1}
            markers = {n: c for n, c in markers.items() if n not in repeated}
        xy = self._marks(grey, markers, corners, numbers)
        if not xy:
            return None
        seen = np.concatenate(list(markers.values())) if markers else np.stack(list(xy.values()))
        return Sighting(
            {mark: p + 0.5 for mark, p in xy.items()}, SHARP_DEVIATION_PX + BLUR_FRACTION * _edge_blur(grey, seen)
        )

    def _marks(
        self, grey: Any, markers: Mapping[int, NDArray[np.float64]], corners: Any, numbers: Any
    ) -> dict[Mark, NDArray[np.float64]]:
        """Return the target's points, in OpenCV's pixels with centres at integers."""
        target = self.target
        if isinstance(target, CharucoBoard):
            best: dict[Mark, NDArray[np.float64]] = {}
            for detector in self._charuco:
                points, ids, _, _ = detector.detectBoard(grey, markerCorners=corners, markerIds=numbers)
                if ids is not None and len(ids) >= max(MIN_CORNERS, len(best) + 1):
                    pairs = zip(ids.ravel(), points.reshape(-1, 2), strict=True)
                    best = {(0, int(n)): point.astype(np.float64) for n, point in pairs}
            return best
        if isinstance(target, MarkerGrid):
            inside = {n: c for n, c in markers.items() if n < target.columns * target.rows}
            return {(0, 4 * n + k): c[k] for n, c in inside.items() for k in range(4)}
        if isinstance(target, LooseMarkers):
            return {(n, k): c[k] for n, c in markers.items() for k in range(4)}
        return {(0, n): _centre(markers[n]) for n in (target.first, target.second) if n in markers}


def _check(target: Target) -> None:
    known = sorted(name.removeprefix("DICT_") for name in dir(cv2.aruco) if name.startswith("DICT_"))
    if target.dictionary not in known:
        raise MacroSplatError(f"{target.dictionary} is no dictionary of markers; use one of {', '.join(known)}")
    lengths = {name: value for name, value in vars(target).items() if name.endswith("_mm")}
    for name, value in lengths.items():
        if not 0 < value < 1e6:
            raise MacroSplatError(f"{name} = {value}: must be a positive length; measure the printed target")
    if isinstance(target, CharucoBoard) and target.marker_mm >= target.square_mm:
        raise MacroSplatError(
            f"marker_mm = {target.marker_mm}: markers lie inside squares of {target.square_mm} mm; measure them again"
        )
    if isinstance(target, MarkerPair) and (target.first == target.second or min(target.first, target.second) < 0):
        raise MacroSplatError(
            f"markers {target.first} and {target.second} make no pair; give the numbers of two markers"
        )


def _codes(target: Target) -> int:
    """Return how many codes of the dictionary a target uses, as they are numbered from 0."""
    if isinstance(target, CharucoBoard):
        return target.columns * target.rows // 2
    if isinstance(target, MarkerGrid):
        return target.columns * target.rows
    return max(target.first, target.second) + 1 if isinstance(target, MarkerPair) else 1


def _centre(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the diagonals of a square's picture [4, 2] meet, which perspective leaves in place."""
    a, b, c, d = corners
    along = np.linalg.solve(np.stack([c - a, b - d], axis=1), b - a)
    return np.asarray(a + along[0] * (c - a))


def _edge_blur(grey: Any, corners: NDArray[np.float64]) -> float:
    """Return the standard deviation, in pixels, of the blur of the markers' edges.

    A step of height C, blurred by a Gaussian of σ, is steepest with C / (σ √(2π)) per pixel. The picture's own pixels
    blur as well, so that about 0.5 is the least.
    """
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(corners.max(axis=0)).astype(int) + 3
    part = grey[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    slope = np.hypot(cv2.Sobel(part, cv2.CV_32F, 1, 0), cv2.Sobel(part, cv2.CV_32F, 0, 1)) / 8
    contrast = float(np.quantile(part, 0.95) - np.quantile(part, 0.05))
    return contrast / (max(float(np.quantile(slope, 0.99)), 1e-3) * float(np.sqrt(2 * np.pi)))
