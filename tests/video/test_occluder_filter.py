"""What hides the object from a film's camera is left out, and nothing of the object or behind it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras

from macro_splat.video.occluder_filter import OccluderFilter


def test_what_floats_before_the_object_is_left_out() -> None:
    """A camera at z = 10 looks down on the object at the origin; its picture is as wide as its distance."""
    pose = torch.eye(4)[None, :3].clone()
    pose[0, 2, 3] = 10.0
    camera = Cameras(pose, fx=100.0, fy=100.0, cx=50.0, cy=40.0, width=100, height=80)
    places = [  # depth, standard deviation, shown
        (10.0, 0.1, True),
        (7.0, 0.1, True),  # the object's front
        (7.0, 1.9, False),  # a veil: wider than a quarter of the picture there, 1.75
        (7.0, 1.7, True),
        (3.0, 0.01, False),  # nearer than four tenths of the way
        (14.0, 5.0, True),  # the ground behind
        (-1.0, 0.1, False),  # behind the camera
    ]
    depth, size, shown = (np.array(column) for column in zip(*places, strict=True))
    means = torch.zeros(len(places), 3)
    means[:, 2] = torch.from_numpy(10.0 - depth)
    scales = torch.full((len(places), 3), 0.001)
    scales[:, 1] = torch.from_numpy(size)
    sight = OccluderFilter(SimpleNamespace(scales=scales.log()), camera, np.zeros(3))
    np.testing.assert_array_equal(sight.within(means)[:, 0].numpy(), shown)


def test_a_camera_farther_away_sees_no_more() -> None:
    """What the training cameras had before them at 10 is hidden from 15 too."""
    pose = torch.eye(4)[None, :3].clone()
    pose[0, 2, 3] = 15.0
    camera = Cameras(pose, fx=100.0, fy=100.0, cx=50.0, cy=40.0, width=100, height=80)
    means = torch.tensor([[0.0, 0.0, 5.9], [0.0, 0.0, 6.1], [0.0, 0.0, 9.5]])  # they stood free from 6 on
    model = SimpleNamespace(scales=torch.full((3, 3), 0.01).log())
    within = OccluderFilter(model, camera, np.zeros(3), usual=10.0).within(means)[:, 0]
    assert within.tolist() == [True, False, False]
