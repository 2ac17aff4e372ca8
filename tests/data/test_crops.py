"""Parts of photographs: where they lie, what their cameras see, and that they go on where they were interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from macro_splat.data.crops import Crop, random_crop
from tests.captures import write_capture
from tests.data.test_datamanager import manager


def test_every_pixel_comes_up_equally_often() -> None:
    generator = torch.Generator().manual_seed(0)
    count = np.zeros((300, 400))
    for _ in range(4000):
        crop = random_crop(400, 300, 30_000, generator)
        assert crop is not None
        assert crop.width * crop.height <= 30_000
        count[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] += 1
    count /= count.mean()
    cells = count.reshape(6, 50, 8, 50).mean(axis=(1, 3))
    assert 0.8 < cells.min() < cells.max() < 1.2
    border = np.concatenate([count[0], count[-1], count[:, 0], count[:, -1]])
    assert 0.75 < border.min() < border.max() < 1.3


@pytest.mark.parametrize("size", [(400, 300), (6000, 4000), (100, 3000), (65, 64)])
def test_parts_lie_within_the_photograph(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(300):
        crop = random_crop(*size, 0.1 * size[0] * size[1], generator)
        assert crop is not None
        assert 0 <= crop.left <= crop.left + crop.width <= size[0]
        assert 0 <= crop.top <= crop.top + crop.height <= size[1]
        assert min(crop.width, crop.height) >= min(20, 0.3 * min(size))


def test_small_photographs_stay_whole() -> None:
    assert random_crop(400, 300, 120_000, torch.Generator()) is None


def test_a_camera_of_a_part_sees_that_part() -> None:
    camera = Cameras(torch.eye(4)[None, :3], fx=90.0, fy=80.0, cx=52.0, cy=37.0, width=100, height=80)
    camera.metadata = {"cam_idx": 3}
    crop = Crop(20, 10, 30, 40, 100, 80)
    seen = crop.camera(camera)
    assert seen.metadata["cam_idx"] == 3
    point = torch.tensor([0.1, -0.2, -1.5])  # nerfstudio's cameras look along -z
    for one, corner in ((camera, (0, 0)), (seen, (20, 10))):
        k = one.get_intrinsics_matrices()[0]
        x, y = k[0, 0] * point[0] / 1.5 + k[0, 2], -k[1, 1] * point[1] / 1.5 + k[1, 2]
        assert (float(x) + corner[0], float(y) + corner[1]) == pytest.approx((58.0, 47.6667), abs=1e-3)
    wide = crop.widened(8)
    assert (wide.left, wide.top, wide.width, wide.height) == (12, 2, 46, 56)
    inner = crop.within(wide)
    picture = torch.arange(8000).reshape(80, 100)
    torch.testing.assert_close(inner.of(wide.of(picture)), crop.of(picture))
    beyond = crop.widened(15, cell=4)
    assert (beyond.left, beyond.top, beyond.width, beyond.height) == (4, -8, 61, 73), "from whole cells on"


def test_batches_of_parts(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, views=3, width=48, height=36)
    parts = manager(folder, step_megapixels=0.0006)
    whole = manager(folder, step_megapixels=0)
    expected = []
    for step in range(12):
        camera, batch = parts.next_train(step)
        crop = camera.metadata["crop"]
        assert batch["image"].shape[:2] == (crop.height, crop.width) == (int(camera.height), int(camera.width))
        photograph = whole.cached_train[camera.metadata["cam_idx"]]["image"]
        torch.testing.assert_close(batch["image"], crop.of(photograph))
        expected.append(crop)
        if step == 5:
            state = {name: value.clone() for name, value in parts.sampler_state().items()}
    resumed = manager(folder, step_megapixels=0.0006)
    resumed.restore_sampler_state(state)
    assert [resumed.next_train(step)[0].metadata["crop"] for step in range(6)] == expected[6:]
    assert "crop" not in whole.next_train(0)[0].metadata
