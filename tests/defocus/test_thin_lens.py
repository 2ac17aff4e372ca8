"""The lens law against numbers worked by hand and against the textbook form in f, N and d."""

import math

import pytest
import torch

from macro_splat.defocus import blur_sigma_px, circle_of_confusion_px, depth_of_field, macro_blur_sigma_px


def test_hand_worked_example():
    # 50 mm at f/4 focused at 100 mm: pupil radius 6.25 mm, image distance 100 mm. A point at 125 mm: the cone of light
    # cuts the plane of focus in a disc of 12.5 * 25 / 125 = 2.5 mm, imaged at magnification 1 on 10 um pixels: 250 px.
    diameter = circle_of_confusion_px(torch.tensor(125.0), 100.0, 6.25, 100.0 / 0.01)
    assert diameter.item() == pytest.approx(250.0)
    assert blur_sigma_px(torch.tensor(125.0), 100.0, 6.25, 100.0 / 0.01).item() == pytest.approx(62.5)


@pytest.mark.parametrize(("f", "stop", "d", "z", "pitch"), [(50, 2.8, 130, 121, 0.004), (105, 11, 314, 330, 0.006)])
def test_agrees_with_textbook_form(f, stop, d, z, pitch):
    textbook = f**2 / stop * abs(z - d) / (z * (d - f)) / pitch
    focal_px = f * d / (d - f) / pitch
    ours = circle_of_confusion_px(torch.tensor(float(z)), d, f / (2 * stop), focal_px).abs()
    assert ours.item() == pytest.approx(textbook, rel=1e-5)


def test_sign_says_before_or_behind():
    depth = torch.tensor([90.0, 100.0, 110.0])
    assert circle_of_confusion_px(depth, 100.0, 5.0, 1000.0).sign().tolist() == [-1.0, 0.0, 1.0]


def test_sigma_has_the_variance_of_a_disc():
    # Sampled: the variance per axis of a uniform disc of diameter 8 is 4; sigma of a blur 8 px wide is 2.
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(400_000, 2, generator=generator) * 8 - 4
    disc = xy[xy.norm(dim=1) <= 4]
    sigma = blur_sigma_px(torch.tensor(2.0), 1.0, 8.0, 1.0)  # diameter 2*8*1*(1 - 1/2) = 8
    assert sigma.item() == pytest.approx(disc.var(dim=0).mean().sqrt().item(), rel=5e-3)


@pytest.mark.parametrize("offset", [-0.05, 0.01, 0.05])
def test_macro_approximation_is_off_by_the_relative_depth(offset):
    depth = torch.tensor(100.0 * (1 + offset))
    exact, approximate = (law(depth, 100.0, 5.0, 1000.0) for law in (blur_sigma_px, macro_blur_sigma_px))
    assert (approximate / exact).item() == pytest.approx(1 + offset, rel=1e-5)


def test_depth_of_field_is_where_the_circle_reaches_the_limit():
    near, far = depth_of_field(100.0, 5.0, 1000.0, max_diameter_px=2.0)
    assert near < 100 < far
    circles = circle_of_confusion_px(torch.tensor([near, far]), 100.0, 5.0, 1000.0)
    assert circles.tolist() == pytest.approx([-2.0, 2.0], rel=1e-4)
    assert depth_of_field(1e6, 5.0, 1000.0)[1] == math.inf
    assert depth_of_field(100.0, 0.0, 1000.0) == (0.0, math.inf)
