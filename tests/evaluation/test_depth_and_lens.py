"""Errors of depth and lenses, against values worked out by hand."""

import math

import pytest
import torch

from macro_splat.evaluation import coc_radius_error, focus_distance_errors, median_depth_error


def test_depth_is_judged_where_object_and_render_meet() -> None:
    truth = torch.tensor([[[2.0], [2.0], [2.0], [0.0]]])
    depth = torch.tensor([[[2.1], [1.7], [9.0], [5.0]]])
    alpha = torch.tensor([[[1.0], [0.9], [0.1], [1.0]]])
    # The lower one of two medians: 0.1 of {0.1, 0.3}.
    assert median_depth_error(depth, truth, alpha) == pytest.approx(0.1, abs=1e-6)
    assert median_depth_error(depth, torch.zeros_like(truth), alpha) is None


def test_focus_errors_are_of_known_views_only() -> None:
    truth = torch.tensor([100.0, math.nan, 200.0, 50.0])
    learnt = torch.tensor([101.0, 3.0, 190.0, 52.0])
    absolute, relative = focus_distance_errors(learnt, truth) or (0.0, 0.0)
    assert absolute == pytest.approx(2.0)
    assert relative == pytest.approx(0.04)
    assert focus_distance_errors(learnt, torch.full((4,), math.nan)) is None


def test_coc_radius_error_at_one_depth() -> None:
    depth = torch.full((4, 4, 1), 110.0)
    depth[0] = 0.0  # nothing there
    # r = A·fl·|1/d − 1/z|
    radius = 5.0 * 1000.0 * (1 / 100.0 - 1 / 110.0)
    true_radius = 6.0 * 1000.0 * (1 / 100.0 - 1 / 110.0)
    error = coc_radius_error(depth, 1000.0, (100.0, 5.0), (100.0, 6.0))
    assert error == pytest.approx(true_radius - radius, rel=1e-3)
    assert coc_radius_error(depth, 1000.0, (100.0, 6.0), (100.0, 6.0)) == 0.0
    assert coc_radius_error(torch.zeros(4, 4, 1), 1000.0, (100.0, 5.0), (100.0, 6.0)) is None
