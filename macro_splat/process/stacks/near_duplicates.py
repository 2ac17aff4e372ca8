"""Photographs in a row that show the same view, as the slices of a focus stack do, whatever their names say."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE = 96
"""Pictures are compared at this longer edge."""
SIGMA_PX = 2.0
"""Smoothed by so much at that size, so that focus makes no difference."""
MIN_CORRELATION = 0.998
"""Correlation of the slices of one stack, put on top of each other: 0.9993 and more in two real and a ray-traced one;
photographs of an object turned by 15° have 0.992 at most."""
BORDER_PX = 5
"""Pixels at the edge that are left out: not every slice shows them."""
MIN_SLICES, MAX_SLICES = 3, 60
"""Photographs of a stack; more in a row are rather a turntable in small steps."""


def near_duplicates(pictures: Iterable[NDArray[np.uint8]]) -> list[range]:
    """Return where in a row of pictures [H, W, 3] each shows what the one before does, but for focus and scale."""
    runs: list[range] = []
    start, before, count = 0, None, 0
    for i, picture in enumerate(pictures):
        small = _small(picture)
        if before is not None and not _same_view(before, small):
            runs.append(range(start, i))
            start = i
        before, count = small, i + 1
    runs.append(range(start, count))
    return [run for run in runs if MIN_SLICES <= len(run) <= MAX_SLICES]


def _small(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    shrink = EDGE / max(grey.shape)
    width, height = (max(1, round(side * shrink)) for side in grey.shape[::-1])
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), SIGMA_PX), dtype=np.float32)


def _same_view(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    if first.shape != second.shape:
        return False
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-4)
    try:
        _, matrix = cv2.findTransformECC(first, second, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, criteria)
    except cv2.error:  # nothing in them to hold on to
        return False
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second, np.asarray(matrix), first.shape[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    inner = (slice(BORDER_PX, -BORDER_PX), slice(BORDER_PX, -BORDER_PX))
    a, b = first[inner].ravel(), np.asarray(moved)[inner].ravel()
    return len(a) > 1 and min(a.std(), b.std()) > 0 and bool(np.corrcoef(a, b)[0, 1] >= MIN_CORRELATION)
