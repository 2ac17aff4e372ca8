"""Trainers as `ns-train` builds them, ready for the first step, and what drives them through single steps."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from torch import Tensor

from macro_splat.method import macro_splat
from macro_splat.model.macro_splat_model import MacroSplatModel
from macro_splat.training.trainer import MacroSplatTrainer

C0 = 0.28209479177387814
"""The spherical harmonic of degree 0."""


def build_trainer(data: Path, outputs: Path, *, mode: str = "splat", **options: Any) -> MacroSplatTrainer:
    """A trainer from the method's own config, with 600 Gaussians and these options of the model; nothing is written.

    It is nerfstudio's set-up without its loggers and its viewer.
    """
    config = deepcopy(macro_splat.config)
    config.machine.device_type = "cpu"
    config.pipeline.datamanager.data = data
    config.output_dir = outputs
    config.max_num_iterations = 600
    model = config.pipeline.model
    model.num_init_gaussians = 600
    model.defocus.mode = mode
    model.sh_degree = 3  # the most that there is to test
    for name, value in options.items():
        assert hasattr(model, name), name
        setattr(model, name, value)
    config.set_timestamp()
    torch.manual_seed(0)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.pipeline = config.pipeline.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
    trainer.optimizers = trainer.setup_optimizers()
    trainer.callbacks = trainer.pipeline.get_training_callbacks(
        TrainingCallbackAttributes(trainer.optimizers, trainer.grad_scaler, trainer.pipeline, trainer)
    )
    return trainer


def begin(trainer: MacroSplatTrainer, step: int = 0) -> MacroSplatModel:
    """Run what comes before a training step; step 0 looks at the photographs."""
    trainer.pipeline.train()
    for callback in trainer.callbacks:
        callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
    return trainer.pipeline.model


def do_step(trainer: MacroSplatTrainer, step: int) -> float:
    """A whole training step; its loss."""
    begin(trainer, step)
    loss, _, _ = trainer.train_iteration(step)
    for callback in trainer.callbacks:
        callback.run_callback_at_location(step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
    return float(loss.detach())


def training_view(trainer: MacroSplatTrainer, index: int) -> tuple[Cameras, dict]:
    """Camera and batch of one training photograph, as the datamanager deals it out."""
    datamanager = trainer.pipeline.datamanager
    datamanager.train_unseen_cameras.insert(0, index)
    camera, batch = datamanager.next_train(0)
    assert camera.metadata["cam_idx"] == index
    return camera, batch


def render_as_trained(model: MacroSplatModel, camera: Cameras) -> dict[str, Any]:
    model.train()
    return model.get_outputs(camera)


def render_sharp(model: MacroSplatModel, camera: Cameras) -> dict[str, Any]:
    """As evaluation, viewer and videos have it."""
    model.eval()
    return model.get_outputs_for_camera(camera)


def set_gaussians(model: MacroSplatModel, means: Tensor, sigma: float, opacity: float, color: Tensor) -> None:
    """Put round Gaussians [N] in place of the model's: means [N, 3], σ in model units, colours [N, 3] in 0..1."""
    count = len(means)
    values = {
        "means": means,
        "scales": torch.full((count, 3), sigma).log(),
        "quats": torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        "features_dc": (color - 0.5) / C0,
        "features_rest": torch.zeros(count, 15, 3),
        "opacities": torch.full((count, 1), opacity).logit(),
    }
    for name, parameter in model.gauss_params.items():
        parameter.data = values[name].float().clone()


def make_crisp(model: MacroSplatModel) -> None:
    """Small opaque Gaussians instead of the large faint ones that a training starts from: a picture with detail."""
    model.scales.data -= 0.7
    model.opacities.data.fill_(2.0)
