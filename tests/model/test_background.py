"""The plain background: found behind noise and behind an object that touches the border, else black."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from macro_splat.model.background import (
    AROUND_POINT,
    SilhouetteConsistency,
    empty_pixels,
    plain_background,
)

GREY = np.array([0.42, 0.45, 0.5])


def photographs(color, count: int = 4, noise: float = 0.0, height: int = 30, width: int = 40) -> list[np.ndarray]:
    """uint8 pictures of a colour, with noise of this standard deviation and a cluttered object in the middle."""
    generator = np.random.default_rng(0)
    result = []
    for _ in range(count):
        picture = np.broadcast_to(np.asarray(color, float), (height, width, 3)).copy()
        picture[8:-8, 8:-8] = generator.uniform(size=(height - 16, width - 16, 3))
        picture += generator.normal(scale=noise, size=picture.shape) if noise else 0.0
        result.append(np.round(255 * picture.clip(0, 1)).astype(np.uint8))
    return result


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white(value: float) -> None:
    background = plain_background(photographs([value] * 3))
    assert background.dtype == np.float32
    np.testing.assert_array_equal(background, np.full(3, value, np.float32))


def test_grey_with_sensor_noise() -> None:
    np.testing.assert_allclose(plain_background(photographs(GREY, noise=0.015)), GREY, atol=0.006)


def test_floats_are_taken_as_they_are() -> None:
    pictures = photographs(GREY, noise=0.01)
    floats = [picture.astype(np.float32) / 255 for picture in pictures]
    np.testing.assert_allclose(plain_background(floats), plain_background(pictures), atol=1e-7)


def test_clutter_gives_black() -> None:
    generator = np.random.default_rng(1)
    clutter = [generator.integers(0, 256, (30, 40, 3), dtype=np.uint8) for _ in range(4)]
    np.testing.assert_array_equal(plain_background(clutter), np.zeros(3, np.float32))


def test_plain_in_each_photograph_but_not_the_same_gives_black() -> None:
    pictures = [np.full((30, 40, 3), level, np.uint8) for level in (10, 90, 170, 250)]
    np.testing.assert_array_equal(plain_background(pictures), np.zeros(3, np.float32))


def test_one_channel_that_varies_is_not_plain() -> None:
    pictures = photographs(GREY)
    for picture in pictures:
        picture[..., 2] = np.random.default_rng(2).integers(0, 256, picture.shape[:2])
    np.testing.assert_array_equal(plain_background(pictures), np.zeros(3, np.float32))


@pytest.mark.parametrize(("columns", "found"), [(4, True), (10, True), (25, False), (36, False)])
def test_an_object_at_the_border(columns: int, found: bool) -> None:
    # Contrasting patches over the left `columns` of 40: they cover 27, 36, 57 and 73 % of the border.
    pictures = photographs(GREY)
    for picture in pictures:
        picture[:, :columns] = np.random.default_rng(3).choice([0, 255], size=picture[:, :columns].shape)
    expected = np.round(255 * GREY) / 255 if found else np.zeros(3)
    np.testing.assert_allclose(plain_background(pictures), expected, atol=1e-6)


def test_some_close_ups_among_the_photographs() -> None:
    # The object fills one photograph in four.
    pictures = photographs([1.0, 1.0, 1.0])
    pictures[1] = np.random.default_rng(4).integers(0, 200, pictures[1].shape, dtype=np.uint8)
    np.testing.assert_array_equal(plain_background(pictures), np.ones(3, np.float32))


def test_photographs_of_different_sizes_and_with_alpha() -> None:
    pictures = photographs(GREY, 2) + photographs(GREY, 2, height=50, width=21)
    pictures[0] = np.dstack([pictures[0], np.zeros(pictures[0].shape[:2], np.uint8)])
    np.testing.assert_allclose(plain_background(pictures), np.round(255 * GREY) / 255, atol=1e-6)


def scene_with_disc(background: float, blur: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy photograph of a disc, blurred, on a plain background; and where the sharp disc is."""
    rows, columns = np.indices((90, 120))
    disc = np.hypot(rows - 45, columns - 60) < 25
    light = np.where(disc, 0.6, background).astype(np.float64)
    noise = np.random.default_rng(seed).normal(scale=0.012, size=(90, 120, 3))
    picture = ndimage.gaussian_filter(light, blur)[..., None] + noise
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8), disc


@pytest.mark.parametrize("background", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("blur", [0.0, 4.0])
def test_empty_pixels_are_background_and_never_the_object(background: float, blur: float) -> None:
    photograph, disc = scene_with_disc(background, blur)
    empty = empty_pixels(photograph, np.full(3, background, np.float32))
    assert empty is not None
    assert not (empty & disc).any()
    distance = np.hypot(*(np.indices(disc.shape) - np.array([45, 60])[:, None, None]))
    far = distance > 25 + 4 * blur + 6
    assert empty[far].mean() > 0.97


def test_empty_pixels_are_joined_to_the_border() -> None:
    photograph, _ = scene_with_disc(0.0, 0.0)
    photograph[40:50, 55:65] = 0  # a dark spot on the object is no background
    empty = empty_pixels(photograph, np.zeros(3, np.float32))
    assert empty is not None
    assert not empty[40:50, 55:65].any()


def test_clutter_has_no_empty_pixels() -> None:
    clutter = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    assert empty_pixels(clutter, np.zeros(3, np.float32)) is None


INTRINSICS = np.array([[100.0, 0.0, 60.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]])


def consistency(empties: list[np.ndarray], points: list[list[float]]) -> SilhouetteConsistency:
    """Of photographs by one camera at one place."""
    found = SilhouetteConsistency(np.array(points))
    for view, empty in enumerate(empties):
        found.add_view(view, empty, np.eye(4), INTRINSICS)
    return found


def test_what_one_photograph_shows_is_not_empty_in_others() -> None:
    """A thing at (70, 40) of three photographs is gone in two more, which show nothing but the object in the middle."""
    there, gone = np.ones((90, 120), bool), np.ones((90, 120), bool)
    there[30:50, 50:75] = False
    gone[30:60, 50:62] = False
    point, on_object = [0.201, -0.099, 2.0], [-0.1, 0.0, 2.0]
    found = consistency([there, there, gone, gone, there], [point, on_object])
    assert found.conflicting_views() == [2, 3]
    rows, columns = np.indices(there.shape)
    around = np.hypot(rows - 40, columns - 70) <= AROUND_POINT * 120
    for view in found.conflicting_views():
        assert (found.prune(view, gone) == (gone & ~around)).all()


def test_a_point_that_most_photographs_lack_is_a_mistake() -> None:
    nothing, something = np.ones((90, 120), bool), np.zeros((90, 120), bool)
    assert consistency([nothing, nothing, something], [[0.0, 0.0, 1.0]]).conflicting_views() == []
