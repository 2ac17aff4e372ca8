"""The kernel of a pixel as numbers: normalised, of the law's variance, and what the operators really gather with."""

import numpy as np
import pytest
import torch

from macro_splat.defocus.blur_models import ImageBlurModel, LensBlurModel
from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.kernel import Kernel, Shape, gaussian_weights, kernel_of_coc
from macro_splat.defocus.modes import make_blur_model
from macro_splat.defocus.thin_lens import coc_radius_px

FOCUS, PUPIL, FOCAL = 114.0, 12.5, 600.0


def diameter(depth: float) -> float:
    """Of the circle of confusion, signed."""
    return 2 * float(coc_radius_px(torch.tensor(depth, dtype=torch.float64), 1 / FOCUS, PUPIL * FOCAL))


def variance_per_axis(kernel: Kernel) -> tuple[float, float]:
    offset = np.arange(len(kernel.weights)) - len(kernel.weights) // 2
    return tuple(float((kernel.weights.sum(axis=axis) * offset**2).sum()) for axis in (0, 1))  # type: ignore[return-value]


@pytest.mark.parametrize("shape", ["disc", "gaussian"])
@pytest.mark.parametrize("depth", [104.0, 110.0, 113.2, 114.0, 116.0, 121.0, 150.0])
def test_sums_to_one_with_the_variance_of_the_law(depth: float, shape: Shape) -> None:
    kernel = kernel_of_coc(diameter(depth), shape, depth)
    assert kernel.depth == depth
    assert kernel.sigma_px == pytest.approx(abs(diameter(depth)) / 4)
    assert kernel.circle_of_confusion_px == pytest.approx(diameter(depth))
    assert np.sign(kernel.circle_of_confusion_px) == np.sign(depth - FOCUS)
    assert kernel.weights.shape[0] == kernel.weights.shape[1]
    assert kernel.weights.shape[0] % 2 == 1
    assert kernel.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (kernel.weights >= 0).all()
    np.testing.assert_allclose(kernel.weights, kernel.weights[::-1, ::-1])
    if kernel.sigma_px == 0:
        assert kernel.weights.tolist() == [[1.0]]
    elif kernel.sigma_px > 0.7:
        share = 1 / 12 if shape == "disc" else 0.0  # pixels are squares, whose light sits at their centres
        for variance in variance_per_axis(kernel):
            # The squares' share varies with where the disc's border falls between them.
            assert variance == pytest.approx(kernel.sigma_px**2 + share, rel=0.003, abs=share)


def test_widths_grow_steadily_from_nothing() -> None:
    for shape in ("disc", "gaussian"):
        kernels = [kernel_of_coc(d, shape, 1.0) for d in np.linspace(0, 12, 200)]  # type: ignore[arg-type]
        assert (np.diff([sum(variance_per_axis(k)) for k in kernels]) > -0.01).all()
        assert np.isfinite([k.weights.max() for k in kernels]).all()
    assert gaussian_weights(1e-200).max() == 1


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        kernel_of_coc(float("nan"), "disc", 1.0)


def blur_model_of(mode: str) -> LensBlurModel:
    blur_model = make_blur_model(DefocusConfig(mode=mode), 1)  # type: ignore[arg-type]
    assert isinstance(blur_model, LensBlurModel)
    blur_model.lens.set_start(torch.tensor([FOCUS]), torch.tensor([PUPIL]), torch.tensor([FOCAL]))
    return blur_model


@pytest.mark.parametrize("depth", [108.0, 122.0])
def test_a_point_of_light_on_a_plane_becomes_the_kernel(depth: float) -> None:
    """By the image operator itself, on light (before the curve of sRGB)."""
    blur_model = blur_model_of("image")
    blur_model.config.linear_light = False
    size, centre = 61, 30
    picture = torch.zeros(size, size, 3)
    picture[centre, centre] = 1.0
    plane, alpha = torch.full((size, size, 1), depth), torch.ones(size, size, 1)
    photograph = blur_model.blur_picture(0, picture, alpha, plane, torch.tensor(FOCAL))[..., 0]
    kernel = blur_model.kernel_at(0, plane, alpha, torch.tensor(FOCAL), centre, centre)
    reach = len(kernel.weights) // 2
    assert reach > 3
    window = slice(centre - reach, centre + reach + 1)
    np.testing.assert_allclose(photograph[window, window].detach().numpy(), kernel.weights, atol=1e-5)
    assert float(photograph.detach().sum()) == pytest.approx(1.0, abs=1e-4)


def test_modes_have_their_shapes() -> None:
    plane, alpha = torch.full((9, 9, 1), 125.0), torch.ones(9, 9, 1)
    disc, splat, coc = (
        blur_model_of(mode).kernel_at(0, plane, alpha, torch.tensor(FOCAL), 4, 4) for mode in ("image", "splat", "coc")
    )
    expected = kernel_of_coc(diameter(125.0), "disc", 125.0)
    np.testing.assert_allclose(disc.weights, expected.weights, atol=1e-5)
    np.testing.assert_allclose(splat.weights, gaussian_weights(disc.sigma_px), atol=1e-5)
    np.testing.assert_array_equal(splat.weights, coc.weights)
    # A disc of 9 px across is flat in its middle, a Gaussian is not.
    middle = len(disc.weights) // 2
    assert disc.weights[middle, middle] == pytest.approx(disc.weights[middle, middle + 1])
    assert splat.weights.max() > 1.05 * splat.weights[len(splat.weights) // 2, len(splat.weights) // 2 + 1]


def test_beside_the_object_the_kernel_is_the_objects_as_far_as_it_reaches() -> None:
    blur_model = blur_model_of("image")
    alpha = torch.zeros(40, 40, 1)
    alpha[15:25, 15:25] = 1.0
    depth = 108.0 * alpha
    inside, beside, far = (blur_model.kernel_at(0, depth, alpha, torch.tensor(FOCAL), x, 20) for x in (20, 26, 39))
    assert inside.circle_of_confusion_px < -3
    assert beside.circle_of_confusion_px == inside.circle_of_confusion_px
    assert (inside.depth, beside.depth) == (108.0, 0.0)
    assert far.sigma_px == 0
    assert far.weights.tolist() == [[1.0]]


def test_the_network_is_in_it() -> None:
    plane, alpha = torch.full((24, 24, 1), 125.0), torch.ones(24, 24, 1)
    for mode in ("image", "splat"):
        plain = blur_model_of(mode)
        blur_model = make_blur_model(DefocusConfig(mode=mode, blur_net=True), 1)  # type: ignore[arg-type]
        assert isinstance(blur_model, LensBlurModel)
        blur_model.lens.load_state_dict(plain.lens.state_dict())
        assert blur_model.blur_net is not None
        with torch.no_grad():
            blur_model.blur_net.network[-1].bias.fill_(100.0)  # type: ignore[union-attr, operator]
        with_net, without = (h.kernel_at(0, plane, alpha, torch.tensor(FOCAL), 3, 4) for h in (blur_model, plain))
        assert with_net.sigma_px / without.sigma_px == pytest.approx(np.exp(0.4), rel=1e-5)
    assert isinstance(plain, LensBlurModel)
    assert not isinstance(plain, ImageBlurModel)
