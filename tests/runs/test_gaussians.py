"""Splats that are moved look the same from a camera that is moved along."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation

from macro_splat.runs.frame import OutputFrame, output_frame
from macro_splat.runs.gaussians import Gaussians
from tests.end_to_end.outputs import psnr
from tests.runs.splats import looking_at_origin, random_splats

SAME_DB = 60.0


def picture(gaussians: Gaussians, world_to_camera: torch.Tensor, near: float) -> torch.Tensor:
    view = looking_at_origin(torch.tensor([0.0, 0.0, 3.0]), 60.0, 48)
    return gaussians.render(world_to_camera, view.intrinsics, 48, 48, near, antialiased=False)[0]


@pytest.mark.parametrize("degree", [0, 1, 3])
@pytest.mark.parametrize("scale", [1.0, 25.0])
def test_a_moved_object_from_a_moved_camera(degree: int, scale: float) -> None:
    gaussians = random_splats(degree=degree)
    rotation = torch.from_numpy(Rotation.random(rng=4).as_matrix())
    frame = OutputFrame(scale, rotation, torch.tensor([3.0, -40.0, 7.0]).double(), "mm")
    pose = torch.tensor([[1.0, 0, 0, 0.2], [0, 1, 0, -0.1], [0, 0, 1, 2.5]])  # OpenGL: looks along -z
    still = OutputFrame(1.0, torch.eye(3).double(), torch.zeros(3).double(), "mm")
    before = picture(gaussians, still.world_to_camera(pose), 0.01)
    after = picture(frame.move(gaussians), frame.world_to_camera(pose), 0.01 * scale)
    assert before.std() > 0.1
    assert psnr(before.numpy(), after.numpy()) > SAME_DB
    if degree:
        # The check sees it when only the harmonics are left as they were.
        wrong = frame.move(gaussians)
        wrong = Gaussians(wrong.means, wrong.quats, wrong.scales, wrong.opacities, gaussians.sh)
        assert psnr(before.numpy(), picture(wrong, frame.world_to_camera(pose), 0.01 * scale).numpy()) < 40


def test_the_frame_leads_back_to_the_capture() -> None:
    rotation = torch.from_numpy(Rotation.random(rng=5).as_matrix())
    shift = torch.tensor([1.0, 2.0, 3.0]).double()
    world = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    model = 0.01 * (world @ rotation.T + shift)
    metadata = {
        "dataparser_scale": 0.01,
        "dataparser_transform": torch.cat([rotation, shift[:, None]], dim=1),
        "mm_per_unit": 10.0,  # the capture is in cm
    }
    frame = output_frame(metadata)
    assert frame.unit == "mm"
    torch.testing.assert_close(frame.move_points(model), 10 * world)
    unknown = output_frame(metadata | {"mm_per_unit": None})
    assert unknown.unit == "scene units, scale unknown"
    torch.testing.assert_close(unknown.move_points(model), world)
    torch.testing.assert_close(output_frame(metadata, "model").move_points(model), model)
