"""The disc blur against brute force, and the kernels of one layer against autograd in float64.

Radii run over everything that happens: none, below a pixel, several pixels, larger than the image; images are no
multiple of the kernels' bands, so that pieces of bands occur at every border.
"""

import numpy as np
import pytest
import torch

from macro_splat.ops.blur.disc import MIN_RADIUS, disc_blur, disc_weights
from macro_splat.ops.blur.layered import layered_blur
from macro_splat.simd import set_num_threads


def scene(height: int = 37, width: int = 53, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(height, width, 3, generator=generator)
    radius = 6 * torch.rand(height, width, generator=generator)
    radius[:5] = 0.0
    radius[5:9] = 20.0
    radius[9:12] *= 0.1
    radius[20, 20] = 100.0
    return image, radius


def fused_blur(image: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """By the kernels of `layered_blur`, for one layer and any number of channels up to three."""
    three = image.expand(*image.shape[:2], 3) if image.shape[2] == 1 else image
    return layered_blur(three, radius, torch.ones_like(radius), torch.zeros_like(radius), None)[..., : image.shape[2]]


def brute_force(image: np.ndarray, radius: np.ndarray, samples: int = 33) -> np.ndarray:
    """Every pixel's disc cut into fine squares, each of them counted for the pixel that it lies in."""
    height, width, _ = image.shape
    blurred = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            r = radius[y, x]
            offsets = (np.arange(samples) + 0.5) / samples * 2 * r - r
            v, u = np.meshgrid(offsets, offsets, indexing="ij")
            inside = u**2 + v**2 <= r * r
            rows = np.floor(y + 0.5 + v[inside]).astype(int)
            columns = np.floor(x + 0.5 + u[inside]).astype(int)
            seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            blurred[y, x] = image[rows[seen], columns[seen]].mean(axis=0)
    return blurred


def test_rows_against_brute_force() -> None:
    # White noise is the hardest image: a row's mean half-width is right in area, not in every corner of the disc.
    generator = np.random.default_rng(0)
    image, radius = generator.random((16, 18, 2)), 0.5 + 5 * generator.random((16, 18))
    ours = disc_blur(torch.from_numpy(image), torch.from_numpy(radius)).numpy()
    error = ours - brute_force(image, radius, 201)
    assert np.sqrt((error**2).mean()) < 0.02
    assert np.abs(error).max() < 0.08


def test_fused_against_float64() -> None:
    image, radius = scene()
    upstream = torch.rand_like(image) - 0.3
    x, r = image.requires_grad_(), radius.requires_grad_()
    blurred = fused_blur(x, r)
    blurred.backward(upstream)
    x64, r64 = image.detach().double().requires_grad_(), radius.detach().double().requires_grad_()
    expected = disc_blur(x64, r64)
    expected.backward(upstream.double())
    assert x.grad is not None
    assert r.grad is not None
    assert x64.grad is not None
    assert r64.grad is not None
    assert (blurred - expected).abs().max() < 1e-3  # the table of half-widths
    assert (x.grad - x64.grad).abs().max() < 1e-3 * x64.grad.abs().max()
    assert (r.grad - r64.grad).abs().median() < 1e-4 * r64.grad.abs().max()
    # The slope by the radius jumps where the disc's border enters a pixel; the table is a step off at most.
    assert (r.grad - r64.grad).abs().quantile(0.99) < 5e-3 * r64.grad.abs().max()


def test_slopes_by_finite_differences() -> None:
    # Away from the borders of pixels, where the interpolated running sum has its corners.
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(9, 11, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    radius = (1.62 + 0.01 * torch.rand(9, 11, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(disc_blur, (image, radius), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0, 3.3, 17.0, 300.0])
def test_a_plain_image_stays_as_it_is(value: float) -> None:
    image = torch.full((21, 30, 3), 0.7)
    assert torch.allclose(fused_blur(image, torch.full((21, 30), value)), image, atol=1e-6)


def test_no_radius_is_no_blur() -> None:
    image, _ = scene()
    exact = image.double()
    assert torch.allclose(disc_blur(exact, torch.zeros(37, 53, dtype=torch.float64)), exact, atol=1e-7)
    for radius in (0.0, MIN_RADIUS * 1.01):
        assert torch.allclose(fused_blur(image, torch.full((37, 53), radius)), image, atol=1e-5)


@pytest.mark.parametrize("radius", [1.0, 2.5, 6.0, 12.3])
def test_a_point_becomes_a_disc_of_the_right_width(radius: float) -> None:
    size, centre = 61, 30
    image = torch.zeros(size, size, 1)
    image[centre, centre] = 1.0
    spot = fused_blur(image, torch.full((size, size), radius))[..., 0].double()
    across = torch.arange(size, dtype=torch.float64) - centre
    assert float(spot.sum()) == pytest.approx(1.0, abs=1e-5)
    # A uniform disc has the variance R²/4 along each axis, and a pixel that counts by its area adds some 1/12.
    for variance in ((spot.sum(0) * across**2).sum(), (spot.sum(1) * across**2).sum()):
        assert radius**2 / 4 - 0.06 < float(variance) < radius**2 / 4 + 0.15
    reach = int(np.ceil(radius - 0.5))
    weights = torch.from_numpy(disc_weights(radius))
    assert weights.shape == (2 * reach + 1, 2 * reach + 1)
    assert (
        spot[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1] - weights
    ).abs().max() < 1e-4 * weights.max()


def test_any_number_of_threads_gives_the_same() -> None:
    image, radius = scene(70, 65)
    results = []
    try:
        for threads in (1, 2, 3, 5):
            set_num_threads(threads)
            x, r = image.clone().requires_grad_(), radius.clone().requires_grad_()
            blurred = fused_blur(x, r)
            blurred.square().sum().backward()
            results.append((blurred, x.grad, r.grad))
    finally:
        set_num_threads(None)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="disc_blur"):
        disc_blur(torch.zeros(4, 5, 3), torch.zeros(5, 4))


def test_discs_larger_than_any_table() -> None:
    image, _ = scene()
    blurred = fused_blur(image, torch.full((37, 53), 50_000.0))
    assert torch.allclose(blurred, image.mean(dim=(0, 1)).expand_as(image), atol=1e-5)


def test_large_discs_against_float64() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(150, 160, 1, generator=generator)
    radius = 50 + 30 * torch.rand(150, 160, generator=generator)
    x, r = image.clone().requires_grad_(), radius.clone().requires_grad_()
    fused_blur(x, r).square().sum().backward()
    x64, r64 = image.double().requires_grad_(), radius.double().requires_grad_()
    disc_blur(x64, r64).square().sum().backward()
    for ours, exact in ((x.grad, x64.grad), (r.grad, r64.grad)):
        assert ours is not None
        assert exact is not None
        assert (ours - exact).abs().median() < 1e-3 * exact.abs().max()
