"""The harmonics are gsplat's, and their rotation leaves every colour with its direction."""

from __future__ import annotations

import pytest
import torch
from gsplat.cuda._torch_impl import _eval_sh_bases_fast
from scipy.spatial.transform import Rotation

from macro_splat.runs import spherical_harmonics


def directions(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(1)).double())


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_basis_is_that_of_gsplat(degree: int) -> None:
    d = directions(50)
    expected = _eval_sh_bases_fast((degree + 1) ** 2, d)
    torch.testing.assert_close(spherical_harmonics.basis(d, degree), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_turned_colours_go_with_their_directions(degree: int) -> None:
    generator = torch.Generator().manual_seed(2)
    coefficients = torch.randn(7, (degree + 1) ** 2, 3, generator=generator).double()
    rotation = torch.from_numpy(Rotation.random(rng=3).as_matrix())
    d = directions(40)
    before = torch.einsum("dk,nkc->ndc", _eval_sh_bases_fast((degree + 1) ** 2, d), coefficients)
    turned = spherical_harmonics.rotate(coefficients, rotation)
    after = torch.einsum("dk,nkc->ndc", _eval_sh_bases_fast((degree + 1) ** 2, d @ rotation.T), turned)
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)
    if degree:
        assert (turned - coefficients).abs().max() > 0.1
