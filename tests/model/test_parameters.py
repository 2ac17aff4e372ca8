"""The model's parameters: made before the optimizers, each in one group, kept on loading; start, schedule, export."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.models.splatfacto import SplatfactoModel

from macro_splat.errors import MacroSplatError
from macro_splat.method import macro_splat
from macro_splat.ops.rasterizer import rasterization
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import BALL_RADIUS_MM, WORKING_DISTANCE_MM, write_capture
from tests.model.trainers import C0, begin, do_step, render_sharp, training_view

Build = Callable[..., MacroSplatTrainer]


def held(trainer: MacroSplatTrainer) -> list[int]:
    """Identities of all parameters that the optimizers hold."""
    optimizers = trainer.optimizers.optimizers.values()
    return [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]


# -- the optimizers' view ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("camera_mode", ["off", "SO3xR3"])
@pytest.mark.parametrize("mode", ["splat", "image", "off"])
def test_every_parameter_is_in_exactly_one_group(build: Build, mode: str, camera_mode: str) -> None:
    trainer = build(mode=mode, camera_optimizer=CameraOptimizerConfig(mode=camera_mode))
    model = trainer.pipeline.model
    groups = model.get_param_groups()
    assert set(groups) <= set(macro_splat.config.optimizers)
    count = Counter(id(p) for group in groups.values() for p in group)
    # nerfstudio's own marker of the device has no values to learn.
    ours = {name: p for name, p in model.named_parameters() if p.requires_grad and name != "device_indicator_param"}
    assert {name: count[id(p)] for name, p in ours.items()} == dict.fromkeys(ours, 1)
    assert mode == "off" or any("lens" in name for name in ours)
    assert ("camera_optimizer.pose_adjustment" in ours) == (camera_mode != "off")
    assert sorted(held(trainer)) == sorted(map(id, ours.values()))


def test_the_optimizers_hold_the_parameters_during_training(build: Build) -> None:
    # Through the look at the photographs and the first rounds of adding and removing Gaussians.
    trainer = build(warmup_length=2, refine_every=2, densify_grad_thresh=1e-5)
    lens = set(map(id, trainer.pipeline.model.lens.parameters()))
    start = [p.detach().clone() for p in trainer.pipeline.model.lens.parameters()]
    for step in range(14):
        do_step(trainer, step)
    model = trainer.pipeline.model
    assert model.num_points != 600
    assert lens == set(map(id, model.lens.parameters()))
    learnt = [p for name, p in model.named_parameters() if name != "device_indicator_param"]
    assert sorted(held(trainer)) == sorted(map(id, learnt))
    for before, after in zip(start, model.lens.parameters(), strict=True):
        assert (before != after).any(), "the lens is not learnt"


# -- loading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [250, 600, 900])
def test_loading_keeps_the_parameters_that_the_optimizers_hold(build: Build, count: int) -> None:
    trainer = build()
    do_step(trainer, 0)
    model = trainer.pipeline.model
    rows = torch.arange(count) % 600
    state = {
        name: (value[rows] + 0.01 if name.startswith("gauss_params.") else value).clone()
        for name, value in model.state_dict().items()
    }
    state["background"] = torch.tensor([0.1, 0.2, 0.3])
    before = {name: p for name, p in model.named_parameters()}
    model.load_state_dict(state)
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in after)
    assert model.num_points == count
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert sorted(held(trainer)) == sorted(id(p) for n, p in after.items() if n != "device_indicator_param")


@pytest.mark.slow
def test_a_loaded_model_renders_what_was_saved(build: Build) -> None:
    trainer = build(warmup_length=2, refine_every=2, densify_grad_thresh=1e-5)
    for step in range(14):
        do_step(trainer, step)
    pipeline = trainer.pipeline
    camera, _ = pipeline.datamanager.next_eval(0)
    expected = render_sharp(pipeline.model, camera)["rgb"]

    other = build().pipeline
    assert other.model.num_points != pipeline.model.num_points
    other.load_pipeline(pipeline.state_dict(), 13)
    other.model.step = pipeline.model.step
    assert torch.equal(render_sharp(other.model, camera)["rgb"], expected)
    assert torch.equal(other.model.background, pipeline.model.background)
    torch.testing.assert_close(other.model.lens.focus_distance(), pipeline.model.lens.focus_distance(), rtol=0, atol=0)


def test_a_checkpoint_without_the_lens_is_refused(build: Build) -> None:
    model = build().pipeline.model
    state = {name: value for name, value in model.state_dict().items() if "lens" not in name}
    with pytest.raises(RuntimeError, match="focus_offset_px"):
        model.load_state_dict(state)


# -- start ---------------------------------------------------------------------------------------------------------


def test_seeds_have_the_places_and_colours_of_the_points(build: Build) -> None:
    trainer = build(num_init_gaussians=700)
    model = trainer.pipeline.model
    metadata = trainer.pipeline.datamanager.train_dataset.metadata
    assert model.num_points == 700
    torch.testing.assert_close(model.means.detach()[:600], metadata["points3D_xyz"])
    torch.testing.assert_close(model.colors.detach()[:600], metadata["points3D_rgb"] / 255.0)
    assert not model.features_rest.any()
    assert model.features_rest.shape == (700, 15, 3)


def test_random_start(build: Build) -> None:
    model = build(random_init=True, num_random=321).pipeline.model
    assert model.num_points == len(model.features_dc) == 321


def test_the_slices_of_a_stack_share_an_aperture(build: Build, tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "stacks", views=3, slices=2, width=64, height=48)
    trainer = build(folder)
    group = trainer.pipeline.model.lens.group
    stacks = trainer.pipeline.datamanager.train_dataset.metadata["stack_id"].reshape(-1)
    assert len(group) == 6
    assert torch.equal(group[:, None] == group, stacks[:, None] == stacks)
    assert len(trainer.pipeline.model.lens.log_aperture_residual) == 3


def test_the_lens_starts_as_the_capture_says(trainer: MacroSplatTrainer) -> None:
    model, cameras = trainer.pipeline.model, trainer.pipeline.datamanager.train_dataset.cameras
    torch.testing.assert_close(model.lens.focus_distance(), cameras.metadata["lens"].focus_distance[:, 0])
    torch.testing.assert_close(model.lens.aperture_radius(), cameras.metadata["lens"].aperture_radius[:, 0])


def test_what_is_learnt_is_not_forgotten_at_a_later_step(trainer: MacroSplatTrainer) -> None:
    # Only step 0 looks at the photographs: a resumed training goes on with the lens and the background it has.
    model = trainer.pipeline.model
    with torch.no_grad():
        model.lens.focus_offset_px.fill_(0.4)
        model.background.fill_(0.9)
    begin(trainer, 7)
    assert (model.lens.focus_offset_px == 0.4).all()
    assert (model.background == 0.9).all()


# -- background ----------------------------------------------------------------------------------------------------


def test_automatic_background_is_that_of_the_photographs(trainer: MacroSplatTrainer) -> None:
    model = trainer.pipeline.model
    camera, batch = training_view(trainer, 0)
    corner = batch["image"][0, 0] / 255.0
    assert float(corner[0]) > 0.7
    torch.testing.assert_close(model.background, corner)
    assert "background" in model.state_dict()
    picture = render_sharp(model, camera)
    torch.testing.assert_close(picture["rgb"][0, 0], corner)
    torch.testing.assert_close(picture["background"][3, 4], corner)


@pytest.mark.parametrize(("name", "level"), [("black", 0.0), ("white", 1.0)])
def test_a_background_that_is_chosen(build: Build, name: str, level: float) -> None:
    trainer = build(background_color=name)
    model = begin(trainer)
    camera, _ = training_view(trainer, 0)
    assert (render_sharp(model, camera)["rgb"][0, 0] == level).all()
    model.train()
    assert (model.get_outputs(camera)["background"] == level).all()
    assert model.config.background_color == name


def test_random_background_changes_from_step_to_step(build: Build) -> None:
    trainer = build(background_color="random")
    model = begin(trainer)
    camera, _ = training_view(trainer, 0)
    first, second = (model.get_outputs(camera)["background"] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(render_sharp(model, camera)["rgb"], render_sharp(model, camera)["rgb"])


# -- schedule ------------------------------------------------------------------------------------------------------


def test_steps_follow_the_number_of_iterations(build: Build) -> None:
    model = build().pipeline.model
    strategy = model.strategy
    assert (strategy.refine_start_iter, strategy.refine_stop_iter) == (100, 360)  # of 600
    assert strategy.reset_every > 600
    model.step = 0
    assert model._sh_degree_now() == 0
    model.step = 599
    assert model._sh_degree_now() == 3


def test_steps_that_are_given_are_taken(build: Build) -> None:
    model = build(
        warmup_length=7, stop_split_at=77, refine_every=5, reset_alpha_every=3, sh_degree_interval=50
    ).pipeline.model
    strategy = model.strategy
    assert (strategy.refine_start_iter, strategy.refine_stop_iter, strategy.refine_every) == (7, 77, 5)
    assert strategy.reset_every == 15
    model.step = 101
    assert model._sh_degree_now() == 2


def test_lengths_are_those_of_the_object_and_of_a_pixel_on_it(build: Build) -> None:
    trainer = build()
    dataset = trainer.pipeline.datamanager.train_dataset
    scale = dataset.metadata["dataparser_scale"]
    lr = trainer.optimizers.optimizers["means"].param_groups[0]["lr"]
    assert lr == pytest.approx(0.2 * WORKING_DISTANCE_MM * scale / float(dataset.cameras.fx[0]), rel=0.05)
    assert trainer.pipeline.model.strategy_state["scene_scale"] == pytest.approx(BALL_RADIUS_MM * scale, rel=0.15)


# -- export --------------------------------------------------------------------------------------------------------


def test_attributes_that_a_ply_is_made_of_render_the_same(build: Build) -> None:
    # nerfstudio's exporter reads these, and viewers render them as 3DGS defines: x, exp(scale), σ(opacity), SH.
    trainer = build()
    for step in range(3):
        do_step(trainer, step)
    model = trainer.pipeline.model
    model.schedule = None  # as loaded for export
    with torch.no_grad():
        model.features_rest.add_(0.05 * torch.randn(model.features_rest.shape))
    assert isinstance(model, SplatfactoModel)
    with torch.no_grad():
        ply = {
            "xyz": model.means.numpy(),
            "f_dc": model.shs_0.numpy(),
            "f_rest": model.shs_rest.transpose(1, 2).reshape(600, -1).numpy(),
            "opacity": model.opacities.numpy(),
            "scale": model.scales.numpy(),
            "rot": model.quats.numpy(),
        }
    assert {name: values.shape for name, values in ply.items()} == {
        "xyz": (600, 3),
        "f_dc": (600, 3),
        "f_rest": (600, 45),
        "opacity": (600, 1),
        "scale": (600, 3),
        "rot": (600, 4),
    }
    assert all(np.isfinite(values).all() and values.dtype == np.float32 for values in ply.values())
    torch.testing.assert_close(model.colors.detach(), torch.from_numpy(ply["f_dc"]) * C0 + 0.5)

    camera, _ = trainer.pipeline.datamanager.next_eval(0)
    shs = [torch.from_numpy(ply["f_dc"])[:, None], torch.from_numpy(ply["f_rest"]).reshape(600, 3, 15).transpose(1, 2)]
    to_world = torch.eye(4)
    to_world[:3] = camera.camera_to_worlds[0] @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    picture, alpha, _ = rasterization(
        torch.from_numpy(ply["xyz"]),
        torch.from_numpy(ply["rot"]),
        torch.from_numpy(ply["scale"]).exp(),
        torch.from_numpy(ply["opacity"])[:, 0].sigmoid(),
        torch.cat(shs, dim=1),
        torch.linalg.inv(to_world)[None],
        camera.get_intrinsics_matrices(),
        64,
        48,
        sh_degree=3,
    )
    expected = render_sharp(model, camera)["rgb"]
    seen = (picture[0] + (1 - alpha[0]) * model.background).clamp(0, 1)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-4)


def test_colours_of_the_start_without_harmonics(build: Build) -> None:
    model = build(sh_degree=0).pipeline.model
    with_harmonics = build(sh_degree=1).pipeline.model
    expected = with_harmonics.features_dc * C0 + 0.5
    torch.testing.assert_close(torch.sigmoid(model.features_dc), expected.clamp(1e-3, 1 - 1e-3), atol=1e-5, rtol=0)


def test_a_loaded_model_has_all_its_harmonics(build: Build) -> None:
    model = build(sh_degree_interval=1000).pipeline.model
    model.load_state_dict(model.state_dict())
    assert model._sh_degree_now() == model.config.sh_degree


@pytest.mark.parametrize("option", ["use_bilateral_grid", "color_corrected_metrics"])
def test_options_that_are_not_there(build: Build, option: str) -> None:
    with pytest.raises(MacroSplatError, match=option.replace("_", "-")):
        build(**{option: True})


def test_needles_are_punished(build: Build) -> None:
    trainer = build(use_scale_regularization=True, max_gauss_ratio=10.0)
    model = begin(trainer)
    camera, batch = training_view(trainer, 0)
    with torch.no_grad():
        model.scales.zero_()
    assert model.get_loss_dict(model.get_outputs(camera), batch)["scale_reg"] == 0
    with torch.no_grad():
        model.scales[::2, 0] = math.log(20.0)
    loss = model.get_loss_dict(model.get_outputs(camera), batch)["scale_reg"]
    assert float(loss) == pytest.approx(0.1 * (20.0 - 10.0) / 2, rel=1e-4)


@pytest.mark.parametrize(("mode", "degree"), [("off", 3), ("splat", 2), ("image", 2)])
def test_the_degree_of_harmonics_follows_the_mode(build: Build, mode: str, degree: int) -> None:
    model = build(mode=mode, sh_degree=-1).pipeline.model
    assert model.config.sh_degree == degree
    assert model.features_rest.shape[1] == (degree + 1) ** 2 - 1


def test_a_checkpoint_brings_its_degree_of_colour(build: Build) -> None:
    older, model = (build(sh_degree=degree).pipeline.model for degree in (1, 2))
    model.load_state_dict(older.state_dict())
    assert model.config.sh_degree == 1
    model.eval()
    assert torch.isfinite(model.get_outputs_for_camera(older.kwargs["metadata"]["cameras"][:1])["rgb"]).all()
