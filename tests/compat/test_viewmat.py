"""Our world-to-camera matrices against nerfstudio's, run eagerly, and against a matrix inverse."""

import pytest
import torch
from nerfstudio.models import splatfacto

from macro_splat.compat.viewmat import get_viewmat


def poses(count: int, rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    rotation, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    translation = torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)
    last = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64).expand(count, 1, 4)
    return torch.cat([torch.cat([rotation, translation], 2), last], 1)[:, :rows].contiguous()


def eager(function):
    """The function under nerfstudio's `torch.compile` (the function itself where nerfstudio does not compile it)."""
    return getattr(function, "_torchdynamo_orig_callable", function)


@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("count", [1, 5])
def test_equals_nerfstudios(count: int, rows: int) -> None:
    c2w = poses(count, rows)
    torch.testing.assert_close(get_viewmat(c2w), eager(splatfacto.get_viewmat)(c2w), rtol=0, atol=0)


def test_is_the_inverse_in_gsplats_axes() -> None:
    c2w = poses(3, 4)
    expected = torch.linalg.inv(c2w @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)))
    torch.testing.assert_close(get_viewmat(c2w), expected)


def test_gradient() -> None:
    c2w = poses(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(get_viewmat, (c2w,))
