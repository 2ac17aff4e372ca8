"""World-to-camera matrices for gsplat, without nerfstudio's `torch.compile`.

nerfstudio 1.1.5 compiles these few lines with `torch.compile` (`splatfacto.get_viewmat`): on a CPU the first call
takes half a minute and a C++ compiler, and saves nothing afterwards.

Can go when nerfstudio's own function is a plain one.
"""

import torch
from torch import Tensor


def get_viewmat(camera_to_world: Tensor) -> Tensor:
    """World-to-camera matrices in gsplat's axes, differentiable.

    nerfstudio's cameras look along -z with y up (OpenGL), gsplat's along +z with y down (OpenCV): the y and z columns
    change sign. A rigid motion [R t] has the inverse [R^T, -R^T t].

    Args:
        camera_to_world: [C, 3 or 4, 4], rotation and translation.

    Returns:
        [C, 4, 4] of the same type and device.
    """
    flip = camera_to_world.new_tensor([1.0, -1.0, -1.0])
    rotation = (camera_to_world[:, :3, :3] * flip).transpose(1, 2)
    translation = -rotation @ camera_to_world[:, :3, 3:4]
    last_row = camera_to_world.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(camera_to_world), 1, 4)
    return torch.cat([torch.cat([rotation, translation], dim=2), last_row], dim=1)
