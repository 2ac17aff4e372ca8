"""What is planted around an object is taken off, and the object stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from macro_splat.runs.clean import CleanConfig, clean
from macro_splat.runs.gaussians import Gaussians
from tests.runs.splats import ball, views_around


def with_one(gaussians: Gaussians, **changes: torch.Tensor) -> Gaussians:
    """One more splat at the end: the first one, changed."""
    values = {name: getattr(gaussians, name) for name in ("means", "quats", "scales", "opacities", "sh")}
    added = {name: changes.get(name, value[0]) for name, value in values.items()}
    return Gaussians(**{name: torch.cat([value, added[name][None]]) for name, value in values.items()})


@pytest.mark.parametrize("known_points", [True, False])
@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("faint", {"opacities": torch.tensor(0.01)}),
        ("too large", {"scales": torch.tensor([0.1, 0.1, 3.0])}),
        ("too far", {"means": torch.tensor([0.0, 25.0, 0.0])}),
        ("floating", {"means": torch.tensor([0.0, 18.0, 0.0])}),
    ],
)
def test_each_reason(reason: str, changes: dict[str, torch.Tensor], known_points: bool) -> None:
    gaussians = ball()
    points = gaussians.means[::30] if known_points else None
    left, removed = clean(with_one(gaussians, **changes), views_around(100), points, CleanConfig())
    assert {name: count for name, count in removed.items() if count} == {reason: 1}
    assert torch.equal(left.means, gaussians.means)


def test_nothing_is_left(tmp_path: Path) -> None:
    left, removed = clean(ball(), [], None, CleanConfig(min_opacity=0.99))
    assert len(left) == 0
    assert removed == {"faint": 6000}


@pytest.mark.parametrize(("masked_views", "removed_count"), [(14, 1), (5, 0)])
def test_masks_have_a_say(tmp_path: Path, masked_views: int, removed_count: int) -> None:
    """White where the ball is; the stray one stands beside it in most views."""
    views = views_around(100, size=120)
    rows, columns = np.mgrid[:120, :120] + 0.5
    inside = (rows - 60) ** 2 + (columns - 60) ** 2 < 33**2
    for i, view in enumerate(views):
        path = tmp_path / f"{i}.png"
        Image.fromarray((255 * (inside if i < masked_views else np.ones_like(inside))).astype(np.uint8)).save(path)
        views[i] = replace(view, mask=path)
    gaussians = ball()
    stray = with_one(gaussians, means=torch.tensor([0.0, 15.0, 0.0]))
    left, removed = clean(stray, views, None, CleanConfig())
    assert removed["masked out"] == removed_count
    assert len(left) == len(gaussians) + 1 - removed_count
