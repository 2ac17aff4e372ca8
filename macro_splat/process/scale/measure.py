"""Millimetres per unit of a reconstruction, from a target of known size in some of its photographs.

The target's points are triangulated over the posed photographs and their distances compared with the known ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph, reduced_size
from macro_splat.process.config import ProcessConfig
from macro_splat.process.poses import Poses
from macro_splat.process.rig.format import Rig
from macro_splat.process.scale.markers import Sighting, TargetFinder
from macro_splat.process.scale.search import search_target
from macro_splat.process.targets import Mark, MarkerPair, Target, parse_target
from macro_splat.process.workspace import Workspace

MIN_VIEWS = 3
"""A point has to be seen by so many cameras, or no mistake would show."""
MIN_ANGLE_DEGREES = 2.0
"""Between the most different rays to a point; below, its distance is a guess."""
OUTLIER_PX = 4.0
"""Beyond this distance from its ray, in pixels and at least, a sighting is taken for a mistake ..."""
OUTLIER_DEVIATIONS = 6.0
"""... or beyond so many of its standard deviations, whichever is more."""
MAX_PAIRS = 200
"""Pairs of views from which a point is triangulated for a start."""
REFINEMENTS = 4
FOLDS = 20
"""The deviation is estimated by leaving out each of at most so many groups of photographs."""


@dataclass(frozen=True)
class Scale:
    """How large the units of a reconstruction are."""

    mm_per_unit: float
    deviation: float
    """Standard deviation of `mm_per_unit`, from how the photographs agree (jackknife)."""
    points: int
    """Points of the target that were triangulated."""
    photographs: tuple[str, ...]
    """In which the target was seen."""


@dataclass(frozen=True, eq=False)
class _MarkRays:
    """Where one photograph shows the marks of a target."""

    name: str
    centre: NDArray[np.float64]
    rays: dict[Mark, NDArray[np.float64]]
    """[3] unit vectors in the world."""
    deviation: float
    """Of the rays, in radians."""
    outlier: float
    """Angle in radians beyond which a ray misses a point."""


def find_scale(
    config: ProcessConfig, rig: Rig | None, poses: Poses, photographs: Sequence[Photograph], workspace: Workspace
) -> dict[str, Any] | None:
    """Return where the scale is known from, mm_per_unit and its deviation, as process.json has them; None: unknown.

    Raises:
        MacroSplatError: a target that gives no scale.
    """
    if config.scale_factor is not None:
        return {"source": "factor", "mm_per_unit": config.scale_factor, "deviation": None}
    if config.markers is not None:
        target = parse_target(config.markers)
    elif rig is not None and rig.scale_bar is not None:
        target = MarkerPair(*rig.scale_bar.markers, rig.scale_bar.length_mm)
    else:
        return None
    scale = scale_from_markers(
        photographs,
        {name: poses.photographs[name].camera_to_world for name in poses.registered},
        {name: poses.photographs[name].intrinsics for name in poses.registered},
        target,
        workspace,
    )
    deviation = scale.deviation if math.isfinite(scale.deviation) else None
    return {"source": "markers", "mm_per_unit": scale.mm_per_unit, "deviation": deviation}


def scale_from_markers(
    photographs: Iterable[Photograph],
    camera_to_world: Mapping[str, NDArray[np.float64]],
    intrinsics: Mapping[str, Intrinsics],
    target: Target,
    workspace: Workspace,
    *,
    max_edge: int = 4000,
) -> Scale:
    """Search photographs for a target and measure the reconstruction by it.

    Args:
        photographs: to be searched; those without a pose are passed over.
        camera_to_world: [4, 4] by photograph, OpenGL axes. intrinsics: by photograph, of its full size.
        target: of known size.
        max_edge: photographs are reduced to this.

    Raises:
        MacroSplatError: the target is seen in too few photographs, from too much the same direction, or its sightings
            contradict each other.
    """
    posed = [photograph for photograph in photographs if photograph.name in camera_to_world]
    sightings = search_target(posed, target, workspace, max_edge=max_edge)
    views = [
        _rays(p.name, sighting, reduced_size(p, max_edge), camera_to_world[p.name], intrinsics[p.name])
        for p, sighting in zip(posed, sightings, strict=True)
        if sighting is not None
    ]
    return _measure(views, TargetFinder(target), len(posed))


def _measure(views: Sequence[_MarkRays], finder: TargetFinder, searched: int) -> Scale:
    seen = tuple(view.name for view in views)
    advice = "print the target larger, keep it sharp and flat, and let at least three different viewpoints see it"
    if len(views) < MIN_VIEWS:
        raise MacroSplatError(
            f"{finder.target} is seen in {len(views)} of {searched} posed photographs"
            + (f" ({', '.join(seen)})" if seen else "")
            + f", which gives no scale; {advice}"
        )
    points = triangulate(views)
    known = {mark: finder.known_mm(mark) for mark in points}
    value = similarity_scale(points, known)
    if value is None:
        raise MacroSplatError(
            f"{finder.target} is seen in {len(views)} photographs, but no two of its points from {MIN_VIEWS} "
            f"viewpoints {MIN_ANGLE_DEGREES:g} degrees apart and without contradiction; {advice}"
        )
    folds = min(FOLDS, len(views))
    others = []
    for fold in range(folds):
        rest = [view for i, view in enumerate(views) if i % folds != fold]
        again = triangulate(rest, min_views=2)
        part = similarity_scale({mark: again[mark] for mark in points if mark in again}, known)
        others += [] if part is None else [part]
    spread = np.asarray(others)
    # Delete-a-group jackknife: B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982.
    deviation = float(np.sqrt((len(spread) - 1) * spread.var())) if len(spread) > 1 else float("inf")
    return Scale(value, deviation, len(points), seen)


def _rays(
    name: str, sighting: Sighting, size: tuple[int, int], camera_to_world: NDArray[np.float64], lens: Intrinsics
) -> _MarkRays:
    grow = np.array([lens.width / size[0], lens.height / size[1]])
    marks = list(sighting.xy)
    plane = undistort(np.stack([sighting.xy[mark] * grow for mark in marks]), lens)
    rays = np.stack([plane[:, 0], -plane[:, 1], -np.ones(len(plane))], axis=1) @ camera_to_world[:3, :3].T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    pixel = float(grow.mean()) / float(np.sqrt(lens.fl_x * lens.fl_y))
    outlier_px = max(OUTLIER_PX, OUTLIER_DEVIATIONS * sighting.deviation_px)
    return _MarkRays(
        name,
        camera_to_world[:3, 3].astype(np.float64),
        dict(zip(marks, rays, strict=True)),
        sighting.deviation_px * pixel,
        outlier_px * pixel,
    )


def undistort(pixels: NDArray[np.float64], lens: Intrinsics) -> NDArray[np.float64]:
    """Return points [N, 2] in the plane at distance 1 (x right, y down) that a lens images at these pixels.

    Inverts x_d = x (1 + k1 r² + k2 r⁴ + k3 r⁶ + k4 r⁸) + 2 p1 x y + p2 (r² + 2x²), and likewise y, by fixed points.
    """
    k1, k2, k3, k4, p1, p2 = lens.distortion
    seen = (pixels - (lens.cx, lens.cy)) / (lens.fl_x, lens.fl_y)
    point = seen.copy()
    for _ in range(20):
        x, y = point.T
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
        shift = np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=1)
        point = (seen - shift) / radial[:, None]
    return np.asarray(point)


def triangulate(views: Sequence[_MarkRays], min_views: int = MIN_VIEWS) -> dict[Mark, NDArray[np.float64]]:
    """Return the world positions [3] of the marks that enough views agree on.

    Of the points where two rays come closest the one that most views agree with is refined by weighted least squares
    over these views: RANSAC over all pairs, or a seeded sample of them.
    """
    rng = np.random.default_rng(0)
    points: dict[Mark, NDArray[np.float64]] = {}
    for mark in sorted({mark for view in views for mark in view.rays}):
        having = [view for view in views if mark in view.rays]
        if len(having) < min_views:
            continue
        centres = np.stack([view.centre for view in having])
        rays = np.stack([view.rays[mark] for view in having])
        deviation = np.array([view.deviation for view in having])
        outlier = np.array([view.outlier for view in having])
        pairs = list(combinations(range(len(having)), 2))
        if len(pairs) > MAX_PAIRS:
            pairs = [pairs[i] for i in rng.choice(len(pairs), MAX_PAIRS, replace=False)]
        best: tuple[int, float] = (0, 0.0)
        inliers = np.zeros(len(having), dtype=bool)
        for pair in (list(p) for p in pairs):
            start = _nearest_to_rays(centres[pair], rays[pair], np.ones(2))
            if start is None:
                continue
            angle = _misses(start, centres, rays)
            near = angle < outlier
            rank = (int(near.sum()), -float((np.minimum(angle, outlier) / deviation).sum()))
            if not best[0] or rank > best:
                best, inliers = rank, near
        for _ in range(REFINEMENTS):
            if inliers.sum() < min_views:
                break
            distance = np.ones(len(having)) if mark not in points else np.linalg.norm(points[mark] - centres, axis=1)
            weight = 1 / (deviation * distance)[inliers] ** 2
            point = _nearest_to_rays(centres[inliers], rays[inliers], weight)
            if point is None:
                break
            points[mark] = point
            inliers = _misses(point, centres, rays) < outlier
        if inliers.sum() < min_views:
            points.pop(mark, None)
    return points


def _nearest_to_rays(
    centres: NDArray[np.float64], rays: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the point [3] of least Σ w · (distance from the ray)²; None if the rays are as good as parallel."""
    if float((rays @ rays.T).min()) > np.cos(np.deg2rad(MIN_ANGLE_DEGREES)):
        return None
    across = weight[:, None, None] * (np.eye(3) - rays[:, :, None] * rays[:, None, :])
    return np.asarray(np.linalg.solve(across.sum(axis=0), np.einsum("vij,vj->i", across, centres)))


def _misses(point: NDArray[np.float64], centres: NDArray[np.float64], rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles [V] between the rays and the directions to the point."""
    to = point - centres
    along = (to * rays).sum(axis=1)
    return np.asarray(np.arctan2(np.linalg.norm(to - along[:, None] * rays, axis=1), along))


def similarity_scale(
    points: Mapping[Mark, NDArray[np.float64]], known: Mapping[Mark, NDArray[np.float64]]
) -> float | None:
    """Return millimetres per unit: the median of known by measured distances of pairs of one body.

    The longer count more. None if there is no pair.
    """
    ratios, weights = [], []
    for body in sorted({mark[0] for mark in points}):
        marks = [mark for mark in sorted(points) if mark[0] == body]
        for a, b in combinations(marks, 2):
            measured = float(np.linalg.norm(points[a] - points[b]))
            distance = float(np.linalg.norm(known[a] - known[b]))
            if measured > 0 and distance > 0:
                ratios.append(distance / measured)
                weights.append(distance**2)  # a ratio's variance goes with 1 / distance²
    if not ratios:
        return None
    order = np.argsort(ratios)
    cumulated = np.cumsum(np.asarray(weights)[order])
    return float(
        np.interp(0.5 * cumulated[-1], cumulated - 0.5 * np.asarray(weights)[order], np.asarray(ratios)[order])
    )
