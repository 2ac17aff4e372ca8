"""The image operator against rays traced through a pupil, on scenes of two flat surfaces.

Every pixel's light is the mean over points of the entrance pupil; each of its rays meets the front surface or passes
it and meets the back one. Radii are signed as the operator takes them: negative before the plane of focus.
"""

import numpy as np
import pytest
import torch

from macro_splat.defocus.image_blur import defocus_picture, extend_radius, front_layer
from macro_splat.ops.srgb import linear_to_srgb, srgb_to_linear

SIZE = 64
EDGE = 30  # the front surface covers columns before this one


def pupil(count: int = 4000) -> np.ndarray:
    """Points spread evenly over the unit disc [count, 2]."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def trace(front: np.ndarray, back: np.ndarray, front_circle: float, back_circle: float) -> np.ndarray:
    """One row of the photograph of two half planes, whose colours depend on the column alone. [SIZE, 3] -> [SIZE, 3]"""
    across = pupil()[:, 0]
    columns = np.arange(SIZE)[:, None] + 0.5
    on_front, on_back = columns + across * front_circle, columns + across * back_circle
    hits = (on_front < EDGE)[..., None]
    picked_front = front[np.clip(on_front.astype(int), 0, SIZE - 1)]
    picked_back = back[np.clip(np.floor(on_back).astype(int), 0, SIZE - 1)]
    return np.where(hits, picked_front, picked_back).mean(axis=1)


def plain(colour: tuple[float, float, float]) -> np.ndarray:
    return np.tile(np.array(colour), (SIZE, 1))


def stripes(period: int) -> np.ndarray:
    on = (np.arange(SIZE) // period) % 2
    return np.stack([0.2 + 0.6 * on, 0.8 - 0.5 * on, np.full(SIZE, 0.4)], axis=1)


def photographed(front: np.ndarray, back: np.ndarray, front_circle: float, back_circle: float) -> np.ndarray:
    """The middle row of the operator's result for the same scene, in linear light."""
    columns = np.arange(SIZE)
    row = np.where((columns < EDGE)[:, None], front, back)
    light = torch.from_numpy(np.tile(row, (SIZE, 1, 1))).float()
    circle = torch.from_numpy(np.tile(np.where(columns < EDGE, front_circle, back_circle), (SIZE, 1))).float()
    blurred = defocus_picture(linear_to_srgb(light), circle[..., None], torch.ones(SIZE, SIZE, 1))
    return srgb_to_linear(blurred)[SIZE // 2].double().numpy()


CENTRE = slice(14, 50)  # away from the image's border, beyond which nothing is known


def test_a_blurred_front_spreads_over_a_sharp_back() -> None:
    front, back = plain((0.9, 0.1, 0.1)), stripes(3)
    expected = trace(front, back, -8.0, 0.0)
    ours = photographed(front, back, -8.0, 0.0)
    # What the front hides of the stripes, and lets through at its edge, cannot be known from a picture.
    assert np.abs(ours - expected)[EDGE:50].max() < 0.06
    # The back shows no blur of its own beside the front's reach, and the front reaches that far.
    np.testing.assert_allclose(ours[40:50], back[40:50], atol=1e-3)
    assert ours[33, 0] - back[33, 0] * 0.65 > 0.1


def test_a_sharp_front_does_not_bleed_into_a_blurred_back() -> None:
    front, back = plain((0.9, 0.1, 0.1)), plain((0.1, 0.2, 0.8))
    expected = trace(front, back, 0.0, 8.0)
    ours = photographed(front, back, 0.0, 8.0)
    assert np.abs(ours - expected)[CENTRE].max() < 0.02
    np.testing.assert_allclose(ours[EDGE:50], back[EDGE:50], atol=0.01)
    np.testing.assert_allclose(ours[14:EDGE], front[14:EDGE], atol=0.01)


@pytest.mark.parametrize("circles", [(-6.0, 0.0), (0.0, 6.0), (-4.0, 4.0), (2.0, 9.0)])
def test_edges_in_general(circles: tuple[float, float]) -> None:
    front, back = plain((0.7, 0.4, 0.1)), plain((0.1, 0.5, 0.9))
    difference = np.abs(photographed(front, back, *circles) - trace(front, back, *circles))[CENTRE]
    assert difference.mean() < 0.02
    assert difference.max() < 0.16


def test_depth_edges_are_an_option() -> None:
    circle = torch.full((SIZE, SIZE, 1), 6.0)
    circle[:, :EDGE] = 0.0
    light = torch.zeros(SIZE, SIZE, 3)
    light[:, :EDGE] = 1.0
    whole = defocus_picture(light, circle, torch.ones(SIZE, SIZE, 1), depth_edges=False)
    assert whole[SIZE // 2, EDGE + 2, 0] > 0.3  # the sharp front bleeds into the back
    assert defocus_picture(light, circle, torch.ones(SIZE, SIZE, 1))[SIZE // 2, EDGE + 2, 0] < 0.05


def test_one_surface_is_one_layer() -> None:
    assert front_layer(torch.full((40, 50), 3.0), torch.ones(40, 50, dtype=torch.bool)) is None
    assert front_layer(torch.zeros(40, 50), torch.zeros(40, 50, dtype=torch.bool)) is None


def test_a_slanted_surface_shows_no_seam() -> None:
    # Two layers, where there is one surface after all, add up to what a single gathering gives.
    circle = torch.linspace(-6, 6, SIZE).expand(SIZE, SIZE)
    light = torch.full((SIZE, SIZE, 3), 0.5)
    assert front_layer(circle, torch.ones(SIZE, SIZE, dtype=torch.bool)) is not None
    blurred = defocus_picture(light, circle[..., None], torch.ones(SIZE, SIZE, 1))
    assert torch.allclose(blurred, light, atol=1e-4)


def test_a_blurred_object_spreads_into_empty_space_and_keeps_its_light() -> None:
    alpha = torch.zeros(SIZE, SIZE, 1)
    alpha[24:40, 24:40] = 1.0
    light = 0.6 * alpha.expand(-1, -1, 3)
    blurred = srgb_to_linear(defocus_picture(linear_to_srgb(light), 5.0 * alpha, alpha))
    assert float(blurred.sum()) == pytest.approx(float(light.sum()), rel=0.01)
    assert blurred[20, 32, 0] > 0.05
    assert blurred[10, 32, 0] == 0


def test_extended_radius_ends_where_no_disc_reaches() -> None:
    alpha = torch.zeros(50, 50)
    alpha[20:30, 20:30] = 1.0
    own, carried = extend_radius(4.0 * alpha, alpha)
    radius = own * 4.0 * alpha + (1 - own) * carried
    assert (radius[20:30, 15:35] == 4).all()
    assert (radius[:, :14] == 0).all()


def test_linear_light_is_an_option() -> None:
    picture = torch.zeros(SIZE, SIZE, 3)
    picture[:, SIZE // 2 :] = 1.0
    circle, alpha = torch.full((SIZE, SIZE, 1), 5.0), torch.ones(SIZE, SIZE, 1)
    values = defocus_picture(picture, circle, alpha, linear_light=False)
    light = srgb_to_linear(defocus_picture(picture, circle, alpha))
    torch.testing.assert_close(values, light, atol=1e-5, rtol=0)


def test_slopes_reach_colours_depth_and_not_the_choice_of_layers() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(24, 24, 3, generator=generator, requires_grad=True)
    circle = (3 + torch.rand(24, 24, 1, generator=generator)).requires_grad_()
    with torch.no_grad():
        circle[:, 12:] -= 6.0
    blurred = defocus_picture(picture, circle, torch.ones(24, 24, 1))
    blurred.square().sum().backward()
    assert picture.grad is not None
    assert circle.grad is not None
    assert torch.isfinite(picture.grad).all()
    assert torch.isfinite(circle.grad).all()
    assert (circle.grad != 0).float().mean() > 0.8
