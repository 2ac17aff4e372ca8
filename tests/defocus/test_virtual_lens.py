"""A lens of one's own: its law, what it refuses, and that it agrees with the lens that a training learns."""

import math

import pytest
import torch

from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.defocus.thin_lens import coc_radius_px
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError


def test_circle_is_that_of_the_thin_lens() -> None:
    depth = torch.linspace(0.5, 3.0, 11, dtype=torch.float64)
    radius = VirtualLens(1.25, 0.02).coc_radius(depth, 800.0)
    torch.testing.assert_close(radius, coc_radius_px(depth, 1 / 1.25, 0.02 * 800.0))
    assert radius[0] < 0 < radius[-1]


def test_circle_is_that_of_the_learnt_lens() -> None:
    learnt = PerViewLens(2)
    learnt.set_start(torch.tensor([0.9, 1.1]), torch.tensor([0.02, 0.03]), torch.tensor([500.0, 500.0]))
    depth = torch.tensor([[0.0], [0.8], [1.1], [1.5]])
    torch.testing.assert_close(VirtualLens(1.1, 0.03).coc_radius(depth, 500.0), learnt.coc_radius(1, depth, 500.0))


def test_focus_at_infinity() -> None:
    radius = VirtualLens(math.inf, 0.1).coc_radius(torch.tensor([2.0]), 100.0)
    torch.testing.assert_close(radius, torch.tensor([-5.0]))


def test_pinhole_changes_nothing() -> None:
    picture = torch.rand(8, 9, 3, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(8, 9, 1)
    assert torch.equal(VirtualLens(1.0, 0.0).photograph(picture, 3 * ones, ones, 100.0), picture)


def test_only_what_is_out_of_focus_is_blurred() -> None:
    picture = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(1))
    depth = torch.ones(40, 60, 1)
    depth[:, 30:] = 2.0
    seen = VirtualLens(1.0, 0.1).photograph(picture, depth, torch.ones(40, 60, 1), 100.0)  # 5 px at depth 2
    torch.testing.assert_close(seen[:, :20], picture[:, :20], atol=2e-3, rtol=0)
    assert seen[:, 42:].var(dim=1).mean() < 0.1 * picture[:, 42:].var(dim=1).mean()


@pytest.mark.parametrize(
    ("focus", "aperture"),
    [(0.0, 0.1), (-1.0, 0.1), (math.nan, 0.1), (1.0, -0.1), (1.0, math.nan), (1.0, math.inf)],
)
def test_impossible_lenses_are_refused_in_one_line(focus: float, aperture: float) -> None:
    with pytest.raises(MacroSplatError) as refused:
        VirtualLens(focus, aperture)
    message = str(refused.value)
    assert "\n" not in message
    assert f"{aperture if focus == 1.0 else focus:g}" in message
