"""The lens of every view, estimated from the photographs and a sparse point cloud before any training.

A surface point that several views see has the same texture in all of them; what differs is how much of it the lens
let through. Around the projection of point p in view v the energy E of a band-pass filtered photograph is

    E_vp = S_p · G(σ²_vp) + noise,      σ_vp = κ · |1/d_v − 1/z_vp|,

S_p the energy of the texture when sharp, κ = ½·A·fl the strength of the lens, d_v the focus distance of the view.
For a difference of Gaussians of widths s and s·√ρ, and the 1/f² power spectrum of natural textures, the loss G of a
Gaussian blur has a closed form: with the exponents a = s²·(1, (1+ρ)/2, ρ) and the weights c = (1, −2, 1),

    G(σ²) = Σ c·log(a + σ²) / Σ c·log(a).

For each κ of a coarse grid, every d_v is found by an exhaustive search over inverse distance (both sides of the object,
so that the sign of the defocus is decided by the data), S_p by weighted least squares, in turns; κ by the lowest robust
cost. Several bands together tell strong blur from weak.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from macro_splat.ops.pinhole import project

BAND_WIDTHS_PX = (1.0, 1.6, 2.5)
"""Widths s of the band-pass filters, in pixels: from the finest that survives sensor noise up."""
VARIANCE_RATIO = 1.69
"""ρ: the second Gaussian of each difference is √ρ times as wide."""
MAX_SIGMA_GRID_PX = (1.0, 1.5, 2.2, 3.2, 4.6, 6.6, 9.6, 14.0, 20.0, 29.0)
"""κ candidates, as the blur sigma across the whole range of inverse depth."""
SYSTEMATIC = 0.15
"""Error common to all views, as a share of the range of inverse depth: 0.02 to 0.2 on captures whose lens is known."""
MAX_POINTS = 2000
SEARCH_STEPS = 41
FIT_ROUNDS = 4

Array = NDArray[np.float64]


@dataclass
class LensEstimate:
    """What the photographs say about the lens; V views, lengths in the units of the points."""

    focus_distance: Array
    """[V] distance of the plane of focus."""
    focus_uncertainty: Array
    """[V] one standard deviation of it, see `_uncertainty`; ``inf`` where the view saw too little."""
    strength: float
    """κ = ½·A·fl in pixels · units: the blur sigma at depth z is κ·|1/d − 1/z|."""
    strength_uncertainty: float
    """One standard deviation of log κ: scatter, and what the law of natural textures leaves open (one step of the grid:
    on captures whose lens is known, κ was 5 to 60 % off). ``inf`` where no κ tried is better than its neighbours."""
    strength_costs: dict[float, float]
    """Mean robust cost of each κ tried: a flat curve means an uncertain strength."""


@dataclass
class _Observations:
    """One row for each point that is seen in a view."""

    view: NDArray[np.int64]
    point: NDArray[np.int64]
    inverse_depth: Array
    energy: Array  # [rows, bands]
    noise: Array  # [bands]
    num_views: int
    num_points: int


def blur_loss(variance: Array, width_px: float) -> Array:
    """Return G(σ²): the share of a band's energy that a Gaussian blur of this variance (px²) leaves (formula above)."""
    exponents = width_px**2 * np.array([1.0, (1.0 + VARIANCE_RATIO) / 2.0, VARIANCE_RATIO])
    weights = np.array([1.0, -2.0, 1.0])
    left = -sum(c * np.log(a + variance) for c, a in zip(weights, exponents, strict=True))
    return np.maximum(left / -(weights * np.log(exponents)).sum(), 1e-9)


def estimate_lens(
    photographs: Iterable[NDArray], world_to_camera: Array, intrinsics: Array, points: Array, *, seed: int = 0
) -> LensEstimate | None:
    """Return the focus distance of every view and the lens's strength (see the module's text).

    Args:
        photographs: V images [H, W, 3], uint8 or float in 0..1; read one at a time.
        world_to_camera: [V, 4, 4], z forward.
        intrinsics: [V, 3, 3] in the pixels of the photographs.
        points: [P, 3] sparse points on the surfaces, in world coordinates.

    Returns:
        The estimate, or ``None`` if the points are too few or too flat to tell (under 30 points seen by two views).
    """
    if len(points) > MAX_POINTS:
        points = points[np.random.default_rng(seed).choice(len(points), MAX_POINTS, replace=False)]
    seen = _observe(photographs, world_to_camera, intrinsics, points)
    if seen is None:
        return None
    low, high = np.percentile(seen.inverse_depth, (1, 99))
    span = high - low
    if not span > 1e-6 * high:
        return None
    candidates = np.linspace(max(low - 0.25 * span, 0.05 * low), high + 0.25 * span, SEARCH_STEPS)

    strengths = np.array(MAX_SIGMA_GRID_PX) / span
    fits = [_fit_focus(seen, strength, candidates) for strength in strengths]
    totals = np.array([costs.min(axis=1).sum() for _, costs in fits])
    best = int(np.argmin(totals))
    focus, costs = fits[best]

    # Between two values of the grid: the vertex of the parabola through the three lowest costs, in log κ.
    shift = _vertex_offset(totals, best)
    ratio = MAX_SIGMA_GRID_PX[1] / MAX_SIGMA_GRID_PX[0]
    strength = strengths[best] * ratio**shift
    neighbours = [fits[i][0] for i in (best - 1, best + 1) if 0 <= i < len(fits)]
    return LensEstimate(
        focus_distance=1.0 / focus,
        focus_uncertainty=_uncertainty(focus, costs, candidates[1] - candidates[0], neighbours, SYSTEMATIC * span),
        strength=float(strength),
        strength_uncertainty=float(np.hypot(_deviation(totals, best, np.log(ratio)), np.log(ratio))),
        strength_costs={float(s): float(t) / len(seen.view) for s, t in zip(strengths, totals, strict=True)},
    )


def _observe(photographs: Iterable[NDArray], viewmats: Array, Ks: Array, points: Array) -> _Observations | None:
    """Return band energies around the projections of the points that each view sees."""
    views, indices, inverse_depths, energies = [], [], [], []
    for view, photograph in enumerate(photographs):
        grey = photograph[..., :3].mean(axis=-1)
        grey = grey / 255.0 if photograph.dtype == np.uint8 else grey
        depth, x, y = project(points, viewmats[view], Ks[view])
        visible, column, row = _visible(depth, x, y, *grey.shape)
        if not visible.any():
            continue
        bands = []
        for width in BAND_WIDTHS_PX:
            wide = ndimage.gaussian_filter(grey, width * VARIANCE_RATIO**0.5)
            band = ndimage.gaussian_filter(grey, width) - wide
            bands.append(ndimage.gaussian_filter(band * band, 2.0 * width)[row, column])
        views.append(np.full(int(visible.sum()), view))
        indices.append(np.flatnonzero(visible))
        inverse_depths.append(1.0 / depth[visible])
        energies.append(np.stack(bands, axis=1))
    if not views:
        return None
    seen = _Observations(
        view=np.concatenate(views),
        point=np.concatenate(indices),
        inverse_depth=np.concatenate(inverse_depths),
        energy=np.maximum(np.concatenate(energies), 1e-12),
        noise=np.maximum(np.percentile(np.concatenate(energies), 1, axis=0), 1e-12),
        num_views=len(viewmats),
        num_points=len(points),
    )
    seen_twice = np.bincount(seen.point, minlength=len(points)) >= 2
    return seen if seen_twice.sum() >= 30 else None


def _visible(depth: Array, x: Array, y: Array, height: int, width: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return points inside the picture and not behind others (a coarse depth buffer), and the pixels they fall on."""
    margin = 4.0
    visible = (depth > 0) & (x > margin) & (y > margin) & (x < width - margin) & (y < height - margin)
    if visible.any():
        cell = max(2.0, height / 40.0)
        cells_x, cells_y = (x[visible] / cell).astype(int), (y[visible] / cell).astype(int)
        nearest = np.full((int(height / cell) + 2, int(width / cell) + 2), np.inf)
        np.minimum.at(nearest, (cells_y, cells_x), depth[visible])
        nearest = ndimage.minimum_filter(nearest, 3)
        visible[visible] = depth[visible] < 1.02 * nearest[cells_y, cells_x]
    return visible, x[visible].astype(int), y[visible].astype(int)


def _fit_focus(seen: _Observations, strength: float, candidates: Array) -> tuple[Array, Array]:
    """Return the inverse focus distance of each view [V] for one κ, and the cost of each candidate [V, candidates]."""
    focus = np.full(seen.num_views, np.median(seen.inverse_depth))
    texture: list[Array | None] = [None] * len(BAND_WIDTHS_PX)
    costs = np.zeros((seen.num_views, len(candidates)))
    for _ in range(FIT_ROUNDS):
        variance = (strength * (focus[seen.view] - seen.inverse_depth)) ** 2
        for band, width in enumerate(BAND_WIDTHS_PX):
            texture[band] = _fit_texture(seen, band, blur_loss(variance, width), texture[band])
        for i, candidate in enumerate(candidates):
            variance = (strength * (candidate - seen.inverse_depth)) ** 2
            cost = _cost(seen, variance, texture)
            costs[:, i] = np.bincount(seen.view, cost, seen.num_views)
        best = costs.argmin(axis=1)
        step = candidates[1] - candidates[0]
        focus = candidates[best] + step * np.array([_vertex_offset(row, i) for row, i in zip(costs, best, strict=True)])
        unseen = np.ptp(costs, axis=1) == 0.0
        focus[unseen] = np.median(focus[~unseen])
    return focus, costs


def _fit_texture(seen: _Observations, band: int, loss: Array, previous: Array | None) -> Array:
    """Return the energy S_p of each point's sharp texture [P]: least squares, weighted by the expected scatter."""
    noise = seen.noise[band]
    scatter = loss + (0.05 if previous is None else noise / previous[seen.point])
    weight = 1.0 / scatter**2
    signal = np.maximum(seen.energy[:, band] - noise, 0.0)
    top = np.bincount(seen.point, weight * loss * signal, seen.num_points)
    bottom = np.bincount(seen.point, weight * loss * loss, seen.num_points)
    return np.maximum(top / np.maximum(bottom, 1e-12), 0.01 * noise)


def _cost(seen: _Observations, variance: Array, texture: Sequence[Array | None]) -> Array:
    """Return the robust cost of each observation: a Lorentzian of the log ratio, weighted by the signal to noise."""
    cost = np.zeros(len(variance))
    for band, width in enumerate(BAND_WIDTHS_PX):
        sharp = texture[band]
        assert sharp is not None
        sharp, noise = sharp[seen.point], seen.noise[band]
        residual = np.log(seen.energy[:, band]) - np.log(sharp * blur_loss(variance, width) + noise)
        cost += sharp / (sharp + 4.0 * noise) * np.log1p(2.0 * residual**2)
    return cost


def _vertex_offset(values: Array, index: int) -> float:
    """Offset, in steps, of a parabola's vertex from the lowest sample; 0 at the ends of the grid."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, at, after = values[index - 1 : index + 2]
    curvature = before - 2.0 * at + after
    return float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)) if curvature > 0 else 0.0


def _uncertainty(focus: Array, costs: Array, step: float, neighbours: list[Array], floor: float) -> Array:
    """Return the standard deviation of the focus distance [V].

    The scatter alone, from the curvature of the costs, is ten times too small on captures whose lens is known: what
    the strength leaves open, the shift of the focus at the next strengths of the grid (``neighbours``), counts more,
    and so does what all views have in common (``floor``).
    """
    scatter = np.array([_deviation(row, int(row.argmin()), step) for row in costs])
    shift = np.max([np.abs(other - focus) for other in neighbours], axis=0)
    return np.sqrt(scatter**2 + shift**2 + floor**2) / focus**2


def _deviation(costs: Array, index: int, step: float) -> float:
    """Return the standard deviation of what the costs were sampled over, reading them as a negative log likelihood."""
    index = int(np.clip(index, 1, len(costs) - 2))
    curvature = (costs[index - 1] - 2.0 * costs[index] + costs[index + 1]) / step**2
    return float(1.0 / np.sqrt(curvature)) if curvature > 0 else float("inf")
