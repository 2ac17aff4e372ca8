"""Slices that breathe, put on top of each other and fused: against the picture that they were made of."""

import cv2
import numpy as np
import pytest

from macro_splat.process.previews import fuse
from macro_splat.process.stacks.alignment import SliceAlignment
from macro_splat.process.stacks.fusion import register, sharpest_slice


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, (height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.repeat(np.clip(0.5 + 0.2 * blurred / blurred.std(), 0, 1)[..., None], 3, axis=2)


def test_register_puts_back_scale_and_shift() -> None:
    # A smooth picture of x and y alone: its value tells where it was taken.
    y, x = np.mgrid[:41, :61].astype(np.float32)
    place = np.stack([x, y, np.zeros_like(x)], axis=2)
    back = register(place, SliceAlignment(scale=1.1, shift_px=(2.0, -1.0), confidence=1.0))
    assert back[20, 30].tolist() == pytest.approx([30 + 2.0, 20 - 1.0, 0])
    assert back[25, 40].tolist() == pytest.approx([30 + 11.0 + 2.0, 20 + 5.5 - 1.0, 0], abs=1e-4)


@pytest.mark.parametrize("step", [0.0, 0.01])
def test_each_half_of_a_breathing_stack_is_from_its_sharp_slice(step: float) -> None:
    truth = texture(160, 240)
    slices = []
    for k in range(3):  # sharp on the left, in the middle, on the right
        x = np.arange(240)
        sigma = np.abs(x - (40 + 80 * k)) / 40
        levels = np.stack([truth, *(cv2.GaussianBlur(truth, (0, 0), s) for s in (1.0, 2.0, 3.0, 4.0))])
        low = np.clip(sigma.astype(int), 0, 3)
        share = np.clip(sigma - low, 0, 1)[:, None]
        picture = (1 - share) * levels[low, :, x].transpose(1, 0, 2) + share * levels[low + 1, :, x].transpose(1, 0, 2)
        breathing = SliceAlignment(1 / (1 + step * (k - 1)), (0.0, 0.0), 1.0)
        slices.append(np.round(255 * register(picture.astype(np.float32), breathing)).astype(np.uint8))
    fused, chosen = fuse(slices)
    inner = (slice(20, -20), slice(20, -20))

    def error(picture: np.ndarray) -> float:
        return float(np.abs(picture[inner] / 255 - truth[inner]).mean())

    assert error(fused) < 0.6 * min(error(picture) for picture in slices)
    places = np.array([np.median(chosen[20:-20, x - 10 : x + 10]) for x in (45, 120, 195)])
    assert places.tolist() == [0, 1, 2]
    assert sharpest_slice([p.astype(np.float32) / 255 for p in slices]).shape == (160, 240)
