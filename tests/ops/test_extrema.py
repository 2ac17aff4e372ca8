"""Extremes by slices against torch's pooling."""

import pytest
import torch
import torch.nn.functional as F

from macro_splat.ops.extrema import extreme_around, extreme_in_cells


@pytest.mark.parametrize("shape", [(7, 9), (8, 12), (1, 5)])
def test_around(shape: tuple[int, int]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    largest = F.max_pool2d(values[None], 3, stride=1, padding=1)[0]
    smallest = -F.max_pool2d(-values[None], 3, stride=1, padding=1)[0]
    assert torch.equal(extreme_around(values, torch.maximum), largest)
    assert torch.equal(extreme_around(values, torch.minimum), smallest)


@pytest.mark.parametrize("shape", [(8, 12), (7, 9), (5, 13), (4, 4)])
def test_in_cells(shape: tuple[int, int]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    largest = F.max_pool2d(values[None], 4, ceil_mode=True)[0]
    assert torch.equal(extreme_in_cells(values, 4, torch.maximum), largest)
    assert torch.equal(extreme_in_cells(-values, 4, torch.minimum), -largest)
