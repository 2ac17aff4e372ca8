"""Masks are found where programs put them, and made where the ground is plain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.model.background import empty_pixels, plain_background
from macro_splat.photographs.load import Photograph, find_photographs
from macro_splat.photographs.masks import find_mask, load_mask, make_mask
from tests.photographs.files import exif_block


def take(folder: Path, name: str = "pose1/a.jpg", orientation: int = 1) -> Photograph:
    """A photograph of 60 by 40 stored pixels in `folder`, and what was found of it."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(folder / name, exif=exif_block({0x0112: orientation}))
    return find_photographs(folder)[0]


def left_half(path: Path, size: tuple[int, int] = (60, 40)) -> Path:
    """A mask that is white on the left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size[::-1], np.uint8)
    mask[:, : size[0] // 2] = 255
    Image.fromarray(mask).save(path)
    return path


@pytest.mark.parametrize(
    "place",
    [
        "photos/masks/pose1/a.png",
        "photos/masks/pose1/a.jpg.png",
        "photos/masks/pose1/a.jpg",
        "photos/mask/pose1/a_mask.png",
        "masks/pose1/a.PNG",
        "photos/pose1/masks/a.tif",
        "photos/pose1/a.mask.png",
        "photos/pose1/a.jpg.mask.png",
        "photos/pose1/a_mask.png",
    ],
)
def test_common_places(tmp_path: Path, place: str) -> None:
    photograph = take(tmp_path / "photos")
    assert find_mask(photograph) is None
    path = left_half(tmp_path / place)
    assert find_mask(photograph) == path
    assert [p.name for p in find_photographs(tmp_path / "photos")] == ["pose1/a.jpg"]
    mask = load_mask(photograph, path)
    assert mask.shape == (40, 60)
    assert mask[:, :28].all()
    assert not mask[:, 32:].any()
    np.testing.assert_array_equal(load_mask(photograph, path, inverted=True), ~mask)


def test_the_given_folder_comes_first(tmp_path: Path) -> None:
    photograph = take(tmp_path / "photos")
    left_half(tmp_path / "photos/masks/pose1/a.png")
    given = left_half(tmp_path / "cut out/pose1/a.png")
    assert find_mask(photograph, tmp_path / "cut out") == given
    with pytest.raises(MacroSplatError, match="nowhere is no folder"):
        find_mask(photograph, tmp_path / "nowhere")


def test_a_mask_of_another_pose_is_not_taken(tmp_path: Path) -> None:
    photograph = take(tmp_path / "photos")
    left_half(tmp_path / "photos/masks/a.png")
    left_half(tmp_path / "photos/masks/pose2/a.png")
    assert find_mask(photograph) is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_alpha_channel(tmp_path: Path, suffix: str, orientation: int) -> None:
    rgba = np.full((40, 60, 4), 255, np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgba).save(path)
    assert find_mask(find_photographs(tmp_path)[0]) is None  # nothing is transparent
    rgba[:, 20:, 3] = 0
    Image.fromarray(rgba).save(path, exif=exif_block({0x0112: orientation}).tobytes())
    (photograph,) = find_photographs(tmp_path)
    mask = find_mask(photograph)
    expected = rgba[..., 3] > 0 if orientation == 1 else np.rot90(rgba[..., 3] > 0, -1)
    assert isinstance(mask, np.ndarray)
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(load_mask(photograph, mask), expected)


def test_mask_is_turned_and_resized_as_its_photograph(tmp_path: Path) -> None:
    photograph = take(tmp_path, "a.jpg", orientation=6)  # stored lying on its left side, 40 by 60 upright
    stored = load_mask(photograph, left_half(tmp_path / "masks/a.png"))
    assert stored.shape == (60, 40)
    assert stored[:28].all()
    assert not stored[32:].any()
    upright = load_mask(photograph, left_half(tmp_path / "masks/a.png", (20, 30)))
    assert upright.shape == (60, 40)
    assert upright[:, :18].all()
    assert not upright[:, 22:].any()


def test_mask_that_does_not_fit(tmp_path: Path) -> None:
    photograph = take(tmp_path, "a.jpg")
    with pytest.raises(MacroSplatError, match=r"a.png is 50x50 but its photograph a.jpg is 60x40"):
        load_mask(photograph, left_half(tmp_path / "masks/a.png", (50, 50)))
    (tmp_path / "masks/a.png").write_bytes(b"no mask")
    with pytest.raises(MacroSplatError, match=r"a.png is broken"):
        load_mask(photograph, tmp_path / "masks/a.png")


def scene(ground: float, fall_off: float = 0.0, noise: float = 1.5) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A textured disc, half of it out of focus, before a plain ground that darkens towards one corner, with noise.

    Returns:
        The photograph [120, 160, 3], and where the object adds more than 1 % of itself to the light.
    """
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160]
    cover = ((x - 80) ** 2 + (y - 60) ** 2 < 35**2).astype(np.float64)
    texture = cv2.GaussianBlur(rng.uniform(0, 1, (120, 160)), (0, 0), 2)
    light = 0.5 + 3 * (texture - 0.5)
    coverage = np.where(x < 80, cv2.GaussianBlur(cover, (0, 0), 0.5), cv2.GaussianBlur(cover, (0, 0), 5.0))
    behind = ground * (1 - fall_off * (x / 160 + y / 120) / 2)
    picture = 255 * (behind + coverage * (np.clip(light, 0.3, 0.45) - behind)) + rng.normal(0, noise, cover.shape)
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, axis=2), coverage > 0.01


@pytest.mark.parametrize(("ground", "fall_off"), [(0.0, 0.0), (0.1, 0.0), (0.9, 0.0), (1.0, 0.0), (0.95, 0.3)])
def test_mask_covers_object_and_outskirts(ground: float, fall_off: float) -> None:
    picture, visible = scene(ground, fall_off)
    mask = make_mask(picture)
    assert mask is not None
    assert mask.shape == visible.shape
    assert (visible & ~mask).sum() <= 0.005 * visible.sum()
    around = cv2.dilate(visible.astype(np.uint8), np.ones((31, 31), np.uint8)).astype(bool)
    assert not (mask & ~around).any()
    # What the model takes for empty may be masked or not, but nothing that it sees is called ground.
    if fall_off == 0:
        empty = empty_pixels(picture, plain_background([picture]))
        assert empty is not None
        assert (mask | empty).all()


def test_object_that_leaves_the_picture() -> None:
    picture, visible = scene(0.0)
    picture, visible = picture[40:], visible[40:]
    mask = make_mask(np.ascontiguousarray(picture))
    assert mask is not None
    assert mask[visible].all()


def test_large_pictures_have_the_same_mask() -> None:
    clean, _ = scene(0.1, noise=0.0)
    noise = np.random.default_rng(0).normal(0, 2, (1500, 2000, 1))
    large = cv2.resize(clean, (2000, 1500), interpolation=cv2.INTER_CUBIC) + noise
    found, expected = make_mask(np.clip(large, 0, 255).astype(np.uint8)), make_mask(scene(0.1)[0])
    assert found is not None
    assert expected is not None
    # Margins are in pixels of the reduced picture, so that the large one's are narrower.
    found = cv2.resize(found.astype(np.uint8), (160, 120), interpolation=cv2.INTER_NEAREST).astype(bool)
    assert not (found & ~expected).any()
    assert (expected & ~found).mean() < 0.1


def test_no_mask_without_plain_ground() -> None:
    rng = np.random.default_rng(0)
    clutter = cv2.GaussianBlur(rng.uniform(0, 255, (120, 160, 3)), (0, 0), 3)
    clutter = 128 + 6 * (clutter - 128)
    assert make_mask(np.clip(clutter, 0, 255).astype(np.uint8)) is None
    grey, _ = scene(0.4)
    assert make_mask(grey) is None


def test_no_mask_where_the_ground_is_an_object_out_of_focus() -> None:
    # A dark board that fills the frame: its border is nearly one colour, but not as even as a ground.
    rng = np.random.default_rng(0)
    patches = cv2.GaussianBlur(rng.normal(0, 1, (120, 160)), (0, 0), 4)
    board = 0.15 + 0.025 * patches / patches.std()
    board[40:80, 50:110] = 0.8
    picture = np.clip(255 * board + rng.normal(0, 1.5, board.shape), 0, 255).astype(np.uint8)
    assert make_mask(np.repeat(picture[..., None], 3, axis=2)) is None
    even = np.where(board == 0.8, 0.8, 0.15)
    even = np.clip(255 * even + rng.normal(0, 1.5, board.shape), 0, 255).astype(np.uint8)
    assert make_mask(np.repeat(even[..., None], 3, axis=2)) is not None


def test_no_mask_without_an_object() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (120, 160, 3))
    assert make_mask(np.clip(240 + noise, 0, 255).astype(np.uint8)) is None
