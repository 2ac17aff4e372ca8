"""The baselines' blur models: their formulas against direct ones, and what their descriptions promise."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from macro_splat.defocus.baselines.coc import FINEST_SIGMA_PX, CocBlurModel, gaussian_gather
from macro_splat.defocus.baselines.covariance import LARGEST, CovarianceBlurModel
from macro_splat.defocus.baselines.pixel_kernel import (
    MASK_WEIGHT,
    STAGE_SHARE,
    STAGES,
    PixelKernelBlurModel,
    apply_kernels,
)
from macro_splat.defocus.baselines.positional_encoding import encode
from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.modes import make_blur_model


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("coc", CocBlurModel), ("covariance", CovarianceBlurModel), ("pixel-kernel", PixelKernelBlurModel)],
)
def test_modes_make_these_heads(mode: str, kind: type) -> None:
    assert isinstance(make_blur_model(DefocusConfig(mode=mode), 3), kind)  # type: ignore[arg-type]


def test_encoding_is_sines_and_cosines_of_octaves() -> None:
    x = torch.tensor([[0.25, -0.5]])
    expected = [math.sin(math.pi * v) for v in (0.25, -0.5, 0.5, -1.0)]
    expected += [math.cos(math.pi * v) for v in (0.25, -0.5, 0.5, -1.0)]
    torch.testing.assert_close(encode(x, 2)[0], torch.tensor(expected), atol=1e-6, rtol=0)


# -- a Gaussian per pixel --------------------------------------------------------------------------------------------


def test_no_blur_is_the_picture(generator: torch.Generator) -> None:
    picture = torch.rand(9, 12, 3, generator=generator)
    torch.testing.assert_close(gaussian_gather(picture, torch.zeros(9, 12, 1)), picture, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 0.5 * 2**0.5, 1.0, 4.0, 5.0])
def test_nothing_falls_between_two_widths(sigma: float) -> None:
    flat = torch.full((8, 9, 3), 0.3)
    torch.testing.assert_close(gaussian_gather(flat, torch.full((8, 9, 1), sigma)), flat)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_at_the_ladders_widths_it_is_the_gaussian(sigma: float, generator: torch.Generator) -> None:
    picture = torch.rand(9, 12, 3, generator=generator, dtype=torch.float64)
    blurred = gaussian_gather(picture, torch.full((9, 12, 1), sigma, dtype=torch.float64))
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(12.0), indexing="ij")
    for row, column in ((0, 0), (4, 6), (8, 3)):
        weight = torch.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2).double() / sigma**2)[..., None]
        direct = (weight * picture).sum(dim=(0, 1)) / weight.sum()
        torch.testing.assert_close(blurred[row, column], direct, atol=1e-9, rtol=0)


@pytest.mark.parametrize("sigma", [1.2, 2.3, 3.7])
def test_between_them_its_variance_is_exact(sigma: float) -> None:
    size = 61
    x = torch.arange(size, dtype=torch.float64) - size // 2
    squares = (x**2).expand(size, size)[..., None]  # the mean of x² around the centre is the kernel's variance
    blurred = gaussian_gather(squares, torch.full((size, size, 1), sigma, dtype=torch.float64))
    assert float(blurred[size // 2, size // 2, 0]) == pytest.approx(sigma**2, rel=1e-4)


def test_gradients_of_the_gather(generator: torch.Generator) -> None:
    picture = torch.rand(7, 6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    sigma = (3.0 * torch.rand(7, 6, 1, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(gaussian_gather, (picture, sigma))


def test_coc_head_blurs_what_is_out_of_focus(generator: torch.Generator) -> None:
    blur_model = make_blur_model(DefocusConfig(mode="coc"), 2)
    assert blur_model.lens is not None
    blur_model.lens.set_start(torch.tensor([1.0, 2.0]), torch.tensor([0.02, 0.02]), torch.full((2,), 300.0))
    picture = torch.rand(20, 24, 3, generator=generator)
    alpha, depth = torch.ones(20, 24, 1), torch.full((20, 24, 1), 1.0).requires_grad_()
    focal = torch.tensor(300.0)
    torch.testing.assert_close(blur_model.blur_picture(0, picture, alpha, depth, focal), picture, atol=1e-5, rtol=0)
    blurred = blur_model.blur_picture(1, picture, alpha, depth, focal)
    # σ = R/2 = ½·A·fl·|1/d − 1/z|
    sigma = torch.full((20, 24, 1), 0.5 * 0.02 * 300.0 * 0.5)
    torch.testing.assert_close(blurred, gaussian_gather(picture, sigma))
    (blurred * picture).sum().backward()
    assert depth.grad is not None
    assert depth.grad.abs().max() > 0
    assert sigma.max() > FINEST_SIGMA_PX


# -- free kernels ----------------------------------------------------------------------------------------------------


def test_apply_kernels_is_the_weighted_sum_of_neighbours(generator: torch.Generator) -> None:
    picture = torch.rand(6, 8, 3, generator=generator)
    kernels = torch.rand(25, 6, 8, generator=generator)
    padded = F.pad(picture.permute(2, 0, 1)[None], (2, 2, 2, 2), mode="replicate")
    neighbours = F.unfold(padded, 5).reshape(3, 25, 6, 8)
    direct = torch.einsum("ckyx,kyx->yxc", neighbours, kernels)
    torch.testing.assert_close(apply_kernels(picture, kernels), direct)


def test_gradients_of_apply_kernels(generator: torch.Generator) -> None:
    picture = torch.rand(5, 6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    kernels = torch.rand(9, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(apply_kernels, (picture, kernels))


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_kernels_are_normalised_and_grow_by_stages(stage: int, generator: torch.Generator) -> None:
    torch.manual_seed(0)
    blur_model = PixelKernelBlurModel(3)
    blur_model.set_progress((stage + 0.5) * STAGE_SHARE)
    divisor, size = STAGES[stage]
    height, width = 48 // divisor, 64 // divisor
    picture, depth = torch.rand(height, width, 3, generator=generator), torch.ones(height, width, 1)
    kernels, mask = blur_model.kernels_and_mask(1, picture, depth)
    assert kernels.shape == (size * size, height, width)
    assert mask.shape == (height, width, 1)
    assert kernels.min() >= 0
    torch.testing.assert_close(kernels.sum(dim=0), torch.ones(height, width))
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert int(kernels.mean(dim=(1, 2)).argmax()) == size * size // 2  # they begin about the centre


def test_last_stage_lasts_to_the_end() -> None:
    blur_model = PixelKernelBlurModel(1)
    blur_model.set_progress(1.0)
    kernels, _ = blur_model.kernels_and_mask(0, torch.zeros(16, 16, 3), torch.ones(16, 16, 1))
    assert len(kernels) == 17 * 17


def test_the_network_learns_and_the_sharp_picture_gets_its_gradient(generator: torch.Generator) -> None:
    torch.manual_seed(0)
    blur_model = PixelKernelBlurModel(2)
    assert blur_model.losses() == {}
    picture = torch.rand(32, 32, 3, generator=generator, requires_grad=True)
    depth = torch.ones(32, 32, 1, requires_grad=True)
    blurred = blur_model.blur_picture(0, picture, torch.ones(32, 32, 1), depth, torch.tensor(100.0))
    (loss,) = blur_model.losses().values()
    assert 0.0 < float(loss) < MASK_WEIGHT
    (blurred.square().mean() + loss).backward()
    assert picture.grad is not None
    assert picture.grad.abs().max() > 0
    assert depth.grad is None  # it only informs the network
    reached = [p for p in blur_model.param_groups()["blur_net"] if p.grad is not None and p.grad.abs().max() > 0]
    assert len(reached) == len(list(blur_model.parameters())) - 2 * (
        len(STAGES) - 1
    )  # all but the later stages' outputs


def test_kernels_learn_a_blur(generator: torch.Generator) -> None:
    torch.manual_seed(0)
    blur_model = PixelKernelBlurModel(1)
    blur_model.set_progress(0.0)
    picture, depth = torch.rand(24, 32, 3, generator=generator), torch.ones(24, 32, 1)
    photograph = gaussian_gather(picture, torch.ones(24, 32, 1))
    optimizer = torch.optim.Adam(blur_model.param_groups()["blur_net"], lr=3e-3)
    errors = []
    for _ in range(80):
        optimizer.zero_grad()
        blurred = blur_model.blur_picture(0, picture, torch.ones(24, 32, 1), depth, torch.tensor(100.0))
        error = (blurred - photograph).square().mean()
        (error + sum(blur_model.losses().values())).backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.5 * errors[0]


# -- widened Gaussians -----------------------------------------------------------------------------------------------


def test_gaussians_grow_within_bounds_and_only_for_the_blurred_picture(generator: torch.Generator) -> None:
    torch.manual_seed(0)
    blur_model = CovarianceBlurModel(2)
    gaussians = {
        "means": torch.randn(50, 3, generator=generator),
        "quats": torch.randn(50, 4, generator=generator),
        "scales": torch.rand(50, 3, generator=generator).requires_grad_(),
        "opacities": torch.rand(50, generator=generator),
        "colors": torch.rand(50, 16, 3, generator=generator),
    }
    before = {name: tensor.clone() for name, tensor in gaussians.items()}
    viewmat = torch.eye(4)
    viewmat[2, 3] = 2.0
    last = blur_model.network[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.mul_(200.0)  # reach both ends of the clamp
    widened = blur_model.blur_gaussians(0, gaussians, viewmat, torch.tensor(100.0))
    growth = widened["scales"] / gaussians["scales"]
    assert growth.min() >= 1.0 - 1e-6
    assert growth.max() <= LARGEST + 1e-6
    assert growth.max() > 1.05
    for name in gaussians:
        assert torch.equal(gaussians[name], before[name])
        assert name in ("scales", "quats") or widened[name] is gaussians[name]
    widened["scales"].sum().backward()
    assert gaussians["scales"].grad is not None


def test_the_widening_can_be_learnt_from_its_start() -> None:
    torch.manual_seed(0)
    blur_model = CovarianceBlurModel(1)
    gaussians = {"means": torch.zeros(4, 3), "quats": torch.ones(4, 4), "scales": torch.ones(4, 3)}
    viewmat = torch.eye(4)
    optimizer = torch.optim.Adam(blur_model.param_groups()["blur_net"], lr=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        widened: Tensor = blur_model.blur_gaussians(0, gaussians, viewmat, torch.tensor(1.0))["scales"]
        (widened - 1.08).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(widened.detach(), torch.full((4, 3), 1.08), atol=0.01, rtol=0)
