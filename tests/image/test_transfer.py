"""The sRGB curve against values of the standard, its own inverse and finite differences."""

import pytest
import torch

from macro_splat.image.transfer import linear_to_srgb, srgb_to_linear


@pytest.mark.parametrize(
    ("encoded", "light"), [(0.0, 0.0), (0.04045, 0.0031308), (0.5, 0.214041), (1.0, 1.0), (0.2, 0.0331048)]
)
def test_known_values(encoded: float, light: float) -> None:
    assert float(srgb_to_linear(torch.tensor(encoded))) == pytest.approx(light, abs=1e-6)
    assert float(linear_to_srgb(torch.tensor(light))) == pytest.approx(encoded, abs=1e-5)


def test_inverse_of_each_other_also_outside_the_range() -> None:
    x = torch.linspace(-0.2, 3.0, 1001, dtype=torch.float64)
    # The standard's constants are rounded: the two curves meet the line to 1e-8 only.
    assert torch.allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-7)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_slopes(function) -> None:
    x = torch.tensor([-0.1, 0.0, 0.001, 0.02, 0.06, 0.3, 0.9, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,))
