"""Points on the surface of an object from a focus stack whose poses and focus distances are known.

Where a pixel is the sharpest in one slice, the surface lies in that slice's plane of focus. Between slices the peak of
the sharpness is interpolated by a Gaussian (Nayar & Nakagawa, Shape from Focus, PAMI 1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics, SparsePoints
from macro_splat.photographs.background import BACKGROUND_TOLERANCE
from macro_splat.photographs.masks import plain_background_surface
from macro_splat.process.stacks.fusion import magnified, sharpness_energy

CELL_PX = 4
"""Of each cell of so many pixels along an edge only the surest pixel becomes a point."""
MIN_PEAK_RATIO = 2.0
"""The sharpest slice has so many times the energy of the median one, or the pixel tells no depth."""
NOISE_LEVEL = 2.0 / 255
"""Standard deviation of the detail, of 1, below which it may be noise."""
MIN_LOCAL_ENERGY_RATIO, LOCAL_SIGMA_PX = 1.0, 0.7
"""The energy close to the pixel itself is at least so much of that around it."""
MIN_SLICES = 3
"""With fewer there is no peak."""


@dataclass(frozen=True, eq=False)
class Slice:
    """A photograph of a stack; lengths in scene units."""

    picture: NDArray[np.uint8]
    """[H, W, 3]"""
    intrinsics: Intrinsics
    """Of this picture."""
    camera_to_world: NDArray[np.float64]
    """[4, 4], OpenGL axes."""
    focus_distance: float


def points_in_focus(slices: Sequence[Slice], mask: NDArray[np.bool_] | None = None) -> SparsePoints:
    """Return points where the stack tells depth, at most one for each cell of the reference picture, the middle one.

    Args:
        slices: in their order, with one optical axis. mask: [H, W] of the reference; no points outside.

    Returns:
        Possibly none. Pixels that are sharpest in the first or last slice are put into its plane of focus, though they
        may lie beyond it: where a stack ends there would be no point else, and training moves points, but makes none
        where none is near.
    """
    none = SparsePoints(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    if len(slices) < MIN_SLICES:
        return none
    reference = slices[len(slices) // 2]
    pictures = [_as_seen_by(reference, each) for each in slices]
    energy = np.stack([sharpness_energy(picture) for picture in pictures])
    best = energy.argmax(axis=0)
    rows, columns = np.indices(best.shape)
    peak = energy[best, rows, columns]
    usable = (peak > NOISE_LEVEL**2) & (peak > MIN_PEAK_RATIO * np.median(energy, axis=0))
    if mask is not None:
        usable &= mask
    # What is gathered around a pixel may be its neighbours' detail, across a silhouette: it must have some of its own.
    local = np.stack([sharpness_energy(picture, sigma_px=LOCAL_SIGMA_PX) for picture in pictures])[best, rows, columns]
    seen = np.stack(pictures)[best, rows, columns]
    background = plain_background_surface(seen)
    if background is not None:
        usable &= (np.abs(seen - background) > BACKGROUND_TOLERANCE).any(axis=2)
    y, x = _surest_of_cells(np.where(usable & (local > MIN_LOCAL_ENERGY_RATIO * peak), local, 0.0))
    k = best[y, x]
    inner = np.clip(k, 1, len(slices) - 2)
    low, top, high = (np.log(np.maximum(energy[inner + step, y, x], 1e-12)) for step in (-1, 0, 1))
    # Vertex of the parabola through three logarithms; their second difference is negative at a peak.
    vertex = np.clip(0.5 * (low - high) / np.minimum(low - 2 * top + high, -1e-6), -0.5, 0.5)
    place = k + np.where(inner == k, vertex, 0.0)
    first = np.clip(np.floor(place).astype(int), 0, len(slices) - 2)
    share = (place - first)[:, None]
    planes = np.stack([_in_plane_of_focus(each, reference, x, y) for each in slices])
    every = np.arange(len(x))
    xyz = (1 - share) * planes[first, every] + share * planes[first + 1, every]
    return SparsePoints(xyz, np.round(255 * seen[y, x]).astype(np.uint8))


def _magnification(of: Slice, against: Slice) -> float:
    """Return how much larger `of` shows what lies in its plane of focus: by focal length, and nearness on a rail."""
    forward = float((against.camera_to_world[:3, 3] - of.camera_to_world[:3, 3]) @ of.camera_to_world[:3, 2])
    nearness = (of.focus_distance + forward) / of.focus_distance
    return of.intrinsics.fl_x / against.intrinsics.fl_x * nearness


def _as_seen_by(reference: Slice, other: Slice) -> NDArray[np.float32]:
    """Return the other's picture at the scale of the reference's, with the principal points on top of each other."""
    scale = _magnification(other, reference)
    mine, theirs = reference.intrinsics, other.intrinsics
    # OpenCV counts from the centres of pixels, intrinsics from the corner of the picture.
    x, y = theirs.cx - 0.5 - scale * (mine.cx - 0.5), theirs.cy - 0.5 - scale * (mine.cy - 0.5)
    size = reference.picture.shape[1], reference.picture.shape[0]
    return magnified(other.picture.astype(np.float32) / 255, scale, (x, y), size)


def _in_plane_of_focus(each: Slice, reference: Slice, x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return where the slice's plane of focus shows what the reference shows at these pixels, [N, 3] in the world."""
    scale = _magnification(each, reference)
    pinhole, d = reference.intrinsics, each.focus_distance
    across = scale * (x + 0.5 - pinhole.cx) / each.intrinsics.fl_x * d
    down = scale * (y + 0.5 - pinhole.cy) / each.intrinsics.fl_y * d
    local = np.stack([across, -down, np.full(len(x), -d)], axis=1)
    return local @ each.camera_to_world[:3, :3].T + each.camera_to_world[:3, 3]


def _surest_of_cells(values: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of the largest value of each cell that is above 0."""
    height, width = (n - n % CELL_PX for n in values.shape)
    blocks = values[:height, :width].reshape(height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX)
    cells = blocks.transpose(0, 2, 1, 3).reshape(height // CELL_PX, width // CELL_PX, -1)
    inner = cells.argmax(axis=2)
    row, column = np.nonzero(cells.max(axis=2) > 0)
    chosen = inner[row, column]
    return row * CELL_PX + chosen // CELL_PX, column * CELL_PX + chosen % CELL_PX
