"""Figures of two pictures, against closed forms."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from macro_splat.evaluation import compare_pictures, gradient_energy, psnr, sharpness_ratio
from macro_splat.ops.blur.disc import disc_blur


@pytest.fixture
def truth() -> Tensor:
    return torch.rand(24, 32, 3, generator=torch.Generator().manual_seed(0))


def test_psnr_is_torchmetrics(truth: Tensor) -> None:
    other = (truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert psnr(other, truth) == pytest.approx(float(peak_signal_noise_ratio(other, truth, data_range=1.0)), abs=1e-4)


def test_psnr_counts_the_mask_only(truth: Tensor) -> None:
    other = truth.clone()
    other[:12] += 0.1
    mask = torch.zeros(24, 32, 1, dtype=torch.bool)
    mask[:12] = True
    assert psnr(other, truth, mask) == pytest.approx(20.0, abs=1e-4)
    assert psnr(other, truth) == pytest.approx(20.0 + 10 * math.log10(2), abs=1e-4)
    assert psnr(other, truth, ~mask) == 100.0


def test_gradient_energy_of_a_ramp() -> None:
    ramp = torch.arange(6.0).expand(5, 6)[..., None] * 0.1
    assert gradient_energy(ramp) == pytest.approx(0.01 * 5 * 4, rel=1e-5)


def test_blur_lowers_the_sharpness_ratio_and_noise_raises_it(truth: Tensor) -> None:
    blurred = disc_blur(truth, torch.full((24, 32, 1), 2.0))
    noisy = truth + 0.2 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    assert sharpness_ratio(truth, truth) == 1.0
    assert sharpness_ratio(blurred, truth) < 0.5
    assert sharpness_ratio(noisy, truth) > 1.1
    assert math.isnan(sharpness_ratio(truth, torch.zeros_like(truth)))


def test_compare_offers_what_it_was_given_truths_for(truth: Tensor) -> None:
    other = truth.clone()
    other[:, :16] += 0.1
    object_mask = torch.zeros(24, 32, 1, dtype=torch.bool)
    object_mask[:, 16:] = True
    figures = compare_pictures(other, truth, object_mask=object_mask, lpips=lambda x, y: (x - y).abs().max())
    assert figures.keys() == {"psnr", "psnr_object", "ssim", "sharpness_ratio", "lpips"}
    assert figures["psnr_object"] == 100.0
    assert figures["psnr"] < 30.0
    assert figures["lpips"] == pytest.approx(0.1, abs=1e-6)
    judged_right = compare_pictures(other, truth, mask=object_mask)
    assert judged_right.keys() == {"psnr", "ssim", "sharpness_ratio"}
    assert judged_right["psnr"] == 100.0
    assert judged_right["sharpness_ratio"] == 1.0
