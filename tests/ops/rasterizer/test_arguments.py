"""Wrong arguments: an error that names the argument, what it is and what it should be. No kernel runs."""

import pytest
import torch

from macro_splat.ops.rasterizer import rasterization
from tests.ops.rasterizer.splat_scenes import random_scene


@pytest.fixture
def arguments():
    scene = random_scene(0, n=10, n_cameras=2, blur=True)
    return {k: v.float() for k, v in scene.tensors.items()} | {"width": 45, "height": 37}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("means", torch.zeros(10, 2), r"means has shape \[10, 2\], wanted \[10, 3\]"),
        ("quats", torch.zeros(9, 4), r"quats has shape \[9, 4\], wanted \[10, 4\]"),
        ("scales", torch.zeros(10), r"scales has shape \[10\], wanted \[10, 3\]"),
        ("opacities", torch.zeros(10, 1), r"opacities has shape \[10, 1\], wanted \[10\]"),
        ("colors", torch.zeros(10), r"colors has shape \[10\], wanted \[10, any\] or \[2, 10, any\]"),
        ("colors", torch.zeros(3, 10, 3), r"colors has shape \[3, 10, 3\], wanted \[2, 10, any\]"),
        ("viewmats", torch.zeros(4, 4), r"viewmats has shape \[4, 4\], wanted \[4, 4, 4\]"),
        ("Ks", torch.zeros(3, 3, 3), r"Ks has shape \[3, 3, 3\], wanted \[2, 3, 3\]"),
        ("backgrounds", torch.zeros(3), r"backgrounds has shape \[3\], wanted \[2, 3\]"),
        ("blur_variance", torch.zeros(10), r"blur_variance has shape \[10\], wanted \[2, 10\]"),
        ("blur_variance", torch.full((2, 10), -0.5), "blur_variance is -0.5 somewhere"),
        ("blur_variance", torch.full((2, 10), torch.nan), "blur_variance is nan somewhere"),
        ("viewmats", torch.zeros(0, 4, 4), r"\[2, 3, 3\], wanted \[0, 3, 3\]"),
        ("width", 0, "width is 0"),
        ("height", 1.5, "height is 1.5"),
        ("render_mode", "RGBD", "render_mode is 'RGBD'"),
        ("rasterize_mode", "mip", "rasterize_mode is 'mip'"),
        ("sh_degree", 4, "sh_degree is 4"),
        ("sh_degree", 1, r"colors has shape \[10, 3\], wanted \[10, any, 3\]"),
    ],
)
def test_wrong_values_are_named(arguments, name, value, wanted):
    arguments[name] = value
    with pytest.raises(ValueError, match=wanted):
        rasterization(**arguments)


def test_too_few_coefficients_are_named(arguments):
    arguments.update(colors=torch.zeros(10, 4, 3), sh_degree=2)
    with pytest.raises(ValueError, match="4 coefficients per Gaussian, sh_degree 2 needs 9"):
        rasterization(**arguments)


def test_other_dtypes_are_named(arguments):
    arguments["scales"] = arguments["scales"].double()
    with pytest.raises(TypeError, match=r"scales is torch\.float64, it must be torch\.float32"):
        rasterization(**arguments)


def test_a_thing_that_is_no_tensor_is_named(arguments):
    arguments["opacities"] = [0.5] * 10
    with pytest.raises(TypeError, match="opacities is a list"):
        rasterization(**arguments)


def test_devices_are_named(arguments):
    arguments["Ks"] = arguments["Ks"].to("meta")
    with pytest.raises(ValueError, match="Ks is on meta, but means is on cpu"):
        rasterization(**arguments)
    everywhere = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match="only cpu and cuda"):
        rasterization(**everywhere)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("packed", True),
        ("tile_size", 8),
        ("sparse_grad", True),
        ("distributed", True),
        ("camera_model", "fisheye"),
        ("covars", torch.eye(3).repeat(10, 1, 1)),
    ],
)
def test_unsupported_options_of_gsplat_are_refused(arguments, name, value):
    with pytest.raises(NotImplementedError, match=rf"{name}=.* is not supported"):
        rasterization(**arguments, **{name: value})
