"""The object and what surrounds it: the plain background, if a capture has one, and the silhouette."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from macro_splat.ops.pinhole import project
from macro_splat.photographs.background import (
    BACKGROUND_TOLERANCE,
    MIN_BACKGROUND_SHARE,
    NEIGHBOURHOOD_PX,
    border_mask,
    border_pixels,
    largest_deviation,
    share_of_colour,
)

AROUND_POINT = 0.05
"""Share of a photograph's longer edge: so far around a sparse point its surface may reach."""
MOST = 0.6
"""Share of the photographs in view of a point: if more of them show nothing there, the point is a mistake."""


def plain_background(photographs: Iterable[NDArray]) -> NDArray[np.float32]:
    """The colour [3] in 0..1 that surrounds the object, or black where the surroundings are not plain.

    Args:
        photographs: [H, W, 3] each, uint8 or float in 0..1.
    """
    borders = []
    for photograph in photographs:
        border = border_pixels(photograph)[:, :3].astype(np.float32)
        borders.append(border / 255.0 if photograph.dtype == np.uint8 else border)
    pixels = np.concatenate(borders)
    common = np.median(pixels, axis=0)
    plain = share_of_colour(pixels, common) >= MIN_BACKGROUND_SHARE
    return common.astype(np.float32) if plain else np.zeros(3, np.float32)


def empty_pixels(photograph: NDArray, background: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Pixels [H, W] at which a photograph shows nothing but its plain background, or None if it shows no plain one.

    Blur only spreads an object, so nothing of it lies behind these pixels in the sharp picture either. They are joined
    to the border, and their neighbourhood's mean is the border's within its scatter: sensor noise passes, the faint
    outskirts of a blurred object do not.

    Args:
        photograph: [H, W, 3], uint8 or float in 0..1.
        background: [3] in 0..1, see `plain_background`.
    """
    picture = photograph[..., :3].astype(np.float32)
    if photograph.dtype == np.uint8:
        picture /= 255.0
    difference = ndimage.uniform_filter(np.abs(picture - background).mean(axis=2), NEIGHBOURHOOD_PX)
    border = border_pixels(difference)
    if (border <= BACKGROUND_TOLERANCE).sum() < MIN_BACKGROUND_SHARE * len(border):
        return None
    plain = difference <= largest_deviation(border)[0]
    connected = ndimage.binary_propagation(plain & border_mask(plain.shape), mask=plain)
    return ndimage.binary_erosion(connected, iterations=NEIGHBOURHOOD_PX // 2, border_value=1)


class SilhouetteConsistency:
    """Points of the scene where some photographs show something and others nothing.

    A ruler stayed while the object was turned over, or was put beside it later. Around such a point nobody knows that
    nothing is there. What most photographs find nothing at was never there.
    """

    def __init__(self, points: NDArray[np.floating]) -> None:
        """
        Args:
            points: [P, 3] on surfaces.
        """
        self._points = points
        self._seen, self._empty = np.zeros(len(points), int), np.zeros(len(points), int)
        self._found: dict[int, tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]] = {}

    def add_view(
        self, view: int, empty: NDArray[np.bool_], viewmat: NDArray[np.floating], intrinsics: NDArray[np.floating]
    ) -> None:
        """Note the points that lie in the empty pixels [H, W] of a photograph.

        Args:
            viewmat: [4, 4] world to camera, looking along +z. intrinsics: [3, 3] in pixels of `empty`.
        """
        depth, x, y = project(self._points, viewmat, intrinsics)
        height, width = empty.shape
        number = np.flatnonzero((depth > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height))
        row, column = y[number].astype(np.intp), x[number].astype(np.intp)
        hit = empty[row, column]
        self._seen[number] += 1
        self._empty[number[hit]] += 1
        if hit.any():
            self._found[view] = number[hit], row[hit], column[hit]

    def conflicting_views(self) -> list[int]:
        """Photographs that others contradict, after all were looked at."""
        return [view for view, (number, _, _) in self._found.items() if self._stands(number).any()]

    def prune(self, view: int, empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The empty pixels of one of `conflicting_views` without the surroundings of such points."""
        number, row, column = self._found[view]
        stands = self._stands(number)
        elsewhere = np.ones_like(empty)
        elsewhere[row[stands], column[stands]] = False
        return empty & (ndimage.distance_transform_edt(elsewhere) > AROUND_POINT * max(empty.shape))

    def _stands(self, number: NDArray[np.intp]) -> NDArray[np.bool_]:
        return self._empty[number] <= MOST * self._seen[number]
