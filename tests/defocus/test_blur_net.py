"""The network beside the lens law: nothing at the start, bounded, differentiable, and able to learn a curved field."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from macro_splat.defocus.blur_models import ImageBlurModel, LensBlurModel, SplatBlurModel
from macro_splat.defocus.blur_net import BOUND, BlurNet, pixel_positions
from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.modes import make_blur_model
from macro_splat.ops.blur.disc import disc_blur

HEIGHT, WIDTH, FOCAL = 48, 64, 400.0
Mode = Literal["image", "splat"]


def make(mode: Mode = "image", views: int = 2, **options: float | bool) -> LensBlurModel:
    """A blur model whose lens is focused at 100, with a pupil of 5."""
    blur_model = make_blur_model(DefocusConfig(mode=mode, **{"blur_net": True, **options}), views)  # type: ignore[arg-type]
    assert isinstance(blur_model, LensBlurModel)
    blur_model.lens.set_start(torch.full((views,), 100.0), torch.full((views,), 5.0), torch.full((views,), FOCAL))
    return blur_model


def net(blur_model: LensBlurModel) -> BlurNet:
    assert blur_model.blur_net is not None
    return blur_model.blur_net


def shake(blur_net: BlurNet, strength: float, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in blur_net.parameters():
            parameter.add_(strength * torch.randn(parameter.shape, generator=generator))


def ramp() -> Tensor:
    """Depth [H, W, 1] from before to behind the plane of focus."""
    return torch.linspace(85.3, 120.0, WIDTH).expand(HEIGHT, WIDTH)[..., None].contiguous()


def camera() -> tuple[Tensor, Tensor]:
    K = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    return torch.eye(4), K


def gaussians(count: int = 200) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = 85 + 35 * torch.rand(count, generator=generator)
    place = (torch.rand(count, 2, generator=generator) - 0.5) * torch.tensor([WIDTH, HEIGHT]) / FOCAL
    return {"means": torch.cat([place * z[:, None], z[:, None]], dim=1).requires_grad_()}


def test_at_the_start_the_photograph_is_the_same_to_the_last_bit() -> None:
    picture = torch.rand(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(0))
    alpha, focal = torch.ones(HEIGHT, WIDTH, 1), torch.tensor(FOCAL)
    photographs = [make(blur_net=on).blur_picture(1, picture, alpha, ramp(), focal) for on in (False, True)]
    assert not torch.equal(photographs[0], picture)
    assert torch.equal(*photographs)
    viewmat, K = camera()
    widths = [make("splat", blur_net=on).blur_gaussians(1, gaussians(), viewmat, K) for on in (False, True)]
    assert torch.equal(widths[0]["blur_variance"], widths[1]["blur_variance"])
    assert widths[0]["blur_variance"].max() > 1


def test_making_it_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    BlurNet(4)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("strength", [0.3, 3.0, 1000.0])
def test_the_bound_holds_whatever_is_learnt(strength: float) -> None:
    blur_model, plain = make(), make(blur_net=False)
    shake(net(blur_model), strength)
    circle, lens_alone = (h.coc_radius(0, ramp(), torch.tensor(FOCAL)) for h in (blur_model, plain))
    assert torch.equal(circle.sign(), lens_alone.sign())
    ratio = (circle / lens_alone).log()
    assert ratio.abs().max() <= BOUND + 1e-5
    assert ratio.abs().max() > 0.01

    viewmat, K = camera()
    blur_model = make("splat")
    shake(net(blur_model), strength)
    scene = gaussians()
    ratio = 0.5 * torch.log(
        blur_model.blur_gaussians(0, scene, viewmat, K)["blur_variance"]
        / make("splat", blur_net=False).blur_gaussians(0, scene, viewmat, K)["blur_variance"]
    )
    assert ratio.abs().max() <= BOUND + 1e-5
    assert ratio.abs().max() > 0.01


def test_a_pinhole_and_the_plane_of_focus_stay_sharp() -> None:
    blur_model = make()
    shake(net(blur_model), 3.0)
    in_focus = torch.full((HEIGHT, WIDTH, 1), 100.0)
    assert blur_model.coc_radius(0, in_focus, torch.tensor(FOCAL)).abs().max() < 1e-3
    blur_model.lens.set_start(torch.full((2,), 100.0), torch.zeros(2), torch.full((2,), FOCAL))
    assert blur_model.coc_radius(0, ramp(), torch.tensor(FOCAL)).abs().max() == 0


def test_splats_and_pictures_see_the_same_factor() -> None:
    """Where place and depth change slowly, the interpolated values agree with each other and with the network's own."""
    blur_net = net(make())
    shake(blur_net, 0.3)
    relative = ramp()[..., 0] / 100.0 - 1.0
    position = pixel_positions(HEIGHT, WIDTH)
    assert position[0, 0].tolist() == pytest.approx([(0.5 - WIDTH / 2) / 40, (0.5 - HEIGHT / 2) / 40])
    with torch.no_grad():
        exact = blur_net.residual(0, position, relative)
        # Half a cell from the border on the values are extrapolated as constants.
        inner = (slice(4, -4), slice(4, -4))
        on_picture = blur_net.on_picture(0, relative, torch.ones(HEIGHT, WIDTH, dtype=torch.bool)).log()
        at_points = blur_net.at_points(0, position.reshape(-1, 2), relative.reshape(-1)).log().reshape(HEIGHT, WIDTH)
    assert exact.std() > 0.03
    assert (on_picture - exact)[inner].abs().max() < 0.1 * float(exact.max() - exact.min())
    assert (at_points - exact).abs().max() < 0.1 * float(exact.max() - exact.min())


def test_sizes_that_are_no_multiple_of_the_cell() -> None:
    blur_net = BlurNet(1)
    shake(blur_net, 0.3)
    for height, width in [(1, 1), (7, 9), (17, 40), (51, 64), (300, 1030)]:
        covered = torch.ones(height, width, dtype=torch.bool)
        with torch.no_grad():
            factor = blur_net.on_picture(0, torch.full((height, width), 0.05), covered)
            place = pixel_positions(height, width)
            exact = blur_net.residual(0, place, torch.full((height, width), 0.05)).exp()
        assert factor.shape == (height, width)
        assert factor.log().abs().max() <= BOUND + 1e-5
        if height > 10:
            middle = (height // 2, width // 2)
            assert float(factor[middle]) == pytest.approx(float(exact[middle]), abs=0.05)


def test_what_is_not_covered_does_not_count() -> None:
    blur_net = BlurNet(1)
    shake(blur_net, 0.5)
    covered = torch.zeros(32, 32, dtype=torch.bool)
    covered[:, 3:29:2] = True
    clean = torch.full((32, 32), 0.07)
    spoilt = torch.where(covered, clean, torch.full_like(clean, torch.nan))
    with torch.no_grad():
        left, right = (blur_net.on_picture(0, depth, covered) for depth in (clean, spoilt))
    assert torch.equal(left, right)
    with torch.no_grad():
        assert torch.isfinite(blur_net.on_picture(0, clean, torch.zeros_like(covered))).all()


@pytest.mark.parametrize("way", ["picture", "points"])
def test_slopes_match_finite_differences(way: str) -> None:
    blur_net = BlurNet(2).double()
    shake(blur_net, 0.3)
    relative = torch.linspace(-0.12, 0.15, 20 * 27, dtype=torch.float64).reshape(20, 27)
    parameters = tuple(blur_net.parameters())

    def factor(*_: Tensor) -> Tensor:
        if way == "picture":
            return blur_net.on_picture(1, relative, torch.ones(20, 27, dtype=torch.bool))[::5, ::5]
        places = pixel_positions(20, 27).double().reshape(-1, 2)
        return blur_net.at_points(1, places, relative.reshape(-1))[::50]

    assert torch.autograd.gradcheck(factor, parameters, fast_mode=True)
    assert torch.autograd.gradcheck(factor, (blur_net.view_embedding, parameters[-1]))


def test_depth_informs_it_and_learns_nothing_from_it() -> None:
    blur_model = make()
    shake(net(blur_model), 0.3)
    depth = ramp().requires_grad_()
    relative = blur_model.lens.relative_depth(0, depth)[..., 0]
    assert not relative.requires_grad
    factor = net(blur_model).on_picture(0, depth[..., 0] / 100 - 1, torch.ones(HEIGHT, WIDTH, dtype=torch.bool))
    factor.sum().backward()
    assert depth.grad is None


def test_the_prior_is_the_mean_square_of_what_was_used() -> None:
    blur_model = make(blur_net_weight=2.0)
    blur_net = net(blur_model)
    assert blur_model.losses()["blur_net_prior"] == 0
    with torch.no_grad():
        blur_net.network[-1].bias.fill_(0.5)  # type: ignore[union-attr, operator]
    blur_model.coc_radius(0, ramp(), torch.tensor(FOCAL))
    prior = blur_model.losses()["blur_net_prior"]
    assert float(prior.detach()) == pytest.approx(2.0 * (BOUND * math.tanh(0.5)) ** 2, rel=1e-5)
    prior.backward()
    assert blur_net.network[-1].bias.grad > 0  # type: ignore[union-attr, operator]
    with torch.no_grad():  # a look in between, at the viewer say, does not take the slope away
        blur_model.coc_radius(0, ramp(), torch.tensor(FOCAL))
    assert blur_model.losses()["blur_net_prior"].requires_grad


def test_its_parameters_have_an_optimizer() -> None:
    for mode in ("image", "splat"):
        blur_model = make(mode)  # type: ignore[arg-type]
        grouped = [p for group in blur_model.param_groups().values() for p in group]
        assert {id(p) for p in blur_model.parameters()} == {id(p) for p in grouped}
        assert "blur_net" not in make(mode, blur_net=False).param_groups()  # type: ignore[arg-type]
    coc = make_blur_model(DefocusConfig(mode="coc", blur_net=True), 2)
    assert "blur_net" not in coc.param_groups()


def test_learns_a_curved_field() -> None:
    """The blur of the true lens grows towards the corners: the network finds it from photographs alone."""
    generator = torch.Generator().manual_seed(3)
    blur_model = make(views=1, blur_net_weight=0.0)
    assert isinstance(blur_model, ImageBlurModel)
    depth, alpha, focal = torch.full((HEIGHT, WIDTH, 1), 125.0), torch.ones(HEIGHT, WIDTH, 1), torch.tensor(FOCAL)
    picture = torch.rand(HEIGHT, WIDTH, 3, generator=generator)
    lens_alone = blur_model.lens.coc_radius(0, depth, focal)[..., 0].detach()
    far_out = pixel_positions(HEIGHT, WIDTH).square().sum(dim=-1)
    true_factor = torch.exp(0.3 * (2 * far_out - 0.6))
    blur_model.config.linear_light = False
    photograph = disc_blur(picture, lens_alone.abs() * true_factor)
    optimizer = torch.optim.Adam(blur_model.param_groups()["blur_net"], lr=1e-2)
    errors = []
    for _ in range(150):
        optimizer.zero_grad()
        error = (blur_model.blur_picture(0, picture, alpha, depth, focal) - photograph).square().mean()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.1 * errors[0]
    with torch.no_grad():
        factor = blur_model.coc_radius(0, depth, focal)[..., 0] / lens_alone
    before, after = ((f.log() - true_factor.log()).abs().mean() for f in (torch.ones_like(factor), factor))
    assert after < 0.25 * before


def test_splats_are_wider_where_the_network_says_so() -> None:
    blur_model = make("splat", views=1)
    assert isinstance(blur_model, SplatBlurModel)
    with torch.no_grad():
        net(blur_model).network[-1].bias.fill_(100.0)  # type: ignore[union-attr, operator]
    viewmat, K = camera()
    scene = gaussians()
    wide = blur_model.blur_gaussians(0, scene, viewmat, K)["blur_variance"]
    plain = make("splat", blur_net=False).blur_gaussians(0, scene, viewmat, K)["blur_variance"]
    torch.testing.assert_close(wide, plain * math.exp(2 * BOUND), rtol=1e-5, atol=0)
    wide.sum().backward()
    assert torch.isfinite(scene["means"].grad).all()  # type: ignore[arg-type]
