"""The sRGB curve against values of the standard, its inverse, finite differences, and its kernels against float64."""

import pytest
import torch

from macro_splat.ops.srgb import linear_to_srgb, srgb_to_linear

CURVES = [srgb_to_linear, linear_to_srgb]


@pytest.mark.parametrize(
    ("encoded", "light"), [(0.0, 0.0), (0.04045, 0.0031308), (0.5, 0.214041), (1.0, 1.0), (0.2, 0.0331048)]
)
@pytest.mark.parametrize("count", [1, 9], ids=["torch", "kernel"])
def test_known_values(encoded: float, light: float, count: int) -> None:
    assert srgb_to_linear(torch.full((count,), encoded)).tolist() == pytest.approx([light] * count, abs=1e-6)
    assert linear_to_srgb(torch.full((count,), light)).tolist() == pytest.approx([encoded] * count, abs=1e-5)


def test_inverse_of_each_other_also_outside_the_range() -> None:
    x = torch.linspace(-0.2, 3.0, 1001, dtype=torch.float64)
    # The standard's constants are rounded: the two curves meet the line to 1e-8 only.
    assert torch.allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-7)


@pytest.mark.parametrize("function", CURVES)
def test_slopes(function) -> None:
    x = torch.tensor([-0.1, 0.0, 0.001, 0.02, 0.06, 0.3, 0.9, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,))


@pytest.mark.parametrize("function", CURVES)
def test_kernels_against_float64(function) -> None:
    # From far below the toe to highlights, more than one chunk of them, and a number that eight does not divide.
    x = torch.cat([torch.linspace(-1.0, 2.0, 20_000), torch.logspace(-6, 4, 5_003), torch.tensor([0.0, 1.0])])
    upstream = torch.linspace(-1.0, 1.0, len(x))
    results = []
    for dtype in (torch.float32, torch.float64):
        given = x.to(dtype, copy=True).requires_grad_()
        value = function(given)
        value.backward(upstream.to(dtype))
        results += [value.detach().double(), given.grad.double()]
    torch.testing.assert_close(results[0], results[2], rtol=2e-6, atol=1e-8)
    torch.testing.assert_close(results[1], results[3], rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("function", CURVES)
def test_what_is_not_a_number_stays_so(function) -> None:
    x = torch.linspace(0.0, 1.0, 20)
    x[3] = torch.nan
    assert function(x).isnan().nonzero().tolist() == [[3]]
    assert torch.isfinite(function(torch.full((16,), 1e30))).all()


@pytest.mark.parametrize("function", CURVES)
def test_every_shape_and_layout(function) -> None:
    x = torch.rand(6, 5, 3)
    assert torch.equal(function(x.transpose(0, 1)), function(x).transpose(0, 1))
    assert function(torch.empty(0, 3)).shape == (0, 3)
