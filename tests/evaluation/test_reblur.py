"""Fitting the lens of one photograph: a picture blurred by a known lens gives that lens back."""

import pytest
import torch
from torch import Tensor

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.evaluation import fit_lens, psnr

FOCAL_PX = 400.0
FOCUS, APERTURE = 1.05, 0.06


@pytest.fixture
def scene() -> tuple[Tensor, Tensor, Tensor]:
    """A noisy texture on a slanted plane: picture, depth from 0.9 to 1.3, opacity."""
    picture = torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(0))
    depth = torch.linspace(0.9, 1.3, 64).expand(48, 64)[..., None].contiguous()
    return picture, depth, torch.ones(48, 64, 1)


def photograph_of(picture: Tensor, depth: Tensor, alpha: Tensor) -> Tensor:
    circle = APERTURE * FOCAL_PX * (1.0 / FOCUS - 1.0 / depth)
    return defocus_picture(picture, circle, alpha)


@pytest.mark.slow
def test_the_lens_is_found(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    photograph = photograph_of(*scene)
    fitted = fit_lens(*scene, photograph, FOCAL_PX)
    assert fitted.focus_distance == pytest.approx(FOCUS, rel=0.01)
    assert fitted.aperture_radius == pytest.approx(APERTURE, rel=0.03)
    assert psnr(fitted.picture, photograph) > 40.0
    assert psnr(scene[0], photograph) < 20.0


@pytest.mark.slow
def test_a_sharp_photograph_needs_no_lens(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    fitted = fit_lens(*scene, scene[0], FOCAL_PX)
    assert fitted.aperture_radius == 0.0
    assert torch.equal(fitted.picture, scene[0])


@pytest.mark.slow
def test_masked_pixels_have_no_say(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    photograph = photograph_of(*scene)
    mask = torch.ones(48, 64, 1, dtype=torch.bool)
    mask[:24] = False
    spoilt = torch.where(mask, photograph, torch.zeros_like(photograph))
    fitted = fit_lens(*scene, spoilt, FOCAL_PX, mask=mask)
    assert fitted.focus_distance == pytest.approx(FOCUS, rel=0.02)
    assert fitted.aperture_radius == pytest.approx(APERTURE, rel=0.05)


def test_an_empty_render_is_left_alone(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    picture, depth, alpha = scene
    fitted = fit_lens(picture, depth, torch.zeros_like(alpha), picture, FOCAL_PX)
    assert fitted.aperture_radius == 0.0
