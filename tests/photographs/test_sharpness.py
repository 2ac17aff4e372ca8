"""Sharpness finds the slice that is in focus, and tells defocus from movement."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from macro_splat.photographs.sharpness import CELL, judge_focus, sharpness_map, sharpness_score

ASSETS = Path(__file__).parents[2] / "assets"


def leaves(height: int, width: int, seed: int = 0, largest: float = 20) -> NDArray[np.float32]:
    """Discs of random size and grey on top of each other [H, W], 0..1: edges in all directions ("dead leaves")."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for _ in range(height * width // 60):
        centre = (int(rng.integers(16 * width)), int(rng.integers(16 * height)))
        radius = int(16 * rng.uniform(0.15, 1) * largest)
        cv2.circle(picture, centre, radius, float(rng.uniform(0.1, 0.9)), -1, cv2.LINE_AA, 4)
    return picture


def photograph(light: NDArray[np.floating], noise: float = 1.5, seed: int = 0) -> NDArray[np.uint8]:
    """8 bit RGB with sensor noise, in grey levels."""
    rng = np.random.default_rng(seed)
    grey = 255 * light[..., None] + rng.normal(0, noise, (*light.shape, 3))
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def moved(light: NDArray[np.floating], length: float, degrees: float) -> NDArray[np.floating]:
    """The mean of the picture over a straight track, by moving it."""
    height, width = light.shape
    track = np.linspace(-length / 2, length / 2, int(3 * length))
    angle = np.deg2rad(degrees)
    shifted = [
        cv2.warpAffine(
            light,
            np.array([[1, 0, t * np.cos(angle)], [0, 1, t * np.sin(angle)]]),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        for t in track
    ]
    return np.mean(shifted, axis=0)


def test_sharpest_slice_of_a_tilted_plane() -> None:
    """Depth rises from left to right by known steps; each slice is focused on one of them."""
    slices, height, width = 8, 128, 384
    sharp = leaves(height, width, largest=9)
    depth = np.linspace(-0.5, slices - 0.5, width, endpoint=False)
    maps = []
    for k in range(slices):
        picture = np.empty_like(sharp)
        for x in range(0, width, 4):
            sigma = 0.3 + 1.2 * abs(depth[x] - k)
            band = slice(max(0, x - 40), min(width, x + 44))
            blurred = cv2.GaussianBlur(sharp[:, band], (0, 0), sigma)
            picture[:, x : x + 4] = blurred[:, x - band.start : x - band.start + 4]
        maps.append(sharpness_map(photograph(picture, seed=k)))
    stack = np.stack(maps)
    assert stack.shape == (slices, height // CELL, width // CELL)
    textured = stack.max(axis=0) > 3
    assert textured.mean() > 0.7
    middle = depth.reshape(-1, CELL).mean(axis=1)
    error = np.abs(stack.argmax(axis=0) - middle)
    assert (error[textured] <= 0.55).mean() > 0.8  # the nearest slice
    assert (error[textured] <= 1.5).mean() > 0.99
    along_tilt = [np.median(stack[:, textured[:, x], x].argmax(axis=0)) for x in range(stack.shape[2])]
    assert (np.diff(along_tilt) >= 0).all()


def test_noise_is_taken_off() -> None:
    """Detail keeps its contrast under noise that varies with brightness; where there is none, nothing is left."""
    rng = np.random.default_rng(1)
    light = np.tile(np.linspace(0.1, 0.9, 256)[:, None], 256)
    light[:, 96:160] += rng.uniform(-0.05, 0.05, (256, 64))
    clean = sharpness_map(photograph(light, 0.3))
    for noise in (2.0, 4.0):
        spread = noise * (0.5 + light)
        noisy = np.clip(255 * light + rng.normal(0, 1, light.shape) * spread, 0, 255)
        found = sharpness_map(np.repeat(noisy[..., None].astype(np.uint8), 3, axis=2))
        flat = np.r_[0:10, 22:32]
        assert found[:, 13:19].mean() == pytest.approx(clean[:, 13:19].mean(), rel=0.12)
        assert found[:, flat].mean() < 0.15 * found[:, 13:19].mean()


def test_any_size() -> None:
    for height, width in ((1, 1), (7, 9), (64, 65)):
        picture = photograph(leaves(height, width))
        assert sharpness_map(picture).shape == (-(-height // CELL), -(-width // CELL))
        judge_focus(picture)


def test_score_falls_with_defocus() -> None:
    sharp = leaves(160, 160)
    scores = [
        sharpness_score(sharpness_map(photograph(cv2.GaussianBlur(sharp, (0, 0), s)))) for s in (0.3, 0.8, 1.5, 3)
    ]
    assert (np.diff(scores) < 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_sharp_somewhere(seed: int) -> None:
    sharp = leaves(256, 320, seed)
    assert judge_focus(photograph(sharp)).verdict == "sharp"
    half = sharp.copy()
    half[:, 100:] = cv2.GaussianBlur(sharp, (0, 0), 5)[:, 100:]
    assert judge_focus(photograph(half)).verdict == "sharp"


def test_lines_of_one_direction_are_no_movement() -> None:
    light = leaves(256, 320)
    light[64:192] = 0.5 + 0.4 * np.sign(np.sin(np.arange(64, 192) / 3))[:, None]
    assert judge_focus(photograph(light)).verdict == "sharp"


@pytest.mark.parametrize("seed", range(3))
def test_wholly_out_of_focus(seed: int) -> None:
    focus = judge_focus(photograph(cv2.GaussianBlur(leaves(256, 320, seed), (0, 0), 3)))
    assert focus.verdict == "out of focus"
    assert focus.blur_px == pytest.approx(3, rel=0.35)


def test_nothing_to_see() -> None:
    focus = judge_focus(photograph(np.full((100, 100), 0.2), noise=3))
    assert focus.verdict == "out of focus"


@pytest.mark.parametrize("degrees", [0, 25, 60, 90, 120, 160])
@pytest.mark.parametrize("length", [8, 16])
def test_movement(degrees: float, length: float) -> None:
    focus = judge_focus(photograph(moved(leaves(256, 320, degrees), length, degrees)))
    assert focus.verdict == "motion blur"
    assert focus.motion_deg is not None
    assert abs((focus.motion_deg - degrees + 90) % 180 - 90) < 15


@pytest.mark.parametrize("capture", ["pod_mini", "tankard_mini"])
def test_no_false_alarms_on_defocused_captures(capture: str) -> None:
    paths = sorted((ASSETS / capture / "images").iterdir())
    assert paths
    verdicts = {path.name: judge_focus(np.asarray(Image.open(path).convert("RGB"))).verdict for path in paths}
    assert set(verdicts.values()) == {"sharp"}, verdicts
