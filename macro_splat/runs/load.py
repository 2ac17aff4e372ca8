"""Finds and loads a trained run: config, capture and checkpoint, without a viewer and without writing anything."""

from __future__ import annotations

import math
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import Pipeline
from torch import Tensor

from macro_splat import compat
from macro_splat.compat.lpips import without_lpips
from macro_splat.compat.old_runs import with_new_parameter_names
from macro_splat.data.datamanager import MacroDataManager
from macro_splat.errors import MacroSplatError
from macro_splat.model.macro_splat_model import MacroSplatModel
from macro_splat.training.checkpoints import checkpoints_in, newest_whole
from macro_splat.training.config_file import read_config
from macro_splat.utils.messages import reason

CONFIG = "config.yml"
_DEPTH = 4
"""Folders below one that is given in which runs are looked for: outputs/EXPERIMENT/METHOD/TIME."""
_GAUSSIANS = "_model.gauss_params."
_METRICS = ("_model.lpips.", "_model.psnr.", "_model.ssim.")
"""Weights of metrics: whether they are there depends on the machine, not on the model."""


@dataclass
class Run:
    """A trained run, ready to be rendered: the pipeline is in evaluation mode."""

    folder: Path
    """Holds config.yml."""
    config: TrainerConfig
    """As the training wrote it; only device and the folders of data and checkpoints are those of here and now."""
    pipeline: Pipeline
    """With the checkpoint loaded, in evaluation mode; its model has no LPIPS, whose weights would be downloaded."""
    step: int
    """At which the checkpoint was written."""

    @property
    def model(self) -> MacroSplatModel:
        model = self.pipeline.model
        assert isinstance(model, MacroSplatModel)
        return model

    @property
    def datamanager(self) -> MacroDataManager:
        datamanager = self.pipeline.datamanager
        assert isinstance(datamanager, MacroDataManager)
        return datamanager

    @property
    def metadata(self) -> dict[str, Any]:
        """The dataparser's, of the training split: see `MacroDataParser`."""
        return self.datamanager.train_dataset.metadata

    @property
    def data(self) -> Path:
        """The capture's folder."""
        data = self.datamanager.dataparser.config.data
        return data if data.is_dir() else data.parent

    @property
    def names(self) -> list[str]:
        """Of the training photographs, relative to the capture."""
        images = self.datamanager.train_dataset.image_filenames
        return [Path(os.path.relpath(image, self.data)).as_posix() for image in images]

    def camera(self, view: int) -> Cameras:
        """Return the camera [1] of a photograph as the capture has it; `render_training_view` refines its pose.

        Raises:
            MacroSplatError: there is no such view.
        """
        cameras = self.datamanager.train_dataset.cameras
        if not 0 <= view < len(cameras):
            raise MacroSplatError(f"view {view}: there is none; the training views are 0 to {len(cameras) - 1}")
        camera = cameras[view : view + 1].to(self.model.device)
        camera.metadata = {**(camera.metadata or {}), "cam_idx": view}
        return camera


def find_run(path: Path) -> Path:
    """Return the config.yml of a run.

    Args:
        path: that file, its folder, or a folder above with one or several runs, of which the newest counts.

    Raises:
        MacroSplatError: there is no such folder, or no run in it.
    """
    path = Path(os.path.abspath(path))
    if path.is_file():
        if path.suffix not in (".yml", ".yaml"):
            raise MacroSplatError(f"{path} is no {CONFIG}; give the folder of a run")
        return path
    if not path.is_dir():
        raise MacroSplatError(f"{path} does not exist; give the folder of a run")
    for depth in range(_DEPTH + 1):
        found = list(path.glob("/".join([*["*"] * depth, CONFIG])))
        if found:
            return max(found, key=lambda file: (file.stat().st_mtime, file))
    raise MacroSplatError(f"{path}: there is no run in it, that is, no {CONFIG}; give the folder that ns-train wrote")


def load_run(path: Path, *, data: Path | None = None) -> Run:
    """Load the newest whole checkpoint of a run, on the GPU if there is one.

    Args:
        path: see `find_run`.
        data: where the capture is now, if it was moved since the training.

    Raises:
        MacroSplatError: there is no run; config.yml is broken, hostile or another method's; the capture is gone; the
            checkpoint is missing, broken or of another version.
    """
    compat.apply()
    config_path = find_run(path)
    config = read_config(config_path)
    folder = config_path.parent
    config.pipeline.datamanager.data = _find_data(config, folder, data)
    config.load_dir = folder / Path(config.relative_model_dir).name
    step = newest_whole(config.load_dir)
    checkpoint = checkpoints_in(config.load_dir)[step]
    state = _read_checkpoint(checkpoint)
    _take_color_degree(config, state)
    config.machine.device_type = "cuda" if torch.cuda.is_available() else "cpu"
    device = config.machine.device_type
    with without_lpips():
        pipeline = config.pipeline.setup(device=device, test_mode="test", world_size=1, local_rank=0)
    assert isinstance(pipeline, Pipeline)
    pipeline.eval()
    _check_state(checkpoint, state, pipeline)
    pipeline.load_pipeline(state, step)
    return Run(folder, config, pipeline, step)


def _find_data(config: TrainerConfig, folder: Path, data: Path | None) -> Path:
    if data is None:
        datamanager: Any = config.pipeline.datamanager
        data = config.data or datamanager.data or datamanager.dataparser.data  # wherever the command line gave it
        if not Path(data).exists():
            raise MacroSplatError(f"{data}: the capture of {folder} is not there any more; say where with --data")
    if not Path(data).exists():
        raise MacroSplatError(f"{data} does not exist; give the folder of the capture with --data")
    return Path(data)


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the pipeline's tensors by name."""
    remedy = "restore it, delete it to use an older one, or train again"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise MacroSplatError(f"{path} is broken ({reason(error)}); {remedy}") from error
    state = content.get("pipeline") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise MacroSplatError(f"{path} is no checkpoint of a training; {remedy}")
    return with_new_parameter_names({name.removeprefix("module."): value for name, value in state.items()})


def _take_color_degree(config: TrainerConfig, state: dict[str, Tensor]) -> None:
    """Where the degree of colour was left to the mode of defocus: what it was then, whatever it is in this version."""
    model: Any = config.pipeline.model
    coefficients = state.get(f"{_GAUSSIANS}features_rest")
    if model.sh_degree < 0 and coefficients is not None and coefficients.ndim == 3:
        model.sh_degree = math.isqrt(coefficients.shape[1] + 1) - 1


def _check_state(path: Path, state: dict[str, Tensor], pipeline: Pipeline) -> None:
    """nerfstudio loads what fits and leaves the rest as it happens to be; here everything must fit."""
    expected = {name: value for name, value in pipeline.state_dict().items() if not name.startswith(_METRICS)}
    given = {name: value for name, value in state.items() if not name.startswith(_METRICS)}
    remedy = "it is of another version, or of other photographs than these: train again, or say --data"
    for name in expected:
        if name not in given:
            raise MacroSplatError(f"{path} lacks {name.removeprefix('_model.')}; {remedy}")
    counts = set()
    for name, value in given.items():
        label = name.removeprefix("_model.")
        if name not in expected:
            raise MacroSplatError(f"{path} holds {label}, unknown here; {remedy}")
        is_gaussians = name.startswith(_GAUSSIANS)
        skip = 1 if is_gaussians else 0  # their number is what the training made it
        if value.shape[skip:] != expected[name].shape[skip:] or value.ndim != expected[name].ndim:
            shapes = f"{list(value.shape)} where this model has {list(expected[name].shape)}"
            raise MacroSplatError(f"{path}: {label} is {shapes}; {remedy}")
        if is_gaussians:
            counts.add(len(value))
    if len(counts) != 1:
        raise MacroSplatError(f"{path}: its Gaussians are of different numbers, {sorted(counts)}; train again")
