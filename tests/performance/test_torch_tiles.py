"""The benchmark's yardstick computes the right thing: otherwise a ratio to it would mean nothing."""

import pytest
import torch

from macro_splat.ops.rasterizer import rasterization_reference
from tests.ops.rasterizer.splat_scenes import assert_agree, loss_weights, outputs_and_gradients, random_scene
from tests.performance.torch_tiles import rasterization_torch_tiles

pytestmark = pytest.mark.slow


def test_images_and_gradients_equal_the_reference():
    scene = random_scene(0, n=150, sh_degree=3, background=False, width=70, height=45)
    as_reference = scene.with_options(render_mode="RGB+ED")
    weights = loss_weights(as_reference, rasterization_reference)
    want = outputs_and_gradients(rasterization_reference, as_reference, torch.float64, weights)

    def tiles(absgrad, **arguments):
        return rasterization_torch_tiles(**arguments)

    got = outputs_and_gradients(tiles, scene, torch.float32, weights)
    assert_agree(got, want, 1e-4)
