"""What is found out from photographs that are looked at reduced: where nothing is, and how much noise is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from numpy.typing import NDArray

from macro_splat.model.background import AROUND_POINT
from macro_splat.model.initialization import find_silhouettes
from macro_splat.model.sensor_noise import SensorNoise

WIDTH, HEIGHT = 1702, 1301
"""Reduced by 2; a row is left over."""
ROW, COLUMN, HALF = 600, 500, 100
"""Of a bright square."""


def photographs(there: list[bool], noise: float) -> list[NDArray[np.uint8]]:
    """Photographs in uint8, with a bright square or without."""
    generator = np.random.default_rng(0)
    result = []
    for shown in there:
        picture = np.zeros((HEIGHT, WIDTH, 3))
        if shown:
            picture[ROW - HALF : ROW + HALF, COLUMN - HALF : COLUMN + HALF] = 0.8
        picture = (picture + generator.normal(scale=noise, size=picture.shape)).clip(0, 1)
        result.append(np.round(255 * picture).astype(np.uint8))
    return result


def cameras(count: int) -> Cameras:
    """At one place, looking along −z, the middle of the square 2 before them at (−0.2, 0.1)."""
    pose = torch.eye(4)[:3].repeat(count, 1, 1)
    centre = COLUMN + 100.0, ROW + 50.0
    return Cameras(pose, fx=1000.0, fy=1000.0, cx=centre[0], cy=centre[1], width=WIDTH, height=HEIGHT)


@pytest.mark.slow
def test_of_photographs_at_full_size() -> None:
    shown = photographs([True, True, False], noise=0.02)
    masks: dict[int, NDArray[np.bool_]] = {}
    black, point = np.zeros(3, np.float32), np.array([[-0.2, 0.1, -2.0]])
    found = find_silhouettes(shown, cameras(3), black, point, masks.__setitem__)
    assert found.plain
    # Noise is measured on the photographs as they are: reduced ones have half of it.
    noise = SensorNoise.of_background(found.samples, black, torch.device("cpu"))
    assert noise.scatter.numpy() == pytest.approx(0.02, rel=0.07)

    rows, columns = np.indices((HEIGHT, WIDTH))
    square = np.maximum(abs(rows + 0.5 - ROW), abs(columns + 0.5 - COLUMN))
    distance = np.hypot(rows + 0.5 - ROW, columns + 0.5 - COLUMN)
    assert [masks[view].shape for view in range(3)] == 3 * [(HEIGHT, WIDTH)]
    for empty in (masks[0], masks[1]):
        assert not empty[square < HALF].any()
        assert empty[square > HALF + 20].mean() > 0.99
    without = masks[2]
    reach = AROUND_POINT * WIDTH
    assert not without[distance < reach - 4].any()
    assert without[distance > reach + 8].mean() > 0.99
