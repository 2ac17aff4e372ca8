"""Which photographs are compared, and the comparison of features that were seen in simulated views as well."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from macro_splat.process.sfm.features import Features

EXHAUSTIVE_BELOW = 300
"""Up to so many photographs each is compared with each."""
NEIGHBOURS = 12
"""Beyond that, each with so many that follow it ..."""
ROW_BLOCK = 2048
"""Features compared at once, so that the table of similarities stays small."""
CANDIDATES = 12
"""Nearest descriptors among which the second place is looked for."""


def candidate_pairs(count: int) -> list[tuple[int, int]]:
    """Return pairs (i < j) of photographs in their order that are worth comparing.

    All of them while there are few. Beyond that the photographs are taken to follow a path that returns to its start
    (turntable, dome, walk around): each is compared with its followers, and with those 16, 32, 64 ... places on, which
    catches neighbouring rings.
    """
    if count < EXHAUSTIVE_BELOW:
        return list(combinations(range(count), 2))
    steps = [*range(1, NEIGHBOURS + 1), *(2**k for k in range(4, 31) if 2**k <= count // 2)]
    return sorted({(min(i, (i + s) % count), max(i, (i + s) % count)) for i in range(count) for s in steps})


def match(
    first: Features, second: Features, *, max_ratio: float = 0.85, same_place_px: float = 4.0
) -> NDArray[np.uint32]:
    """Return pairs [M, 2] of features that are each other's nearest and clearly nearer than any of another place.

    Unlike COLMAP's own matcher the ratio test passes over features of the same place: one that was found in several
    simulated views does not compete with itself (Morel and Yu 2009).
    """
    if not len(first.keypoints) or not len(second.keypoints):
        return np.zeros((0, 2), dtype=np.uint32)
    a, b = _unit(first.descriptors), _unit(second.descriptors)
    nearest_of_a = np.empty(len(a), dtype=np.intp)
    nearest_of_b, best_of_b = np.zeros(len(b), dtype=np.intp), np.full(len(b), -1.0, dtype=np.float32)
    for start in range(0, len(a), ROW_BLOCK):
        similarity = a[start : start + ROW_BLOCK] @ b.T
        nearest_of_a[start : start + ROW_BLOCK] = similarity.argmax(axis=1)
        rows = similarity.argmax(axis=0)
        best = similarity[rows, np.arange(len(b))]
        better = best > best_of_b
        best_of_b[better], nearest_of_b[better] = best[better], rows[better] + start

    mutual = np.flatnonzero(nearest_of_b[nearest_of_a] == np.arange(len(a)))
    count = min(CANDIDATES, len(b))
    places = np.empty((len(mutual), count), dtype=np.intp)
    values = np.empty((len(mutual), count), dtype=np.float32)
    for start in range(0, len(mutual), ROW_BLOCK):
        block = slice(start, start + ROW_BLOCK)
        similarity = a[mutual[block]] @ b.T
        top = np.argpartition(similarity, len(b) - count, axis=1)[:, len(b) - count :]
        top_values = np.take_along_axis(similarity, top, axis=1)
        order = np.argsort(-top_values, axis=1, kind="stable")
        places[block] = np.take_along_axis(top, order, axis=1)
        values[block] = np.take_along_axis(top_values, order, axis=1)

    xy = second.keypoints[:, :2][places]
    elsewhere = ((xy - xy[:, :1]) ** 2).sum(axis=2) > same_place_px**2
    # Where all candidates are of one place the last of them stands for the unknown second, which is less alike.
    second_place = np.where(elsewhere.any(axis=1), elsewhere.argmax(axis=1), count - 1)
    second_value = np.take_along_axis(values, second_place[:, None], axis=1)[:, 0]
    distance, second_distance = (np.sqrt(np.maximum(2 - 2 * value, 1e-6)) for value in (values[:, 0], second_value))
    clear = distance < max_ratio * second_distance
    return np.stack([mutual[clear], places[clear, 0]], axis=1).astype(np.uint32)


def merge_places(keypoints: NDArray[np.float32], kept: int) -> NDArray[np.intp]:
    """Return for each keypoint [N, 4] the first one in the same pixel; each of the first `kept` stays itself."""
    cells = np.floor(keypoints[:, :2]).astype(np.int64)
    _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    target = first[inverse.reshape(-1)]
    target[:kept] = np.arange(kept)
    return np.asarray(target)


def one_to_one(pairs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return those of the pairs [M, 2] whose members occur in no earlier one."""
    for column in (0, 1):
        _, first = np.unique(pairs[:, column], return_index=True)
        pairs = pairs[np.sort(first)]
    return pairs


def false_alarms(inliers: int, matches: int, size: tuple[int, int], error_px: float) -> float:
    """Return how many epipolar geometries as good as this one are to be expected among random matches.

    3 (n − 7) C(n, k) C(k, 7) α^(k − 7) for k of n matches, α = 2 · error · diagonal / area of the picture
    (L. Moisan and B. Stival, "A probabilistic criterion to detect rigid point matches between two images", IJCV 2004).
    """
    if inliers <= 7:
        return float("inf")
    width, height = size
    chance = min(1.0, 2 * error_px * float(np.hypot(width, height)) / (width * height))
    logarithm = np.log(3 * (matches - 7.0 if matches > 7 else 1.0)) + _log_binomial(matches, inliers)
    logarithm += _log_binomial(inliers, 7) + (inliers - 7) * np.log(chance)
    return float(np.exp(min(logarithm, 700.0)))


def _log_binomial(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def best_partners(
    missing: Sequence[int], pairs: Sequence[tuple[int, int]], match_counts: NDArray[np.int64], most: int
) -> list[tuple[int, int]]:
    """Return the pairs of the missing photographs that promise most: for each, the `most` with the most matches.

    Args:
        match_counts: [N, N] features that matched when all pairs were compared; nearer in the order wins a tie.
    """
    wanted = set()
    of = {i: [j for p in pairs if i in p for j in p if j != i] for i in missing}
    for i in missing:
        ranked = sorted(of[i], key=lambda j: (-match_counts[i, j], abs(i - j)))
        wanted |= {(min(i, j), max(i, j)) for j in ranked[:most]}
    return sorted(wanted)


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = descriptors.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))
