"""Points from the planes of focus of a stack: textured planes in front of the camera, blurred by the thin-lens law."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from macro_splat.capture import Intrinsics
from macro_splat.capture.format import SparsePoints
from macro_splat.process.points import merged
from macro_splat.process.stacks.depth import Slice, points_in_focus

HEIGHT, WIDTH, FOCAL_PX, APERTURE = 96, 128, 1500.0, 12.0
PINHOLE = Intrinsics(FOCAL_PX, FOCAL_PX, WIDTH / 2 + 3, HEIGHT / 2 - 2, WIDTH, HEIGHT)
DISTANCES = (112.0, 116.0, 120.0, 124.0, 128.0)
LEFT, RIGHT = 117.0, 122.5
"""Depths of the two halves of the scene."""


def texture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, (height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.0)
    return np.clip(0.5 + 0.2 * blurred / blurred.std(), 0, 1)


def photograph(focus: float, scale: float = 1.0) -> np.ndarray:
    """Left and right of the scene, each blurred as its depth asks for; the image of a depth grows by `scale`."""
    halves = []
    for depth in (LEFT, RIGHT):
        sigma = 0.5 * APERTURE * FOCAL_PX * abs(1 / focus - 1 / depth)
        picture = cv2.GaussianBlur(texture(), (0, 0), sigma) if sigma > 0.1 else texture()
        centre = (PINHOLE.cx - 0.5, PINHOLE.cy - 0.5)
        matrix = cv2.getRotationMatrix2D(centre, 0, scale)
        halves.append(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT_101))
    both = np.where(np.arange(WIDTH) < WIDTH // 2, *halves)
    return np.repeat(np.round(255 * both).astype(np.uint8)[..., None], 3, axis=2)


def camera(forward: float = 0.0) -> np.ndarray:
    """Somewhere, turned; moved along its axis."""
    turn, _ = cv2.Rodrigues(np.array([0.3, -0.8, 0.2]))
    pose = np.eye(4)
    pose[:3, :3] = turn
    pose[:3, 3] = np.array([5.0, -7.0, 11.0]) - forward * turn[:, 2]
    return pose


def depth_and_column(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    local = (xyz - camera()[:3, 3]) @ camera()[:3, :3]
    return -local[:, 2], FOCAL_PX * local[:, 0] / -local[:, 2] + PINHOLE.cx


@pytest.mark.parametrize("motion", ["ring", "breathing ring"])
def test_points_lie_on_the_surface(motion: str) -> None:
    slices = []
    for i, d in enumerate(DISTANCES):
        scale = 1 + 0.01 * (i - 2) if motion == "breathing ring" else 1.0
        pinhole = replace(PINHOLE, fl_x=scale * FOCAL_PX, fl_y=scale * FOCAL_PX)
        slices.append(Slice(photograph(d, scale), pinhole, camera(), d))
    points = points_in_focus(slices)
    assert len(points.xyz) > 150
    depth, column = depth_and_column(points.xyz)
    for there, truth in ((column < WIDTH / 2 - 8, LEFT), (column > WIDTH / 2 + 8, RIGHT)):
        assert np.median(depth[there]) == pytest.approx(truth, abs=0.6)  # of slices 4 mm apart
        assert np.quantile(np.abs(depth[there] - truth), 0.9) < 2.0


def test_on_a_rail_the_plane_of_focus_goes_along() -> None:
    # The camera goes back by 4 mm for each slice and stays focused at 120 mm: from the middle, planes as above.
    slices = []
    for d in DISTANCES:
        shift = d - 120.0
        slices.append(Slice(photograph(d, 120.0 / d), PINHOLE, camera(shift), 120.0))
    depth, column = depth_and_column(points_in_focus(slices).xyz)
    assert np.median(depth[column < WIDTH / 2 - 8]) == pytest.approx(LEFT, abs=0.6)
    assert np.median(depth[column > WIDTH / 2 + 8]) == pytest.approx(RIGHT, abs=0.6)


def test_beyond_a_stacks_end_its_last_plane_counts() -> None:
    slices = [Slice(photograph(d), PINHOLE, camera(), d) for d in DISTANCES[:3]]  # the last at 120 mm
    depth, column = depth_and_column(points_in_focus(slices).xyz)
    assert np.median(depth[column < WIDTH / 2 - 8]) == pytest.approx(LEFT, abs=0.6)
    right = depth[column > WIDTH / 2 + 8]
    assert len(right) > 50
    np.testing.assert_allclose(np.quantile(right, [0.5, 0.9]), 120.0, atol=1e-6)


def test_what_several_stacks_tell_of_counts_once() -> None:
    """Worked by hand: two cubes of edge 1 with a mean each, a third one across the origin."""
    first = SparsePoints(np.array([[0.2, 0.2, 0.2], [1.5, 0.0, 0.0]]), np.array([[10, 20, 30], [1, 2, 3]], np.uint8))
    second = SparsePoints(np.array([[0.6, 0.4, 0.2], [-0.1, 0.2, 0.2]]), np.array([[20, 20, 90], [7, 8, 9]], np.uint8))
    both = merged([first, second], 1.0)
    np.testing.assert_allclose(both.xyz, [[-0.1, 0.2, 0.2], [0.4, 0.3, 0.2], [1.5, 0.0, 0.0]])
    np.testing.assert_array_equal(both.rgb, [[7, 8, 9], [15, 20, 60], [1, 2, 3]])


def test_no_points_without_a_peak() -> None:
    flat = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    assert len(points_in_focus([Slice(flat, PINHOLE, camera(), d) for d in DISTANCES]).xyz) == 0
    beyond = [Slice(photograph(d), PINHOLE, camera(), d) for d in (90.0, 95.0, 100.0)]  # sharpest in the last slice
    assert len(points_in_focus(beyond).xyz) == 0
    assert len(points_in_focus([Slice(photograph(d), PINHOLE, camera(), d) for d in DISTANCES[:2]]).xyz) == 0


def test_the_mask_is_honoured() -> None:
    slices = [Slice(photograph(d), PINHOLE, camera(), d) for d in DISTANCES]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, : WIDTH // 2] = True
    _, column = depth_and_column(points_in_focus(slices, mask).xyz)
    assert len(column) > 50
    assert column.max() < WIDTH / 2 + 2
