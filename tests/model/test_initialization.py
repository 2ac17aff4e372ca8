"""What is found out from photographs that are looked at reduced: where nothing is, and how much noise is there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from macro_splat.data.cache import CachedView, TensorStore
from macro_splat.model.background import AROUND_POINT
from macro_splat.model.initialization import _find_silhouettes

WIDTH, HEIGHT = 1702, 1301
"""Reduced by 2; a row is left over."""
ROW, COLUMN, HALF = 600, 500, 100
"""Of a bright square."""


def views(there: list[bool], noise: float) -> list[CachedView]:
    """Photographs in uint8, with a bright square or without."""
    generator = np.random.default_rng(0)
    result = []
    for shown in there:
        picture = np.zeros((HEIGHT, WIDTH, 3))
        if shown:
            picture[ROW - HALF : ROW + HALF, COLUMN - HALF : COLUMN + HALF] = 0.8
        picture = (picture + generator.normal(scale=noise, size=picture.shape)).clip(0, 1)
        image = torch.from_numpy(np.round(255 * picture).astype(np.uint8))
        result.append(CachedView(TensorStore(10**9), {"image": image}))
    return result


def cameras(count: int) -> Cameras:
    """At one place, looking along −z, the middle of the square 2 before them at (−0.2, 0.1)."""
    pose = torch.eye(4)[:3].repeat(count, 1, 1)
    centre = COLUMN + 100.0, ROW + 50.0
    return Cameras(pose, fx=1000.0, fy=1000.0, cx=centre[0], cy=centre[1], width=WIDTH, height=HEIGHT)


def test_of_photographs_at_full_size() -> None:
    shown = views([True, True, False], noise=0.02)
    config = SimpleNamespace(defocus=SimpleNamespace(sensor_noise=True))
    model = SimpleNamespace(background=torch.zeros(3), device=torch.device("cpu"), config=config)
    _find_silhouettes(model, shown, cameras(3), torch.tensor([[-0.2, 0.1, -2.0]]))  # type: ignore[arg-type]
    assert not model.cluttered
    # Noise is measured on the photographs as they are: reduced ones have half of it.
    assert model.sensor_noise.scatter.numpy() == pytest.approx(0.02, rel=0.07)

    rows, columns = np.indices((HEIGHT, WIDTH))
    square = np.maximum(abs(rows + 0.5 - ROW), abs(columns + 0.5 - COLUMN))
    distance = np.hypot(rows + 0.5 - ROW, columns + 0.5 - COLUMN)
    for view in shown:
        assert view["empty"].shape == (HEIGHT, WIDTH, 1)
    for view in shown[:2]:
        empty = view["empty"][..., 0].numpy()
        assert not empty[square < HALF].any()
        assert empty[square > HALF + 20].mean() > 0.99
    without = shown[2]["empty"][..., 0].numpy()
    reach = AROUND_POINT * WIDTH
    assert not without[distance < reach - 4].any()
    assert without[distance > reach + 8].mean() > 0.99
