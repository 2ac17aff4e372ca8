"""The lens as parameters: exact at the start, differentiable, pinholes stay pinholes, bad values refused."""

import math

import pytest
import torch

from macro_splat.defocus.per_view_lens import FOCUS_PX_AS_LOG_APERTURE, Origin, PerViewLens
from macro_splat.defocus.thin_lens import coc_radius_px


def bank(focus=(100.0, 120.0, 90.0), aperture=(5.0, 4.0, 0.0), group=None) -> PerViewLens:
    lens = PerViewLens(len(focus), group)
    lens.set_start(torch.tensor(focus), torch.tensor(aperture), torch.full((len(focus),), 1000.0))
    return lens


def test_start_values_come_back():
    lens = bank()
    torch.testing.assert_close(lens.focus_distance(), torch.tensor([100.0, 120.0, 90.0]))
    torch.testing.assert_close(lens.aperture_radius(), torch.tensor([5.0, 4.0, 0.0]))


def test_variance_is_the_law():
    depth = torch.linspace(70, 150, 9)
    sigma = 0.5 * coc_radius_px(depth, 1 / 120.0, 4.0 * 500.0)
    torch.testing.assert_close(bank().blur_variance(1, depth, 500.0), sigma**2)


def test_a_pinhole_never_blurs_whatever_is_learnt():
    lens = bank()
    with torch.no_grad():
        for parameter in lens.parameters():
            parameter.fill_(0.7)
    assert lens.blur_variance(2, torch.linspace(10, 500, 20), 1000.0).abs().max() == 0
    assert torch.isfinite(lens.focus_distance()[:2]).all()


def test_depths_behind_the_camera_have_no_blur_and_no_gradient():
    depth = torch.tensor([-5.0, 0.0, 100.5], requires_grad=True)
    variance = bank().blur_variance(0, depth, 1000.0)
    variance.sum().backward()
    assert variance[:2].tolist() == [0.0, 0.0]
    assert depth.grad is not None
    assert depth.grad[:2].tolist() == [0.0, 0.0]
    assert depth.grad[2] > 0


def test_gradients_match_finite_differences():
    lens = bank().double()
    depth = torch.tensor([80.0, 99.0, 140.0], dtype=torch.float64, requires_grad=True)
    parameters = tuple(lens.parameters())
    assert torch.autograd.gradcheck(lambda z, *_: lens.blur_variance(0, z, 1000.0), (depth, *parameters))


def test_an_offset_is_in_pixels_of_sigma():
    lens = bank()
    with torch.no_grad():
        lens.focus_offset_px[0] = 2.0
    assert lens.blur_variance(0, torch.tensor(100.0), 1000.0).sqrt().item() == pytest.approx(2.0, rel=1e-4)


def test_slices_of_a_stack_share_their_aperture():
    lens = bank(group=torch.tensor([7, 7, 3]))
    assert lens.log_aperture_residual.shape == (2,)
    with torch.no_grad():
        lens.log_aperture_residual[lens.group[0]] = 0.1
    torch.testing.assert_close(lens.aperture_radius()[:2], torch.tensor([5.0, 4.0]) * math.exp(0.1))


def test_focus_may_pass_infinity():
    lens = bank()
    with torch.no_grad():
        lens.focus_offset_px[0] = -1e5
    assert lens.focus_distance()[0] == math.inf
    assert torch.isfinite(lens.blur_variance(0, torch.tensor([50.0, 100.0]), 1000.0)).all()


@pytest.mark.parametrize(
    ("focus", "aperture"), [((0.0,), (1.0,)), ((math.nan,), (1.0,)), ((10.0,), (-1.0,)), ((10.0,), (math.inf,))]
)
def test_impossible_lenses_are_refused(focus, aperture):
    with pytest.raises(ValueError, match="must be"):
        bank(focus, aperture)


def test_only_what_was_given_is_held_to():
    lens = bank()
    with torch.no_grad():
        lens.log_aperture_shared.fill_(0.1)
        lens.log_aperture_residual.copy_(torch.tensor([0.1, 0.0, 0.0]))
        lens.focus_offset_px.copy_(torch.tensor([0.0, 2.0, 1.0]))
    assert float(lens.given_penalty()) == 0.0
    lens.aperture_origin.copy_(torch.tensor([Origin.GIVEN, Origin.ESTIMATED, Origin.GIVEN]))
    lens.focus_origin.copy_(torch.tensor([Origin.GUESSED, Origin.GIVEN, Origin.UNKNOWN]))
    expected = (0.2**2 + 0.1**2 + (2 * FOCUS_PX_AS_LOG_APERTURE) ** 2) / 3
    assert float(lens.given_penalty()) == pytest.approx(expected)


def test_an_estimated_pupil_is_a_lower_bound_within_its_deviation():
    lens = bank()
    lens.aperture_uncertainty.copy_(0.5 * lens.aperture_radius().detach())
    lens.aperture_origin.copy_(torch.tensor([Origin.ESTIMATED, Origin.ESTIMATED, Origin.EXIF]))
    with torch.no_grad():
        lens.log_aperture_shared.fill_(-0.25)  # half a standard deviation below; what tags say may be left
        lens.log_aperture_residual.copy_(torch.tensor([0.0, 0.5, 0.0]))
    assert float(lens.estimated_penalty()) == pytest.approx(0.5**2 / 3)
    lens.estimated_penalty().backward()
    assert lens.log_aperture_shared.grad < 0  # which a step of descent makes larger
    assert lens.log_aperture_residual.grad[1:].tolist() == [0.0, 0.0]


def test_a_pinhole_has_no_estimate_to_hold_to():
    lens = bank((10.0,), (0.0,))
    lens.aperture_uncertainty.fill_(0.1)
    lens.aperture_origin.fill_(int(Origin.ESTIMATED))
    penalty = lens.estimated_penalty()
    penalty.backward()
    assert float(penalty) == 0.0
    assert all(torch.isfinite(p.grad).all() for p in lens.parameters() if p.grad is not None)
