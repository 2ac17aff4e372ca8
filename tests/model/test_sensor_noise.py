"""The mean of clipped noise: against numerical integration, and that it takes the light away that clipping adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from macro_splat.model.sensor_noise import SensorNoise
from macro_splat.ops.ssim.ssim import ssim

SCATTER = 0.03
BLACK, WHITE = np.zeros(3, np.float32), np.ones(3, np.float32)


def noisy(value: float, shape: tuple[int, ...], scatter: float = SCATTER) -> np.ndarray:
    """8-bit values with Gaussian noise, clipped."""
    noise = np.random.default_rng(0).normal(value, scatter, shape)
    return np.round(255 * noise.clip(0, 1)) / 255


@pytest.mark.parametrize("value", [0.0, 0.01, 0.03, 0.1, 0.5])
def test_mean_of_a_clipped_gaussian(value: float) -> None:
    noise = SensorNoise(torch.full((3,), SCATTER, dtype=torch.float64), white=False)
    mean, _ = integrate.quad(lambda v: max(v, 0.0) * stats.norm.pdf(v, value, SCATTER), value - 0.3, value + 0.3)
    assert noise.read(torch.full((3,), value, dtype=torch.float64)).numpy() == pytest.approx(mean, abs=1e-7)


@pytest.mark.parametrize("white", [False, True])
def test_gradient(white: bool) -> None:
    noise = SensorNoise(torch.tensor([0.01, 0.03, 0.2], dtype=torch.float64), white)
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(4, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(noise.read, picture)


def test_white_is_black_upside_down() -> None:
    scatter = torch.full((3,), SCATTER)
    picture = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    read = SensorNoise(scatter, white=True).read(picture)
    torch.testing.assert_close(1 - read, SensorNoise(scatter, white=False).read(1 - picture))
    assert (read <= picture).all()


@pytest.mark.parametrize("background", [BLACK, WHITE])
def test_scatter_is_found_in_what_is_left_of_the_noise(background: np.ndarray) -> None:
    noise = SensorNoise.of_background(noisy(float(background[0]), (5000, 3)), background)
    assert noise is not None
    assert noise.white == bool(background[0])
    assert noise.scatter.numpy() == pytest.approx(SCATTER, rel=0.05)


def test_no_noise_and_noise_that_is_not_clipped() -> None:
    assert SensorNoise.of_background(np.zeros((100, 3)), BLACK) is None
    assert SensorNoise.of_background(noisy(0.3, (5000, 3)), np.full(3, 0.3, np.float32)) is None
    assert SensorNoise.of_background(noisy(0.04, (5000, 3)), np.full(3, 0.04, np.float32)) is None
    assert SensorNoise.of_background(np.empty((0, 3)), BLACK) is None


def test_the_true_picture_is_the_best_one() -> None:
    """In the dark, light that is not there would raise the similarity to a noisy photograph much."""
    photograph = torch.from_numpy(noisy(0.0, (48, 64, 3))).float()
    noise = SensorNoise.of_background(photograph.reshape(-1, 3).numpy(), BLACK)
    assert noise is not None
    dark, light = torch.zeros(48, 64, 3), torch.full((48, 64, 3), 0.4 * SCATTER)
    assert ssim(dark, photograph) < ssim(light, photograph) - 0.2
    assert ssim(noise.read(dark), photograph) > ssim(noise.read(light), photograph)
