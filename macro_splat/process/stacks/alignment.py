"""How the image scale and place change from slice to slice of a focus stack: focus breathing and unsteady mounts.

Slice k shows at  centre + s·(x − centre) + t  what the reference slice shows at x, with s its magnification relative
to the reference and t a shift. Refocusing by the lens's ring keeps the centre of projection and changes the image
distance, so that a slice of magnification s has s times the reference's focal length in pixels
(`slice_intrinsics`). A camera on a rail slides along its axis instead: its perspective changes, which no scale can
undo, and its slices need poses of their own.

The slices of a stack differ in blur everywhere, so that neither grey values nor gradients compare. What survives a
symmetric blur is the phase: pictures are band-passed and divided by their local contrast, and a pixel counts as far as
its surroundings correlate. Pairs of slices near to each other, which are blurred alike, are registered coarse to fine
by Gauss-Newton steps with the mean of both pictures' slopes (after S. Benhimane and E. Malis, "Real-time image-based
tracking of planes using efficient second-order minimization", 2004); a least-squares solution over all pairs gives
the slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics

LAGS = (1, 2, 4)
"""Slices so many places apart are registered with each other."""
MIN_EDGE_PX = 48
BAND_PX = (0.8, 6.0)
"""Standard deviations of the band-pass: less is noise, more varies with the light."""
WINDOW_PX = 31
"""Side of the surroundings over which contrast and correlation are taken."""
MAX_STEPS = 12
CONVERGED_PX = 2e-3
MAX_SCALE_STEP = 0.1
"""Slices up to `max(LAGS)` places apart that seem to differ more in scale were registered wrongly."""
MIN_LEVEL_CORRELATION = 0.85
"""Where pictures correlate less, their blur differs too much at this size, and the one of half the size decides."""
MIN_CORRELATION = 0.5
"""Pairs that correlate less are left out of the solution."""


@dataclass(frozen=True)
class SliceAlignment:
    """Where a slice shows what the reference shows."""

    scale: float
    """Magnification relative to the reference."""
    shift_px: tuple[float, float]
    """x and y, in pixels of the pictures given, at their centre."""
    confidence: float
    """0..1: correlation of the worst registration on the best way from the reference to this slice; 1 for the reference
    itself. Below `MIN_CORRELATION`, scale and shift are guessed from the neighbours."""


class _Similarity(NamedTuple):
    log_scale: float
    x: float
    y: float


class _Pair(NamedTuple):
    first: int
    second: int
    change: _Similarity
    correlation: float


def align_stack(
    pictures: Sequence[NDArray[np.uint8]], reference: int | None = None, max_edge: int = 800
) -> list[SliceAlignment]:
    """Measure scale and shift of every slice relative to the reference.

    Args:
        pictures: [H, W, 3] or [H, W], in the order of the slices, all of one size.
        reference: place of the reference slice; the middle one if not given.
        max_edge: larger pictures are registered at this size.

    Raises:
        ValueError: no pictures, of different sizes, or no such reference.
    """
    if not pictures or len({picture.shape for picture in pictures}) > 1:
        raise ValueError(f"{len(pictures)} pictures of sizes {sorted({picture.shape for picture in pictures})}")
    reference = len(pictures) // 2 if reference is None else range(len(pictures))[reference]
    reduction = min(1.0, max_edge / max(pictures[0].shape[:2]))
    pyramids = [_pyramid(picture, reduction) for picture in pictures]
    pairs: list[_Pair] = []
    for lag in LAGS:
        for i in range(len(pictures) - lag):
            start = _chain(pairs, i, i + lag) if lag > 1 else None
            change, correlation = _register(pyramids[i], pyramids[i + lag], start)
            pairs.append(_Pair(i, i + lag, change, correlation))
    slices = _solve(pairs, len(pictures), reference, _corner(pyramids[0][0]))
    # Pictures were reduced to whole pixels: the true reduction differs a little between the axes.
    height, width = pictures[0].shape[:2]
    small_height, small_width = pyramids[0][0].shape
    return [
        SliceAlignment(
            float(np.exp(log_scale)),
            (float(x * width / small_width), float(y * height / small_height)),
            _confidence(pairs, k, reference),
        )
        for k, (log_scale, x, y) in enumerate(slices)
    ]


def slice_intrinsics(intrinsics: Intrinsics, alignment: SliceAlignment) -> Intrinsics:
    """Return the pinhole of a ring slice, from that of its reference: the pose stays, the image scales and shifts.

    Args:
        intrinsics: of pictures of the size that was aligned.
    """
    s, (x, y) = alignment.scale, alignment.shift_px
    return replace(
        intrinsics,
        fl_x=s * intrinsics.fl_x,
        fl_y=s * intrinsics.fl_y,
        cx=intrinsics.width / 2 + s * (intrinsics.cx - intrinsics.width / 2) + x,
        cy=intrinsics.height / 2 + s * (intrinsics.cy - intrinsics.height / 2) + y,
    )


# --- one pair -----------------------------------------------------------------------------------------------------


def _pyramid(picture: NDArray[np.uint8], reduction: float) -> list[NDArray[np.float32]]:
    """Return grey pictures, each half the size of the one before it, the finest first."""
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if reduction < 1:
        grey = cv2.resize(grey, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    levels = [np.asarray(grey, dtype=np.float32)]
    while min(levels[-1].shape) >= 2 * MIN_EDGE_PX:
        height, width = levels[-1].shape
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, dtype=np.float32))
    return levels


def _register(
    first: Sequence[NDArray[np.float32]], second: Sequence[NDArray[np.float32]], start: _Similarity | None
) -> tuple[_Similarity, float]:
    """Return where `second` shows what `first` shows, in pixels of the finest level, and how well they correlate."""
    if start is None:
        levels = range(len(first) - 1, -1, -1)
        (x, y), _ = cv2.phaseCorrelate(
            _normalise(first[-1]), _normalise(second[-1]), cv2.createHanningWindow(first[-1].shape[::-1], cv2.CV_32F)
        )
        change = _Similarity(0.0, x, y)
        if not np.isfinite([x, y]).all() or max(abs(x), abs(y)) > 0.3 * min(first[-1].shape):
            change = _Similarity(0.0, 0.0, 0.0)
    else:
        levels = range(min(1, len(first) - 1), -1, -1)
        change = _resize(start, first[0], first[levels[0]])
    best = _resize(change, first[levels[0]], first[0]), 0.0
    for level in levels:
        start = _resize(best[0], first[0], first[level])
        change, correlation = _descend(_normalise(first[level]), _normalise(second[level]), start)
        if correlation < MIN_LEVEL_CORRELATION <= best[1]:
            break
        best = _resize(change, first[level], first[0]), correlation
    return best


def _resize(change: _Similarity, before: NDArray[np.float32], after: NDArray[np.float32]) -> _Similarity:
    """Return the same change in a picture of another size."""
    return _Similarity(
        change.log_scale,
        change.x * after.shape[1] / before.shape[1],
        change.y * after.shape[0] / before.shape[0],
    )


def _normalise(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the band-pass, divided by its local contrast. Contrast of the order of the noise stays small."""
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in BAND_PX)
    band = fine - coarse
    contrast = cv2.boxFilter(band * band, -1, (WINDOW_PX, WINDOW_PX))
    return band / np.sqrt(contrast + max(1.0, 4 * _noise_in_band(grey)) ** 2)


def _noise_in_band(grey: NDArray[np.float32]) -> float:
    """Return the standard deviation of the noise that the band-pass leaves, from the median of the Laplacian's size.

    J. Immerkær, "Fast Noise Variance Estimation", 1996.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    noise = float(np.median(np.abs(cv2.filter2D(grey, -1, kernel)))) / (0.6745 * 6)
    return noise / (2 * math.sqrt(math.pi) * BAND_PX[0])


def _descend(first: NDArray[np.float32], second: NDArray[np.float32], change: _Similarity) -> tuple[_Similarity, float]:
    """Take Gauss-Newton steps on one level; return the change and the correlation that it reaches."""
    height, width = first.shape
    x, y = np.meshgrid(
        np.arange(width, dtype=np.float32) - (width - 1) / 2, np.arange(height, dtype=np.float32) - (height - 1) / 2
    )
    start, correlation = change, 0.0
    for _ in range(MAX_STEPS):
        warped, inside = _warp(second, change, x, y)
        weight = inside * _correlation(first, warped)
        slope_x, slope_y = (
            0.5 * (cv2.Sobel(first, -1, dx, dy, scale=0.125) + cv2.Sobel(warped, -1, dx, dy, scale=0.125))
            for dx, dy in ((1, 0), (0, 1))
        )
        slopes = np.stack([(slope_x * x + slope_y * y).ravel(), slope_x.ravel(), slope_y.ravel()])
        weighted = slopes * weight.ravel()
        normal = weighted @ slopes.T
        moments = (inside * first * warped).sum(), (inside * first**2).sum(), (inside * warped**2).sum()
        correlation = float(moments[0] / np.sqrt(moments[1] * moments[2])) if min(moments[1:]) > 1e-6 else 0.0
        if np.linalg.cond(normal) > 1e10:  # nothing to hold on to
            return start, 0.0
        step = np.linalg.solve(normal, weighted @ (first - warped).ravel())
        scale = np.exp(change.log_scale)
        change = _Similarity(
            change.log_scale + float(step[0]),
            change.x + float(scale * step[1]),
            change.y + float(scale * step[2]),
        )
        if abs(change.log_scale) > MAX_SCALE_STEP or max(abs(change.x), abs(change.y)) > 0.5 * min(first.shape):
            return start, 0.0
        if abs(step[0]) * max(first.shape) / 2 + abs(step[1]) + abs(step[2]) < CONVERGED_PX:
            break
    return change, max(0.0, correlation)


def _warp(
    picture: NDArray[np.float32], change: _Similarity, x: NDArray[np.float32], y: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the picture as the reference shows it, and where that is known. x, y: pixels from the centre [H, W]."""
    height, width = picture.shape
    scale = np.exp(change.log_scale)
    at_x = np.asarray(scale * x + change.x + (width - 1) / 2, dtype=np.float32)
    at_y = np.asarray(scale * y + change.y + (height - 1) / 2, dtype=np.float32)
    warped = cv2.remap(picture, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    margin = 2 * BAND_PX[1]  # within it, the band-pass has seen the edge
    inside = (at_x > margin) & (at_x < width - 1 - margin) & (at_y > margin) & (at_y < height - 1 - margin)
    edge = int(margin) + 1
    inside[:edge], inside[-edge:], inside[:, :edge], inside[:, -edge:] = False, False, False, False
    return np.asarray(warped, dtype=np.float32), inside


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the correlation of the pixels' surroundings, squared, 0 where it is negative."""
    window = (WINDOW_PX, WINDOW_PX)
    mixed, own, other = (cv2.boxFilter(p, -1, window) for p in (first * second, first * first, second * second))
    return np.square(np.maximum(mixed, 0)) / np.maximum(own * other, 1e-6)


# --- all pairs ----------------------------------------------------------------------------------------------------


def _chain(pairs: Sequence[_Pair], first: int, last: int) -> _Similarity:
    """Return the change over several neighbours."""
    log_scale = x = y = 0.0
    for pair in pairs:
        if first <= pair.first and pair.second == pair.first + 1 <= last:
            scale = np.exp(pair.change.log_scale)
            log_scale += pair.change.log_scale
            x, y = scale * x + pair.change.x, scale * y + pair.change.y
    return _Similarity(log_scale, x, y)


def _confidence(pairs: Sequence[_Pair], slice_: int, reference: int) -> float:
    """Return the correlation of the worst pair on the best way from the reference to a slice."""
    if slice_ == reference:
        return 1.0
    low, high = sorted((slice_, reference))
    gaps = [max(pair.correlation for pair in pairs if pair.first <= k < pair.second) for k in range(low, high)]
    own = max(pair.correlation for pair in pairs if slice_ in (pair.first, pair.second))
    return min(own, *gaps)


def _corner(picture: NDArray[np.float32]) -> float:
    """Return the pixels from the centre to the corner."""
    return float(np.hypot(*picture.shape)) / 2


def _solve(pairs: Sequence[_Pair], count: int, reference: int, corner_px: float) -> list[tuple[float, float, float]]:
    """Return log scale and shift of every slice: least squares over the pairs, robust against a few wrong ones.

    A change from slice i to j is scale_j = s·scale_i and shift_j = s·shift_i + t. A faint wish that neighbours are
    alike decides where no pair is sure.
    """
    neighbours = [_Pair(k, k + 1, _Similarity(0.0, 0.0, 0.0), 0.0) for k in range(count - 1)]
    rows = [*pairs, *neighbours]
    # What does not correlate counts as noise: the variance of a registration goes as (1 − ρ²)/ρ².
    quality = np.array([pair.correlation if pair.correlation >= MIN_CORRELATION else 0.0 for pair in pairs])
    trust = np.append(quality / np.sqrt(1.001 - quality**2), [1e-3] * (count - 1))
    weight = trust
    slices = np.zeros((count, 3))
    for _ in range(10):
        residual = np.zeros((len(rows), 3))
        for axis in range(3):
            matrix, target = np.zeros((len(rows) + 1, count)), np.zeros(len(rows) + 1)
            for row, pair in enumerate(rows):
                matrix[row, pair.first] = -1.0 if axis == 0 else -np.exp(pair.change.log_scale)
                matrix[row, pair.second] = 1.0
                target[row] = pair.change[axis]
            matrix[-1, reference] = 1.0
            by = np.append(weight, 1e3)
            slices[:, axis] = np.linalg.lstsq(matrix * by[:, None], target * by, rcond=None)[0]
            residual[:, axis] = (matrix @ slices[:, axis] - target)[:-1]
        distance = np.linalg.norm(residual * [corner_px, 1.0, 1.0], axis=1)  # as seen in the picture's corner
        weight = trust / (1 + np.square(distance / 0.5))
    slices -= slices[reference]
    return [(float(a), float(x), float(y)) for a, x, y in slices]
