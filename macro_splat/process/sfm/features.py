"""Features of one photograph for structure from motion: SIFT inside the mask, where the picture is sharp.

SIFT: D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, as COLMAP computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from macro_splat.process.sfm.colmap import load_pycolmap

SHARP_FRACTION = 0.15
"""A feature is kept where the sharpness is at least this part of the photograph's sharp regions' ..."""
SHARP_QUANTILE = 0.95
"""... which this quantile of its features stands for."""
ALWAYS_KEPT = 1000
"""So many of the sharpest features stay however blurred they are."""
ANGLE_STEP_DEGREES = 72.0
"""Between the simulated views of tilt t: this divided by t."""
BORDER_PX = 4
"""Features so close to the edge of a simulated view see the edge."""


@dataclass(frozen=True)
class FeatureOptions:
    """How features are searched."""

    max_features: int = 8192
    """The largest ones of each view."""
    peak_threshold: float = 0.02 / 3
    """Least contrast in the scale space, of 1."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a photograph."""

    keypoints: NDArray[np.float32]
    """[N, 4]: x, y in pixels with centres at half integers, scale in pixels, orientation in radians."""
    descriptors: NDArray[np.uint8]
    """[N, 128]"""


def detect(
    picture: NDArray[np.uint8],
    options: FeatureOptions,
    *,
    tilt: float | None = None,
    mask: NDArray[np.bool_] | None = None,
    sharpness: NDArray[np.float32] | None = None,
    threads: int = 1,
) -> Features:
    """Search a picture [H, W, 3] for features.

    Args:
        tilt: search the picture as it would look from aslant, from all around, foreshortened by this factor. Such
            features find their likeness in photographs from quite different angles, at the cost of many false ones.
        mask: [H, W], False = no feature may lie there.
        sharpness: [h, w] of any size, covering the picture; features in blurred regions are left out, for their
            place is vague and their likeness in other views doubtful.
        threads: at most.
    """
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    extractor = _extractor(options, threads)
    if tilt is None:
        keypoints, descriptors = _extract(extractor, grey)
    else:
        angles = np.arange(0.0, 180.0 - 1e-6, ANGLE_STEP_DEGREES / tilt)
        views = [_extract_aslant(extractor, grey, tilt, angle) for angle in angles]
        keypoints, descriptors = (np.concatenate(parts) for parts in zip(*views, strict=True))
    keep = np.ones(len(keypoints), dtype=bool)
    if mask is not None:
        keep &= _inside(mask, keypoints)
    if sharpness is not None:
        keep[keep] = _sharp(sharpness, keypoints[keep], grey.shape)
    return Features(np.ascontiguousarray(keypoints[keep]), np.ascontiguousarray(descriptors[keep]))


def _extractor(options: FeatureOptions, threads: int) -> Any:
    pycolmap = load_pycolmap()
    settings = pycolmap.FeatureExtractionOptions(num_threads=threads, use_gpu=False)
    settings.sift.max_num_features = options.max_features
    settings.sift.peak_threshold = options.peak_threshold
    return pycolmap.FeatureExtractor.create(settings, pycolmap.Device.cpu)


def _extract(extractor: Any, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    keypoints, descriptors = extractor.extract_from_uint8_array(np.ascontiguousarray(grey))
    return load_pycolmap().keypoints_to_matrix(keypoints).reshape(-1, 4), descriptors.data.reshape(-1, 128)


def _extract_aslant(
    extractor: Any, grey: NDArray[np.uint8], tilt: float, angle: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the features of the picture as it would look from aslant, brought back to where they are in the picture.

    The picture is rotated by `angle` degrees, smoothed along x by 0.8 √(t² − 1) and squeezed along x by t = `tilt`
    (Morel and Yu, "ASIFT: a new framework for fully affine invariant image comparison", 2009). Scales and orientations
    of the keypoints stay those of the simulated view.
    """
    height, width = grey.shape
    a = np.deg2rad(angle)
    rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64) @ rotation.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.ceil(high - low).astype(int)
    rotated = _warp(grey, rotation, -low, (int(size[0]), int(size[1])))
    smooth = cv2.GaussianBlur(rotated, (0, 0), sigmaX=0.8 * float(np.sqrt(tilt**2 - 1)), sigmaY=1e-3)
    squeeze = np.diag([1 / tilt, 1.0])
    narrow = _warp(
        np.asarray(smooth, dtype=np.uint8), squeeze, np.zeros(2), (max(1, int(size[0] / tilt)), int(size[1]))
    )
    keypoints, descriptors = _extract(extractor, narrow)

    back = np.linalg.inv(squeeze @ rotation)
    xy = (keypoints[:, :2] + squeeze @ low) @ back.T
    margin = BORDER_PX + keypoints[:, 2] * tilt
    inside = (xy >= margin[:, None]).all(axis=1) & (xy <= np.array([width, height]) - margin[:, None]).all(axis=1)
    keypoints = np.concatenate([xy, keypoints[:, 2:]], axis=1).astype(np.float32)
    return keypoints[inside], descriptors[inside]


def _warp(
    grey: NDArray[np.uint8], linear: NDArray[np.float64], shift: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Apply x ↦ linear · x + shift, both pictures with pixel centres at half integers."""
    half = np.full(2, 0.5)
    matrix = np.concatenate([linear, (linear @ half + shift - half)[:, None]], axis=1)
    return np.asarray(cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def _inside(mask: NDArray[np.bool_], keypoints: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether each keypoint lies its own scale within the mask; the picture's edge is no edge of the mask."""
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    x, y = _cells(keypoints, mask.shape, mask.shape)
    return np.asarray(distance[y, x] > keypoints[:, 2])


def _sharp(sharpness: NDArray[np.float32], keypoints: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if len(keypoints) <= ALWAYS_KEPT:
        return np.ones(len(keypoints), dtype=bool)
    x, y = _cells(keypoints, shape, sharpness.shape)
    values = sharpness[y, x]
    sharp = SHARP_FRACTION * np.quantile(values, SHARP_QUANTILE)
    kept_anyway = np.partition(values, -ALWAYS_KEPT)[-ALWAYS_KEPT]
    return np.asarray(values >= min(sharp, kept_anyway))


def _cells(
    keypoints: NDArray[np.float32], shape: tuple[int, ...], grid: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return column and row of the cell of a grid over the picture in which each keypoint lies."""
    x = np.clip(keypoints[:, 0] * (grid[1] / shape[1]), 0, grid[1] - 1).astype(np.intp)
    y = np.clip(keypoints[:, 1] * (grid[0] / shape[0]), 0, grid[0] - 1).astype(np.intp)
    return x, y
