"""The lens law against numbers worked by hand and against the textbook form in f, N and d."""

import math

import numpy as np
import pytest
import torch

from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER, coc_radius_px, depth_of_field


def test_hand_worked_example():
    # 50 mm at f/4 focused at 100 mm: pupil radius 6.25 mm, image distance 100 mm. A point at 125 mm: the cone of light
    # cuts the plane of focus in a disc of 12.5 * 25 / 125 = 2.5 mm, imaged at magnification 1 on 10 um pixels: 250 px.
    radius = coc_radius_px(torch.tensor(125.0), 1 / 100.0, 6.25 * 100.0 / 0.01)
    assert 2 * radius.item() == pytest.approx(250.0)


@pytest.mark.parametrize(("f", "stop", "d", "z", "pitch"), [(50, 2.8, 130, 121, 0.004), (105, 11, 314, 330, 0.006)])
def test_agrees_with_textbook_form(f, stop, d, z, pitch):
    textbook = f**2 / stop * abs(z - d) / (z * (d - f)) / pitch
    focal_px = f * d / (d - f) / pitch
    radius = coc_radius_px(torch.tensor(float(z)), 1 / d, f / (2 * stop) * focal_px).abs()
    assert 2 * radius.item() == pytest.approx(textbook, rel=1e-5)


def test_sign_says_before_or_behind():
    depth = torch.tensor([90.0, 100.0, 110.0, 0.0, -5.0])
    assert coc_radius_px(depth, 1 / 100.0, 5000.0).sign().tolist() == [-1.0, 0.0, 1.0, 0.0, 0.0]


def test_sigma_has_the_variance_of_a_disc():
    # Sampled: the variance per axis of a uniform disc of diameter 8 is 4; sigma of a blur 8 px wide is 2.
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(400_000, 2, generator=generator) * 8 - 4
    disc = xy[xy.norm(dim=1) <= 4]
    sigma = SIGMA_PER_DIAMETER * 2 * coc_radius_px(torch.tensor(2.0), 1.0, 8.0)  # radius 8*(1 - 1/2) = 4
    assert sigma.item() == pytest.approx(disc.var(dim=0).mean().sqrt().item(), rel=5e-3)


def test_depth_of_field_is_where_the_circle_reaches_the_limit():
    near, far = depth_of_field(1 / 100.0, 5000.0, max_diameter_px=2.0)
    assert near < 100 < far
    radii = coc_radius_px(torch.tensor([float(near), float(far)]), 1 / 100.0, 5000.0)
    assert radii.tolist() == pytest.approx([-1.0, 1.0], rel=1e-4)
    assert depth_of_field(1 / 1e6, 5000.0, 1.0)[1] == math.inf
    assert depth_of_field(1 / 100.0, 0.0, 1.0) == (0.0, math.inf)


def test_depth_of_field_of_many_lenses() -> None:
    focus, radius, focal = np.array([80.0, 120.0, 400.0]), np.array([6.0, 3.0, 1.0]), np.array([1200.0, 900.0, 800.0])
    near, far = depth_of_field(1 / focus, radius * focal, 2.0)
    for depth in (near, far):
        np.testing.assert_allclose(2 * radius * focal * np.abs(1 / focus - 1 / depth), 2.0)
    assert (near < focus).all()
    assert (focus < far).all()


def test_depth_of_field_without_end() -> None:
    near, far = depth_of_field(np.array([1 / 1e6, 1 / 50]), np.array([1000.0, 0.0]), 2.0)
    assert np.isinf(far).all()
    assert near[0] == pytest.approx(1000, rel=1e-2)  # the hyperfocal distance 2 A f / c
    assert near[1] == 0
