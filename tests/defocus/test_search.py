"""The plane of focus found by trying, on a slanted textured surface whose lens is known."""

from functools import partial

import pytest
import torch

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.search import APERTURE_FACTORS, SharpView, blur_error, search_focus, search_strength

STRENGTH = 60.0  # over inverse depths of 0.9 to 1.1: circles of up to 12 pixels


def view(true_focus: float, strength: float = STRENGTH, noise: float = 0.01) -> SharpView:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(60, 80, 3, generator=generator).repeat_interleave(2, 0)[:60]
    inverse_depth = torch.linspace(1.1, 0.9, 80).expand(60, 80)[..., None].contiguous()
    alpha = torch.ones(60, 80, 1)
    blur = partial(defocus_picture, picture, alpha=alpha)
    photograph = blur(strength * (true_focus - inverse_depth))
    return SharpView(photograph + noise * torch.randn(60, 80, 3, generator=generator), 1.0 / inverse_depth, alpha, blur)


@pytest.mark.parametrize("true_focus", [0.88, 0.93, 1.0, 1.06])
@pytest.mark.parametrize("start", [0.9, 1.1])
def test_found_from_either_side(true_focus: float, start: float) -> None:
    found, error, before = search_focus(view(true_focus), start, STRENGTH)
    assert found == pytest.approx(true_focus, abs=0.008)
    assert error < before


def test_a_good_value_is_left_alone() -> None:
    assert search_focus(view(0.98), 0.98, STRENGTH)[0] == pytest.approx(0.98, abs=0.004)


def test_nothing_to_see() -> None:
    empty = view(1.0)
    empty.alpha = torch.zeros_like(empty.alpha)
    assert search_focus(empty, 0.7, STRENGTH)[0] == 0.7


@pytest.mark.parametrize("factor", APERTURE_FACTORS)
def test_strength(factor: float) -> None:
    views = [(view(focus, factor * STRENGTH), focus, STRENGTH) for focus in (0.93, 1.06)]
    assert search_strength(views) == factor


def test_error_is_the_noise_at_the_truth() -> None:
    assert blur_error(view(1.0, noise=0.0), 1.0, STRENGTH) == pytest.approx(0.0, abs=1e-6)
    # Mean absolute value of a Gaussian: σ √(2/π).
    assert blur_error(view(1.0, noise=0.02), 1.0, STRENGTH) == pytest.approx(0.02 * 0.798, rel=0.1)
