"""Half transparency in a sharp picture: punished where it is wider than the pixel through which a silhouette passes."""

from __future__ import annotations

import pytest
import torch

from macro_splat.model.losses import opacity_binarization


def silhouette(width: float) -> torch.Tensor:
    """[40, 60, 1] opacity that falls from 1 to 0 over so many pixels, off the pixels' grid."""
    columns = torch.arange(60, dtype=torch.float32)
    return (0.5 + (30.3 - columns) / width).clamp(0, 1).expand(40, 60)[..., None].contiguous()


def test_a_crisp_silhouette_is_not_punished() -> None:
    assert opacity_binarization(silhouette(1.0)) == 0
    assert opacity_binarization(torch.ones(40, 60, 1)) == 0


def test_fuzz_is_punished_the_more_the_wider() -> None:
    losses = [float(opacity_binarization(silhouette(width))) for width in (2.0, 4.0, 8.0, 16.0)]
    assert losses == sorted(losses)
    assert losses[1] > 0.005
    assert opacity_binarization(torch.full((40, 60, 1), 0.5)) == pytest.approx(0.25)


def test_slope_of_half_transparency_makes_it_crisper() -> None:
    alpha = silhouette(8.0).requires_grad_()
    opacity_binarization(alpha).backward()
    assert alpha.grad is not None
    inside = alpha.detach()
    assert (alpha.grad[(inside > 0.55) & (inside < 0.95)] < 0).all()
    assert (alpha.grad[(inside > 0.05) & (inside < 0.45)] > 0).all()
