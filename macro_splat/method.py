"""The method `macro-splat` as `ns-train` knows it.

Every `ns-*` command imports this module: what it does must be light and must not fail.
"""

from macro_splat import compat
from macro_splat.compat import plain_configs

compat.apply()

import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
import yaml  # noqa: E402
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig  # noqa: E402
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig  # noqa: E402
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig  # noqa: E402
from nerfstudio.plugins.types import MethodSpecification  # noqa: E402

from macro_splat.data.datamanager import MacroDataManagerConfig  # noqa: E402
from macro_splat.model.macro_splat_model import MacroSplatModelConfig  # noqa: E402
from macro_splat.pipeline import MacroSplatPipelineConfig  # noqa: E402
from macro_splat.training.optimizers import FusedAdamConfig  # noqa: E402
from macro_splat.training.trainer import WHEN_FINISHED, MacroSplatTrainer, MacroSplatTrainerConfig  # noqa: E402
from macro_splat.utils.console import report  # noqa: E402


def _construct_config(root: yaml.Node) -> Any:
    from macro_splat.training.config_file import construct_config  # needed by few commands

    return construct_config(root, Path("config.yml"))


def _write_report(trainer: MacroSplatTrainer, step: int) -> None:
    """Write the report of a training that is done, unless its config says no."""
    if not trainer.config.report:
        return
    from macro_splat.report.training_report import write_training_report  # brings plotly
    from macro_splat.runs.load import Run

    report(f"How it went: {write_training_report(Run(trainer.base_dir, trainer.config, trainer.pipeline, step))}")


plain_configs.install(_construct_config)
WHEN_FINISHED.append(_write_report)


def _adam(lr: float, lr_final: float | None = None) -> dict:
    scheduler = None if lr_final is None else ExponentialDecaySchedulerConfig(lr_final=lr_final)
    return {"optimizer": FusedAdamConfig(lr=lr, eps=1e-15), "scheduler": scheduler}


macro_splat = MethodSpecification(
    config=MacroSplatTrainerConfig(
        method_name="macro-splat",
        steps_per_save=500,
        steps_per_eval_batch=0,
        steps_per_eval_image=500,
        steps_per_eval_all_images=0,
        mixed_precision=False,
        machine=MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        pipeline=MacroSplatPipelineConfig(
            datamanager=MacroDataManagerConfig(),
            model=MacroSplatModelConfig(camera_optimizer=CameraOptimizerConfig(mode="off")),
        ),
        optimizers={
            # In pixels of the photographs; the trainer turns it into the scene's units.
            "means": _adam(0.2, 0.002),
            "features_dc": _adam(0.0025),
            "features_rest": _adam(0.0025 / 20),
            "opacities": _adam(0.05),
            "scales": _adam(0.005),
            "quats": _adam(0.001),
            "camera_opt": _adam(1e-4, 1e-6),
            "lens_focus": _adam(0.02, 0.002),
            "lens_aperture": _adam(0.005, 0.0005),
            "blur_net": _adam(1e-3, 1e-4),
        },
        viewer=ViewerConfig(
            websocket_host="127.0.0.1",  # nerfstudio's own, 0.0.0.0, lets the whole network in
            num_rays_per_chunk=1 << 15,
            # The viewer stays open for somebody who sits before it; a job without a terminal ends.
            quit_on_train_completion=not sys.stdin.isatty() if sys.stdin is not None else True,
        ),
        vis="viewer+tensorboard",
    ),
    description="Sharp Gaussian splats from defocused macro photographs, with the lens learnt along.",
)
