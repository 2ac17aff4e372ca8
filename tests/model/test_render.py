"""The model's pictures: blurred by the lens in training, sharp otherwise; gradients reach the lens; edge cases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from torch import Tensor

from macro_splat.model.macro_splat_model import MacroSplatModel
from macro_splat.training.trainer import MacroSplatTrainer
from tests.model.trainers import (
    begin,
    do_step,
    make_crisp,
    render_as_trained,
    render_sharp,
    set_gaussians,
    training_view,
)

Build = Callable[..., MacroSplatTrainer]


def high_frequencies(picture: Tensor) -> float:
    """Mean square of the Laplacian."""
    p = picture.detach()
    return float((4 * p[1:-1, 1:-1] - p[:-2, 1:-1] - p[2:, 1:-1] - p[1:-1, :-2] - p[1:-1, 2:]).square().mean())


def spread(weight: Tensor) -> float:
    """Variance, in px², of a spot on black [H, W]: the mean of its two axes."""
    weight = weight.detach().double()
    variances = []
    for axis in (0, 1):
        profile = weight.sum(dim=axis) / weight.sum()
        place = torch.arange(len(profile), dtype=torch.float64)
        variances.append(float((profile * place**2).sum() - (profile * place).sum() ** 2))
    return sum(variances) / 2


def behind(camera: Cameras) -> Cameras:
    """The same camera turned round, so that the object is behind it."""
    turned = camera[0:1]
    turned.metadata = dict(camera.metadata)
    turned.camera_to_worlds = camera.camera_to_worlds * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    return turned


# -- blur in training, sharp otherwise -----------------------------------------------------------------------------


@pytest.mark.parametrize("view", [0, 3, 7])
def test_training_is_blurred_and_evaluation_is_sharp(build: Build, view: int) -> None:
    trainer = build()
    model = begin(trainer)
    make_crisp(model)
    camera, _ = training_view(trainer, view)
    blurred, sharp = render_as_trained(model, camera)["rgb"], render_sharp(model, camera)["rgb"]
    assert high_frequencies(blurred) < 0.8 * high_frequencies(sharp)
    plain = begin(build(mode="off"))
    make_crisp(plain)
    assert torch.equal(render_as_trained(plain, camera)["rgb"].detach(), sharp)
    assert torch.equal(render_sharp(plain, camera)["rgb"], sharp)


def test_views_that_were_held_out_are_sharp_in_training_mode_too(trainer: MacroSplatTrainer) -> None:
    model = trainer.pipeline.model
    camera, _ = trainer.pipeline.datamanager.next_eval(0)
    assert torch.equal(render_as_trained(model, camera)["rgb"].detach(), render_sharp(model, camera)["rgb"])


@pytest.mark.parametrize("num_downscales", [0, 1])
@pytest.mark.parametrize(("view", "behind_centre_mm"), [(0, 15.0), (1, -20.0), (2, 15.0)])
def test_a_point_is_blurred_as_the_lens_law_says(
    build: Build, capture: Path, view: int, behind_centre_mm: float, num_downscales: int
) -> None:
    # One Gaussian on the axis of the camera; everything is computed from the capture's own millimetres.
    transforms = json.loads((capture / "transforms.json").read_text())
    frame = transforms["frames"][view]
    pose = np.array(frame["transform_matrix"])
    depth = np.linalg.norm(pose[:3, 3]) + behind_centre_mm
    focal_px = transforms["fl_x"] / 2**num_downscales
    sigma_mm = 2.0 * depth / focal_px  # two pixels
    opacity = 0.9

    trainer = build(num_downscales=num_downscales, background_color="black")
    metadata = trainer.pipeline.datamanager.train_dataset.metadata
    transform, scale = metadata["dataparser_transform"].numpy(), metadata["dataparser_scale"]
    place = scale * (transform[:, :3] @ (pose[:3, 3] - depth * pose[:3, 2]) + transform[:, 3])
    camera, _ = training_view(trainer, view)

    pictures = []
    for built in (trainer, build(mode="off", num_downscales=num_downscales, background_color="black")):
        model = begin(built)
        set_gaussians(model, torch.from_numpy(place)[None], sigma_mm * scale, opacity, torch.ones(1, 3))
        pictures.append(render_as_trained(model, camera)["rgb"].detach()[..., 1])
    blurred, sharp = pictures
    diameter = 2 * frame["aperture_radius"] * focal_px * abs(1 / frame["focus_distance"] - 1 / depth)
    own, lens = 2.0**2 + 0.3, (diameter / 4) ** 2  # 0.3: the rasterizer's own widening
    assert lens > 0.9
    for picture, variance in ((sharp, own), (blurred, own + lens)):
        peak = opacity * own / variance  # light is kept: wider means fainter
        edge = math.log(255 * peak)  # nothing is drawn where the spot falls below 1/255
        drawn = 1 - math.exp(-edge)
        assert float(picture.sum()) == pytest.approx(2 * math.pi * variance * peak * drawn, rel=0.02)
        assert spread(picture) == pytest.approx(variance * (1 - edge * math.exp(-edge) / drawn), rel=0.02)


def test_pinholes_are_sharp_in_training(trainer: MacroSplatTrainer) -> None:
    model = trainer.pipeline.model
    model.lens.start_aperture.zero_()
    camera, _ = training_view(trainer, 2)
    torch.testing.assert_close(
        render_as_trained(model, camera)["rgb"].detach(), render_sharp(model, camera)["rgb"], rtol=0, atol=1e-5
    )


def test_a_wider_pupil_blurs_more(trainer: MacroSplatTrainer) -> None:
    model = trainer.pipeline.model
    make_crisp(model)
    camera, _ = training_view(trainer, 2)
    energies = []
    for log_pupil in (-2.0, -0.5, 0.0, 0.5):
        with torch.no_grad():
            model.lens.log_aperture_shared.fill_(log_pupil)
        energies.append(high_frequencies(render_as_trained(model, camera)["rgb"]))
    assert energies == sorted(energies, reverse=True)
    assert energies[0] > 2 * energies[-1]


def test_outputs(trainer: MacroSplatTrainer) -> None:
    model = trainer.pipeline.model
    camera, _ = training_view(trainer, 0)
    sharp = render_sharp(model, camera)
    assert sharp["rgb"].shape == sharp["background"].shape == (48, 64, 3)
    assert sharp["depth"].shape == sharp["accumulation"].shape == (48, 64, 1)
    blurred = render_as_trained(model, camera)
    assert blurred["rgb"].shape == (48, 64, 3)
    assert blurred["background"].shape == (3,)
    # The ball's near side is 110 mm away; nothing is nearer, and nothing of it farther than its centre.
    scale = trainer.pipeline.datamanager.train_dataset.metadata["dataparser_scale"]
    depth = sharp["depth"][20:28, 28:36].mean() / scale
    assert 109 < float(depth) < 121
    assert float(sharp["accumulation"][20:28, 28:36].min()) > float(sharp["accumulation"][0, 0])


# -- gradients of the lens -----------------------------------------------------------------------------------------


def test_gradients_of_the_lens_are_those_of_the_loss(trainer: MacroSplatTrainer) -> None:
    # Few, large and opaque: where a spot falls below 1/255 it ends, and that edge, which matters for faint ones, moves
    # with the blur but has no gradient.
    model = trainer.pipeline.model
    set_gaussians(model, model.means.detach()[:15], 0.03, 0.95, torch.rand(15, 3))
    model.config.defocus.given_weight = 0.0  # which pulls all views back
    view = 5
    lens = model.lens
    photograph = render_as_trained(model, training_view(trainer, view)[0])["rgb"].detach()
    with torch.no_grad():  # away from the start, where the slopes are 0
        lens.focus_offset_px.add_(0.8)
        lens.log_aperture_shared.add_(0.3)
        lens.log_aperture_residual.copy_(torch.linspace(-0.1, 0.1, 8))

    def loss() -> Tensor:
        camera, batch = training_view(trainer, view)
        outputs = render_as_trained(model, camera)
        return sum(model.get_loss_dict(outputs, {**batch, "image": photograph}).values())

    model.zero_grad()
    loss().backward()
    group = int(lens.group[view])
    for parameter, index in [
        (lens.focus_offset_px, (view,)),
        (lens.log_aperture_shared, ()),
        (lens.log_aperture_residual, (group,)),
        (lens.log_aperture_residual, ((group + 1) % 8,)),
    ]:
        step = 0.05
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[index] += sign * step
            values.append(float(loss()))
            with torch.no_grad():
                parameter[index] -= sign * step
        slope = (values[0] - values[1]) / (2 * step)
        assert abs(slope) > 1e-4
        assert float(parameter.grad[index]) == pytest.approx(slope, rel=0.06)
    others = torch.arange(8) != view
    assert (lens.focus_offset_px.grad[others] == 0).all()


@pytest.mark.slow
def test_a_wrong_focus_is_learnt(build: Build) -> None:
    # The Gaussians are the truth: with a focus that is off by 2 px of blur, the steps of the optimizer go back.
    trainer = build()
    model = begin(trainer)
    photographs = {}
    for view in range(8):
        camera, batch = training_view(trainer, view)
        photographs[view] = render_as_trained(model, camera)["rgb"].detach()
    with torch.no_grad():
        model.lens.focus_offset_px.fill_(1.0)
    optimizer = torch.optim.Adam([model.lens.focus_offset_px], lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        for view, photograph in photographs.items():
            camera, batch = training_view(trainer, view)
            outputs = render_as_trained(model, camera)
            model.get_loss_dict(outputs, {**batch, "image": photograph})["main_loss"].backward()
        optimizer.step()
    assert model.lens.focus_offset_px.abs().max() < 0.25


# -- edge cases ----------------------------------------------------------------------------------------------------


def test_crop_box_hides_what_is_outside(trainer: MacroSplatTrainer) -> None:
    model = trainer.pipeline.model
    camera, _ = training_view(trainer, 0)
    centre = model.means.detach().mean(dim=0)
    size = (model.means.detach() - centre).abs().max() * torch.tensor([1.0, 4.0, 4.0])
    box = OrientedBox(R=torch.eye(3), T=centre, S=size)
    inside = ((model.means.detach() - centre).abs() < size / 2).all(dim=1)
    assert 50 < int(inside.sum()) < 550
    model.eval()
    cropped = model.get_outputs_for_camera(camera, obb_box=box)["rgb"]
    whole = render_sharp(model, camera)["rgb"]
    assert (cropped - whole).abs().max() > 0.1

    # In training the box has no say, though the viewer may have set one.
    model.set_crop(box)
    boxed = render_as_trained(model, camera)["rgb"].detach()
    model.set_crop(None)
    assert torch.equal(boxed, render_as_trained(model, camera)["rgb"].detach())

    model.opacities.data[~inside] = -40.0  # invisible
    torch.testing.assert_close(render_sharp(model, camera)["rgb"], cropped, rtol=0, atol=1e-6)


def test_an_empty_crop_box_gives_an_empty_picture(build: Build) -> None:
    trainer = build(background_color="black")
    model = begin(trainer)
    camera, _ = training_view(trainer, 0)
    model.eval()
    box = OrientedBox(R=torch.eye(3), T=torch.full((3,), 50.0), S=torch.ones(3))
    outputs = model.get_outputs_for_camera(camera, obb_box=box)
    assert outputs["rgb"].shape == (48, 64, 3)
    assert not outputs["rgb"].any()
    assert not outputs["accumulation"].any()
    assert torch.isfinite(outputs["depth"]).all()


@pytest.mark.parametrize("background", ["auto", "white", "black"])
def test_a_camera_that_sees_nothing_shows_the_background(build: Build, background: str) -> None:
    trainer = build(background_color=background)
    model = begin(trainer)
    camera = behind(training_view(trainer, 0)[0])
    expected = {"white": torch.ones(3), "black": torch.zeros(3), "auto": model.background}[background]
    outputs = render_sharp(model, camera)
    assert torch.equal(outputs["rgb"], expected.expand(48, 64, 3))
    assert torch.equal(outputs["background"], expected.expand(48, 64, 3))
    assert not outputs["accumulation"].any()
    assert torch.isfinite(outputs["depth"]).all()


def test_training_goes_on_past_a_view_that_sees_nothing(
    trainer: MacroSplatTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: MacroSplatModel = trainer.pipeline.model
    datamanager = trainer.pipeline.datamanager
    next_train = datamanager.next_train

    def turned_round(step: int) -> tuple[Cameras, dict]:
        camera, batch = next_train(step)
        return behind(camera), batch

    monkeypatch.setattr(datamanager, "next_train", turned_round)
    for step in range(3):
        assert math.isfinite(do_step(trainer, step))
    monkeypatch.undo()
    before = model.means.detach().clone()
    assert math.isfinite(do_step(trainer, 3))
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all(), name
    assert not torch.equal(model.means.detach(), before)


@pytest.mark.parametrize("sh_degree", [1, 3])
def test_colour_depends_on_the_direction_in_evaluation(build: Build, sh_degree: int) -> None:
    # All degrees are in evaluation of a loaded model, which knows no schedule.
    trainer = build(sh_degree=sh_degree)
    model = begin(trainer)
    model.schedule = None
    camera, _ = training_view(trainer, 0)
    plain = render_sharp(model, camera)["rgb"]
    with torch.no_grad():
        model.features_rest[:, -1] = 0.5
    assert (render_sharp(model, camera)["rgb"] - plain).abs().max() > 0.02
