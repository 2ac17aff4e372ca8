"""Slices of known magnification and shift, made in closed form: waves whose contrast falls with their frequency."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics
from macro_splat.process.stacks.alignment import MIN_CORRELATION, SliceAlignment, align_stack, slice_intrinsics

HEIGHT, WIDTH = 180, 240


def waves(seed: int = 0, count: int = 250) -> NDArray[np.float64]:
    """[count, 4]: angular frequencies in x and y per pixel, phase and amplitude of a texture as nature has them."""
    rng = np.random.default_rng(seed)
    frequency = 2 * np.pi / np.exp(rng.uniform(np.log(3), np.log(60), count))
    angle = rng.uniform(0, np.pi, count)
    phase = rng.uniform(0, 2 * np.pi, count)
    return np.stack([frequency * np.cos(angle), frequency * np.sin(angle), phase, frequency**-0.5], axis=1)


def photograph(scale: float, shift: tuple[float, float], focus: float, seed: int = 0) -> NDArray[np.uint8]:
    """[H, W, 3] of a surface that tilts away to the right, sharp where x / WIDTH = focus.

    A Gaussian blur of standard deviation σ damps a wave of frequency k by exp(−σ²k²/2).
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    u, v = (x - WIDTH / 2 - shift[0]) / scale, (y - HEIGHT / 2 - shift[1]) / scale
    sigma = 6 * np.abs(u / WIDTH + 0.5 - focus)
    picture = np.zeros((HEIGHT, WIDTH))
    for fx, fy, phase, amplitude in waves(seed):
        picture += amplitude * np.exp(-0.5 * sigma**2 * (fx**2 + fy**2)) * np.cos(fx * u + fy * v + phase)
    noise = np.random.default_rng([seed, int(1000 * scale), int(1000 * focus)]).normal(0, 1.5, picture.shape)
    grey = np.clip(np.round(110 + 7 * picture + noise), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_stack_that_breathes_and_shifts(seed: int) -> None:
    scales = np.linspace(1.0, 1.03, 6)
    shifts = [(0.0, 0.0), (0.7, -0.4), (1.2, 0.3), (-0.8, 1.5), (2.6, 2.2), (0.4, -3.1)]
    pictures = [
        photograph(s, t, focus, seed) for s, t, focus in zip(scales, shifts, np.linspace(0.1, 0.9, 6), strict=True)
    ]
    for reference in (0, 3):
        found = align_stack(pictures, reference)
        for scale, shift, slice_ in zip(scales, shifts, found, strict=True):
            s = scale / scales[reference]
            assert slice_.scale == pytest.approx(s, abs=1e-3)
            assert slice_.shift_px == pytest.approx(np.subtract(shift, np.multiply(s, shifts[reference])), abs=0.1)
            assert slice_.confidence > 0.5
        assert found[reference].scale == 1
        assert found[reference].shift_px == (0, 0)
        assert found[reference].confidence == 1


def test_a_large_shift_of_the_hand() -> None:
    found = align_stack([photograph(1.0, (0, 0), 0.4), photograph(0.99, (-21.5, 13.2), 0.6)], reference=0)
    assert found[1].scale == pytest.approx(0.99, abs=1e-3)
    assert found[1].shift_px == pytest.approx((-21.5, 13.2), abs=0.1)


def test_a_blank_slice_is_unsure_and_spoils_nothing() -> None:
    pictures = [photograph(1 + 0.005 * k, (0, k), 0.2 + 0.1 * k) for k in range(5)]
    pictures[2] = np.full_like(pictures[2], 90)
    found = align_stack(pictures, reference=0)
    assert found[2].confidence < MIN_CORRELATION
    for k in (1, 3, 4):
        assert found[k].confidence > MIN_CORRELATION
        assert found[k].scale == pytest.approx(1 + 0.005 * k, abs=1e-3)
        assert found[k].shift_px == pytest.approx((0, k), abs=0.1)


def test_pictures_of_nothing_in_common_are_unsure() -> None:
    found = align_stack([photograph(1, (0, 0), 0.5, seed) for seed in range(3)])
    assert found[1].confidence == 1
    assert max(found[0].confidence, found[2].confidence) < MIN_CORRELATION
    blank = align_stack([np.full((60, 80), 7, np.uint8)] * 3)
    assert [(slice_.scale, slice_.shift_px) for slice_ in blank] == [(1.0, (0.0, 0.0))] * 3


def test_pictures_are_reduced_and_shifts_are_not() -> None:
    shift = (4.6, -3.0)
    large = [np.repeat(np.repeat(photograph(1, t, 0.5), 3, axis=0), 3, axis=1) for t in ((0, 0), shift)]
    found = align_stack(large, reference=0, max_edge=WIDTH)
    assert found[1].shift_px == pytest.approx(np.multiply(3, shift), abs=0.3)


def test_a_single_picture_is_its_own_reference() -> None:
    (only,) = align_stack([photograph(1, (0, 0), 0.5)])
    assert (only.scale, only.shift_px, only.confidence) == (1.0, (0.0, 0.0), 1.0)


def test_pictures_must_be_of_one_size() -> None:
    with pytest.raises(ValueError, match="0 pictures"):
        align_stack([])
    with pytest.raises(ValueError, match="2 pictures of sizes"):
        align_stack([np.zeros((60, 80), np.uint8), np.zeros((60, 81), np.uint8)])


def test_a_slice_images_points_where_it_shows_them() -> None:
    """Points projected by the slice's pinhole are the reference's, scaled about the picture's centre and shifted."""
    points = np.random.default_rng(0).normal(size=(20, 3)) * [2, 2, 1] + [0, 0, 100]
    reference = Intrinsics(1500, 1490, 150, 95, 320, 240)
    slice_ = slice_intrinsics(reference, SliceAlignment(1.02, (3.0, -2.0), 1.0))

    def project(k: Intrinsics) -> NDArray[np.float64]:
        return points[:, :2] / points[:, 2:] * [k.fl_x, k.fl_y] + [k.cx, k.cy]

    np.testing.assert_allclose(project(slice_), [160, 120] + 1.02 * (project(reference) - [160, 120]) + [3, -2])
