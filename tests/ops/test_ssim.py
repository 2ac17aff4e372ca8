"""The fused SSIM against pytorch_msssim and finite differences in float64, and what must hold for any images."""

import threading

import pytest
import pytorch_msssim
import torch

from macro_splat.ops.ssim import ssim
from macro_splat.simd import set_num_threads

# Widths and channels such that rows are shorter than, equal to and no multiple of eight lanes; the smallest there is.
SIZES = [(11, 11, 1), (11, 11, 3), (12, 13, 2), (11, 40, 3), (37, 11, 3), (33, 58, 3), (64, 48, 4)]


def images(height: int, width: int, channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture with noise, and another noisy copy of it, in [0, 1]."""
    g = torch.Generator().manual_seed(seed)
    rows, columns = torch.linspace(0, 7, height)[:, None, None], torch.linspace(0, 5, width)[None, :, None]
    picture = 0.5 + 0.3 * torch.sin(rows + torch.arange(channels)) * torch.cos(columns)
    noise = torch.randn(2, height, width, channels, generator=g)
    return (picture + 0.05 * noise[0]).clamp(0, 1), (picture + 0.1 * noise[1]).clamp(0, 1)


def by_msssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    # Its own window is rounded to float32, also for float64 images.
    window = torch.exp(-((torch.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    window = (window / window.sum()).expand(x.shape[-1], 1, 1, 11)
    return pytorch_msssim.ssim(x.permute(2, 0, 1)[None], y.permute(2, 0, 1)[None], data_range=1.0, win=window)


@pytest.mark.parametrize("size", SIZES)
def test_value_and_gradient_equal_pytorch_msssims_in_float64(size):
    x, y = images(*size)
    exact = x.double().requires_grad_()
    want = by_msssim(exact, y.double())
    want.backward()
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        ours = x.to(dtype, copy=True).requires_grad_()
        got = ssim(ours, y.to(dtype))
        got.backward()
        assert got.item() == pytest.approx(want.item(), abs=tolerance)
        assert (ours.grad - exact.grad).abs().max() <= tolerance * exact.grad.abs().max()


def test_flat_and_dark_images_stay_accurate():
    """Equal neighbours cancel in the variances, the worst case for float32: 1e-7 against C2 = 9e-4, a few times."""
    x, y = images(30, 40, 3)
    for a, b in ((x * 0 + 1, y * 0 + 0.97), (x * 0.01, y * 0.01), (x * 0.01 + 0.98, y * 0.01 + 0.98), (x * 0, y * 0)):
        ours, exact = a.clone().requires_grad_(), a.double().requires_grad_()
        got, want = ssim(ours, b), by_msssim(exact, b.double())
        got.backward()
        want.backward()
        assert got.item() == pytest.approx(want.item(), abs=6e-4)
        assert (ours.grad - exact.grad).abs().max() <= 5e-3 * max(exact.grad.abs().max(), 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_images_are_one_with_no_slope(dtype):
    x = images(25, 31, 3)[0].to(dtype).requires_grad_()
    value = ssim(x, x.detach())
    value.backward()
    assert value.item() == pytest.approx(1.0, abs=1e-6)
    assert x.grad.abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_finite_differences(weighted):
    x, y = (image.double() for image in images(12, 14, 2))
    weight = torch.rand(12, 14, generator=torch.Generator().manual_seed(0)) if weighted else None
    assert torch.autograd.gradcheck(lambda a, b: ssim(a, b, weight), (x.requires_grad_(), y.requires_grad_()))


def test_weights_are_a_weighted_mean_over_windows():
    x, y = images(21, 26, 3)
    weight = torch.rand(21, 26, generator=torch.Generator().manual_seed(3))
    values = []
    for dtype in (torch.float32, torch.float64):  # the kernels, and torch's convolutions
        a = x.to(dtype, copy=True).requires_grad_()
        value = ssim(a, y.to(dtype), weight[..., None])
        value.backward()
        values.append((value.item(), a.grad.double()))
    assert values[0][0] == pytest.approx(values[1][0], abs=1e-5)
    assert (values[0][1] - values[1][1]).abs().max() <= 1e-5 * values[1][1].abs().max()

    # One window alone is the similarity of its 11 x 11 pixels, and only these have a gradient.
    only = torch.zeros(21, 26)
    only[5 + 3, 5 + 7] = 4.0
    a = x.clone().requires_grad_()
    value = ssim(a, y, only)
    value.backward()
    assert value.item() == pytest.approx(ssim(x[3:14, 7:18], y[3:14, 7:18]).item(), abs=1e-6)
    outside = torch.ones(21, 26, dtype=torch.bool)
    outside[3:14, 7:18] = False
    assert (a.grad[outside] == 0).all()
    assert (a.grad[~outside] != 0).all()


def test_equal_weights_change_nothing_and_zero_weights_give_one():
    x, y = images(21, 26, 3)
    assert ssim(x, y, torch.full((21, 26), 0.3)).item() == pytest.approx(ssim(x, y).item(), abs=1e-6)
    assert ssim(x, y, torch.ones(21, 26, dtype=torch.bool)).item() == pytest.approx(ssim(x, y).item(), abs=1e-6)
    assert ssim(x, y, torch.zeros(21, 26)).item() == 1.0


def test_gradient_scales_with_what_follows():
    x, y = images(20, 20, 3)
    once, scaled = x.clone().requires_grad_(), x.clone().requires_grad_()
    ssim(once, y).backward()
    (0.2 * (1 - ssim(scaled, y))).backward()
    torch.testing.assert_close(scaled.grad, -0.2 * once.grad, rtol=1e-6, atol=0)


def test_a_gradient_for_the_second_image():
    x, y = images(20, 24, 3)
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    ssim(first, y).backward()
    ssim(y, second).backward()
    torch.testing.assert_close(second.grad, first.grad, rtol=1e-4, atol=1e-8)


def test_images_need_not_be_contiguous():
    x, y = images(20, 24, 3)
    transposed = x.permute(1, 0, 2).contiguous().permute(1, 0, 2).requires_grad_()
    plain = x.clone().requires_grad_()
    value = ssim(transposed, y)
    value.backward()
    expected = ssim(plain, y)
    expected.backward()
    assert value.item() == expected.item()
    assert torch.equal(transposed.grad, plain.grad)


@pytest.mark.parametrize(
    ("x", "y", "weight", "message"),
    [
        ((10, 30, 3), (10, 30, 3), None, "30 x 10 pixels are smaller than the 11 x 11 window"),
        ((30, 10, 3), (30, 10, 3), None, "10 x 30 pixels are smaller than the 11 x 11 window"),
        ((30, 30, 3), (30, 31, 3), None, r"\[30, 30, 3\] and \[30, 31, 3\]"),
        ((30, 30), (30, 30), None, r"\[30, 30\]"),
        ((30, 30, 3), (30, 30, 3), (30, 31), r"weight of shape \[30, 31\], wanted \[30, 30\]"),
    ],
)
def test_wrong_shapes_are_named(x, y, weight, message):
    with pytest.raises(ValueError, match=message):
        ssim(torch.zeros(x), torch.zeros(y), None if weight is None else torch.ones(weight))


def test_any_threads_and_two_calls_at_once_give_the_same_bits():
    x, y = images(90, 70, 3)

    def value_and_gradient():
        a = x.clone().requires_grad_()
        value = ssim(a, y)
        value.backward()
        return value.item(), a.grad

    try:
        set_num_threads(1)
        want = value_and_gradient()
        set_num_threads(2)
        found: list[tuple[float, torch.Tensor]] = [value_and_gradient()]
        others = [
            threading.Thread(target=lambda: found.extend(value_and_gradient() for _ in range(20))) for _ in range(2)
        ]
        for other in others:
            other.start()
        for other in others:
            other.join()
    finally:
        set_num_threads(None)
    assert len(found) == 41
    for value, gradient in found:
        assert value == want[0]
        assert torch.equal(gradient, want[1])
