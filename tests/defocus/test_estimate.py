"""The lens from photographs alone, on photographs whose blur is known exactly.

Each view looks straight at a textured ramp: depth changes with the column, so a photograph blurred column by column
with the Gaussian of the thin-lens law is exact up to the change of blur within a kernel. White noise filtered to the
1/f² power of natural textures, a little sensor noise.
"""

import numpy as np
import pytest
from scipy import ndimage

from macro_splat.defocus.estimate import BAND_WIDTHS_PX, blur_loss, estimate_lens

HEIGHT, WIDTH, FOCAL = 120, 160, 400.0


def texture(generator: np.random.Generator) -> np.ndarray:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(WIDTH), np.fft.fftfreq(HEIGHT)))
    spectrum = np.fft.fft2(generator.normal(size=(HEIGHT, WIDTH))) / np.maximum(frequency, 1 / WIDTH)
    picture = np.fft.ifft2(spectrum).real
    return 0.5 + 0.15 * picture / picture.std()


def ramp_capture(focus, strength, seed=0):
    """Photographs, viewmats, Ks and points of a ramp of depth 90 to 130 before a camera at the origin."""
    generator = np.random.default_rng(seed)
    depth = np.linspace(90.0, 130.0, WIDTH)
    sharp = texture(generator)
    photographs = []
    for d in focus:
        sigma = strength * np.abs(1 / d - 1 / depth)
        levels = np.linspace(0, sigma.max() + 1e-6, 24)
        stack = np.stack([ndimage.gaussian_filter(sharp, s, mode="nearest") for s in levels])
        index = np.clip(np.searchsorted(levels, sigma) - 1, 0, len(levels) - 2)
        share = (sigma - levels[index]) / (levels[1] - levels[0])
        columns = np.arange(WIDTH)
        picture = (1 - share) * stack[index, :, columns].T + share * stack[index + 1, :, columns].T
        photographs.append(np.repeat((picture + generator.normal(0, 0.004, picture.shape))[..., None], 3, axis=2))
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
    rows, columns = generator.uniform(6, HEIGHT - 6, 900), generator.uniform(6, WIDTH - 6, 900)
    z = np.interp(columns, np.arange(WIDTH), depth)
    points = np.stack([(columns + 0.5 - WIDTH / 2) * z / FOCAL, (rows + 0.5 - HEIGHT / 2) * z / FOCAL, z], axis=1)
    count = len(focus)
    return photographs, np.repeat(np.eye(4)[None], count, 0), np.repeat(K[None], count, 0), points


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1200.0, 2500.0])
def test_finds_focus_and_strength(strength):
    focus = np.array([94.0, 100.0, 106.0, 112.0, 119.0, 126.0])
    estimate = estimate_lens(*ramp_capture(focus, strength))
    assert estimate is not None
    assert np.abs(estimate.focus_distance / focus - 1).max() < 0.03
    assert 0.7 < estimate.strength / strength < 1.4
    assert (np.abs(estimate.focus_distance - focus) < 3 * estimate.focus_uncertainty).all()
    assert (estimate.focus_uncertainty < 0.1 * focus).all()
    assert abs(np.log(estimate.strength / strength)) < 2 * estimate.strength_uncertainty
    assert estimate.strength_uncertainty < 0.5


@pytest.mark.slow
def test_unit_of_length_does_not_matter():
    focus = np.array([96.0, 108.0, 122.0])
    photographs, viewmats, Ks, points = ramp_capture(focus, 2000.0)
    here = estimate_lens(photographs, viewmats, Ks, points)
    small = viewmats.copy()
    small[:, :3, 3] *= 1e-3
    there = estimate_lens(photographs, small, Ks, points * 1e-3)
    assert here is not None
    assert there is not None
    np.testing.assert_allclose(there.focus_distance, here.focus_distance * 1e-3, rtol=1e-6)
    np.testing.assert_allclose(there.strength, here.strength * 1e-3, rtol=1e-6)


def test_the_loss_of_a_band_is_what_a_filter_measures():
    # A measured ratio of band energies on 1/f noise against the closed formula.
    picture = texture(np.random.default_rng(3))
    for width in BAND_WIDTHS_PX:

        def energy(image, width=width):
            return (
                ndimage.gaussian_filter(image, width, mode="wrap")
                - ndimage.gaussian_filter(image, width * 1.69**0.5, mode="wrap")
            ).var()

        blurred = ndimage.gaussian_filter(picture, 1.5, mode="wrap")
        assert energy(blurred) / energy(picture) == pytest.approx(float(blur_loss(np.array(2.25), width)), rel=0.25)


def test_says_none_where_nothing_can_be_told():
    photographs, viewmats, Ks, points = ramp_capture(np.array([100.0, 110.0]), 2000.0)
    assert estimate_lens(photographs, viewmats, Ks, points[:10]) is None
    assert estimate_lens(photographs[:1], viewmats[:1], Ks[:1], points) is None  # no point seen by two views
    assert estimate_lens(photographs, viewmats, Ks, points * [1, 1, -1]) is None  # all behind the cameras
