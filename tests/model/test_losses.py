"""Loss and metrics: what is compared with what, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_msssim import ssim as reference_ssim
from torch import Tensor

from macro_splat.model.macro_splat_model import MacroSplatModel
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import write_capture
from tests.model.trainers import begin, do_step, render_as_trained, render_sharp, training_view

Build = Callable[..., MacroSplatTrainer]


def outputs_of(picture: Tensor, background: float = 0.0) -> dict[str, Tensor]:
    return {"rgb": picture, "background": torch.full((3,), background)}


@pytest.fixture
def model(trainer: MacroSplatTrainer) -> MacroSplatModel:
    return trainer.pipeline.model


# -- loss ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ssim_lambda", [0.0, 0.2, 1.0])
def test_main_loss_is_l1_and_ssim(model: MacroSplatModel, ssim_lambda: float) -> None:
    model.config.ssim_lambda = ssim_lambda
    picture, photograph = torch.rand(48, 64, 3), torch.randint(0, 256, (48, 64, 3), dtype=torch.uint8)
    truth = photograph / 255.0
    l1 = (picture - truth).abs().mean()
    similarity = reference_ssim(picture.permute(2, 0, 1)[None], truth.permute(2, 0, 1)[None], data_range=1.0)
    expected = (1 - ssim_lambda) * l1 + ssim_lambda * (1 - similarity)
    loss = model.get_loss_dict(outputs_of(picture), {"image": photograph})["main_loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_masked_pixels_are_left_out(model: MacroSplatModel) -> None:
    mask = torch.ones(48, 64, 1, dtype=torch.bool)
    mask[10:30, 5:40] = False
    photograph = torch.rand(48, 64, 3)
    picture = torch.rand(48, 64, 3, requires_grad=True)
    loss = model.get_loss_dict(outputs_of(picture), {"image": photograph, "mask": mask})["main_loss"]
    loss.backward()
    hidden = ~mask[..., 0]
    assert (picture.grad[hidden] == 0).all()
    assert (picture.grad[~hidden] != 0).any(dim=1).float().mean() > 0.99

    other = photograph.clone()
    other[hidden] = torch.rand(int(hidden.sum()), 3)
    again = model.get_loss_dict(outputs_of(picture.detach()), {"image": other, "mask": mask})["main_loss"]
    assert float(again) == float(loss)


def test_what_the_masks_of_a_capture_hide_has_no_influence(build: Build, tmp_path: Path) -> None:
    losses = []
    for level in (30, 220):
        folder = write_capture(tmp_path / str(level), width=64, height=48, f_number=1.4, masks=True)
        for path in (folder / "images").iterdir():
            photograph, mask = (np.array(Image.open(p).convert("RGB")) for p in (path, folder / "masks" / path.name))
            Image.fromarray(np.where(mask > 0, photograph, np.uint8(level))).save(path)
        trainer = build(folder, background_color="black")
        losses.append([do_step(trainer, step) for step in range(4)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_transparent_photographs_are_laid_on_the_background(model: MacroSplatModel, level: float) -> None:
    rgba = torch.rand(48, 64, 4)
    rgba[:, :20, 3], rgba[:, 40:, 3] = 0.0, 1.0
    picture = rgba[..., 3:] * rgba[..., :3] + (1 - rgba[..., 3:]) * level
    loss = model.get_loss_dict(outputs_of(picture, level), {"image": rgba})["main_loss"]
    assert float(loss) == pytest.approx(0.0, abs=1e-5)
    wrong = model.get_loss_dict(outputs_of(picture, 0.5), {"image": rgba})["main_loss"]
    assert float(wrong) > 0.05


def test_the_prior_of_the_lens(build: Build) -> None:
    trainer = build()
    model: MacroSplatModel = begin(trainer)
    model.config.defocus.residual_weight = 0.5
    camera, batch = training_view(trainer, 0)
    outputs = render_as_trained(model, camera)
    assert float(model.get_loss_dict(outputs, batch)["lens_prior"]) == 0
    with torch.no_grad():
        model.lens.log_aperture_residual.copy_(torch.arange(8.0))
    assert float(model.get_loss_dict(outputs, batch)["lens_prior"]) == pytest.approx(0.5 * 140 / 8)
    assert "lens_prior" not in begin(build(mode="off")).get_loss_dict(outputs, batch)


def test_evaluation_knows_no_prior(trainer: MacroSplatTrainer) -> None:
    model: MacroSplatModel = trainer.pipeline.model
    camera, batch = trainer.pipeline.datamanager.next_eval(0)
    outputs = render_sharp(model, camera)
    assert set(model.get_loss_dict(outputs, batch)) == {"main_loss"}


@pytest.mark.parametrize("num_downscales", [1, 2])
def test_training_at_reduced_resolution(build: Build, num_downscales: int) -> None:
    trainer = build(num_downscales=num_downscales)
    model = begin(trainer)
    camera, batch = training_view(trainer, 1)
    batch["mask"] = torch.ones(48, 64, 1, dtype=torch.bool)
    outputs = render_as_trained(model, camera)
    assert outputs["rgb"].shape == (48 >> num_downscales, 64 >> num_downscales, 3)
    assert (int(camera.width), int(camera.height)) == (64, 48), "the camera is as it was"
    losses = model.get_loss_dict(outputs, batch)
    assert all(math.isfinite(float(value.detach())) for value in losses.values())
    assert render_sharp(model, camera)["rgb"].shape == (48, 64, 3)


@pytest.mark.slow
def test_training_lowers_the_loss(build: Build) -> None:
    trainer = build()
    losses = [do_step(trainer, step) for step in range(64)]
    assert sum(losses[-8:]) < 0.85 * sum(losses[:8])  # a round of all eight views


# -- metrics -------------------------------------------------------------------------------------------------------


def test_psnr_of_training(model: MacroSplatModel) -> None:
    photograph = torch.full((48, 64, 3), 0.5)
    metrics = model.get_metrics_dict(outputs_of(photograph + 0.1), {"image": photograph})
    assert float(metrics["psnr"]) == pytest.approx(20.0, abs=1e-3)
    assert int(metrics["gaussian_count"]) == model.num_points == 600
    assert all(isinstance(value, Tensor) for value in metrics.values())
    perfect = model.get_metrics_dict(outputs_of(photograph), {"image": photograph})
    assert math.isfinite(float(perfect["psnr"]))


def test_images_are_judged_by_the_sharp_photograph_if_any(model: MacroSplatModel) -> None:
    sharp, blurry = torch.rand(48, 64, 3) * 0.8, torch.full((48, 64, 3), 0.5)
    outputs = outputs_of(sharp + 0.1)
    metrics, images = model.get_image_metrics_and_images(outputs, {"image": blurry, "sharp_image": sharp})
    assert metrics["psnr"] == pytest.approx(20.0, abs=1e-3)
    expected = reference_ssim((sharp + 0.1).permute(2, 0, 1)[None], sharp.permute(2, 0, 1)[None], data_range=1.0)
    assert metrics["ssim"] == pytest.approx(float(expected), abs=1e-5)
    assert torch.equal(images["img"], torch.cat([sharp, sharp + 0.1], dim=1))

    without, _ = model.get_image_metrics_and_images(outputs, {"image": blurry})
    error = (sharp + 0.1 - blurry).square().mean()
    assert without["psnr"] == pytest.approx(-10 * math.log10(float(error)), abs=1e-3)
    assert set(without) == set(metrics)
    assert all(isinstance(value, float) for value in metrics.values())


def test_lpips_is_among_the_metrics_where_its_weights_are(model: MacroSplatModel) -> None:
    picture = torch.rand(48, 64, 3)
    assert "lpips" not in model.get_image_metrics_and_images(outputs_of(picture), {"image": picture})[0]
    model.lpips = lambda predicted, target: (predicted - target).abs().mean()
    metrics, _ = model.get_image_metrics_and_images(outputs_of(picture), {"image": (picture - 0.25)})
    assert metrics["lpips"] == pytest.approx(0.25, abs=1e-5)


def test_a_transparent_sharp_photograph_gets_the_background(model: MacroSplatModel) -> None:
    rgba = torch.rand(48, 64, 4)
    rgba[..., 3] = 0.0
    outputs = outputs_of(torch.full((48, 64, 3), 0.6), 0.7)
    batch = {"image": torch.zeros(48, 64, 4), "sharp_image": rgba}
    assert model.get_image_metrics_and_images(outputs, batch)[0]["psnr"] == pytest.approx(20.0, abs=1e-3)


def test_evaluation_of_a_capture(trainer: MacroSplatTrainer) -> None:
    # Through nerfstudio's pipeline, which averages over the held-out views.
    trainer.pipeline.eval()
    metrics = trainer.pipeline.get_average_eval_image_metrics(step=0)
    assert 5 < float(metrics["psnr"]) < 40
    assert -1 <= float(metrics["ssim"]) <= 1


@pytest.mark.parametrize(("mode", "crisp"), [("image", True), ("splat", False), ("coc", False), ("off", False)])
def test_only_our_sharp_picture_is_held_crisp(build: Build, mode: str, crisp: bool) -> None:
    trainer = build(mode=mode)
    model = begin(trainer)
    camera, batch = training_view(trainer, 0)
    assert ("binarization" in model.get_loss_dict(model.get_outputs(camera), batch)) is crisp
