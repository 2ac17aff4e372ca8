"""nerfstudio's trainer with settings that fit the capture, whole checkpoints, exact resuming and a clean stop."""

from __future__ import annotations

import copy
import functools
import json
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
import yaml
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils import writer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from macro_splat.capture import read_capture
from macro_splat.compat import checkpoint_integrity, local_viewer
from macro_splat.compat.idle_threads import stop_spinning
from macro_splat.data.dataparser import MacroDataParserConfig
from macro_splat.errors import MacroSplatError
from macro_splat.model.lens_file import FILE_NAME as LENS_FILE
from macro_splat.model.lens_file import write_lens
from macro_splat.pipeline import MacroSplatPipeline
from macro_splat.training.checkpoints import check_whole, checkpoints_in, damage, newest_whole, plain_only
from macro_splat.training.fair_lock import FairLock
from macro_splat.training.finite_gradients import GuardedOptimizers, report_left_out
from macro_splat.training.record import write_record
from macro_splat.utils.atomic import atomic_write, remove_leftovers
from macro_splat.utils.console import report
from macro_splat.utils.locks import lock_folder
from macro_splat.utils.messages import reason

EXTRA_STATE = "macro_splat"
"""Key of a checkpoint under which we keep what nerfstudio's checkpoints lack."""
WHEN_FINISHED: list[Callable[[MacroSplatTrainer, int], None]] = []
"""Called with the trainer and the last step once a training is done and on the disk, the pipeline in evaluation mode.

`method.py` puts the report there: what a training leaves to others is chosen above it.
"""


@dataclass
class MacroSplatTrainerConfig(TrainerConfig):
    """nerfstudio's trainer, fitted to the capture."""

    _target: type = field(default_factory=lambda: MacroSplatTrainer)
    max_num_iterations: int = 0
    """Iterations in all, those before a resumed checkpoint included; 0: chosen from the capture and the machine."""
    report: bool = True
    """Write `report.html` into the run's folder at the end of the training."""

    def save_config(self) -> None:
        """What `ns-train` calls before anything is loaded: a bad capture leaves nothing behind.

        Raises:
            MacroSplatError: the capture or --load-dir is bad, another training writes into the folder, or one that
                this would replace lies there.
        """
        _check_resume(self.load_dir)
        datamanager: Any = self.pipeline.datamanager
        if isinstance(datamanager.dataparser, MacroDataParserConfig):
            read_capture(datamanager.data or datamanager.dataparser.data)
        if self.machine.device_type == "cuda" and not torch.cuda.is_available():
            CONSOLE.print("No usable NVIDIA card here: training on the CPU.", style="bold yellow")
            self.machine.device_type = "cpu"
        folder = self.get_base_dir()
        folder.mkdir(parents=True, exist_ok=True)
        lock_folder(folder)
        if self.load_dir is None and self.load_checkpoint is None:
            _check_no_run(folder)
        path = folder / "config.yml"
        CONSOLE.log(f"Saving config to: {path}")
        with atomic_write(path, "w") as file:
            yaml.dump(self, file)

    def get_checkpoint_dir(self) -> Path:
        """As the parent's, which nerfstudio asks just before it loads what lies there."""
        checkpoint_integrity.install(MacroSplatTrainerConfig, newest_whole, plain_only)
        local_viewer.install()
        return super().get_checkpoint_dir()


class MacroSplatTrainer(Trainer):
    """What it adds to nerfstudio's:

    * the number of iterations, and everything that follows from it, is chosen when the capture is known;
    * learning rates of positions are in pixels of the photographs, so that no result depends on the scene's unit;
    * a checkpoint is written whole or not at all, beside the one before it, and holds the state of the random numbers,
      of the sampler and of the densification: a resumed training goes on as if it had not been interrupted;
    * Ctrl-C ends the training after the running step, with a checkpoint.
    """

    config: MacroSplatTrainerConfig
    pipeline: MacroSplatPipeline

    # -- set-up --------------------------------------------------------------------------------------------------

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """As the parent's."""
        if self.device == "cpu":
            stop_spinning()
        self.train_lock: Any = FairLock()  # the viewer gets it from here
        super().setup(test_mode)
        self.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._finish))
        # `max_num_iterations` means "more iterations" to the parent's loop; to users it means the end.
        self._last_iterations = self.config.max_num_iterations - self._start_step
        if self._last_iterations <= 0:
            raise MacroSplatError(
                f"--max-num-iterations {self.config.max_num_iterations}: the checkpoint is at step "
                f"{self._start_step - 1} already; give a larger number to train on"
            )

    def setup_optimizers(self) -> GuardedOptimizers:
        """Fit the settings to the capture, then build the optimizers."""
        if self.config.max_num_iterations <= 0:
            self.config.max_num_iterations = self.pipeline.suggested_iterations()
        iterations = self.config.max_num_iterations
        self.pipeline.fit_schedule(iterations)
        pixel_size, cameras = self.pipeline.pixel_size(), self.pipeline.datamanager.train_dataset.cameras
        CONSOLE.log(f"Training for {iterations} iterations on {len(cameras)} photographs.")

        fitted = copy.deepcopy(self.config.optimizers)
        for group in fitted.values():
            if group["scheduler"] is not None:
                group["scheduler"].max_steps = iterations
        # Given in pixels (see method.py): positions move in the scene's units.
        means = fitted["means"]
        means["optimizer"].lr *= pixel_size
        means["scheduler"].lr_final *= pixel_size
        return GuardedOptimizers(fitted, self.pipeline.get_param_groups())

    # -- the loop ------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train to the end, or to the first Ctrl-C."""
        self._interrupted = False
        self._last_step_done = self._start_step - 1
        self._began = time.monotonic()
        parsed: Any = self.pipeline.datamanager.train_dataparser_outputs
        parsed.save_dataparser_transform = functools.partial(_save_transform, parsed)  # the parent's writes in place
        total = self.config.max_num_iterations
        self.config.max_num_iterations = self._last_iterations
        try:
            with _on_interrupt(self._stop_after_this_step):
                super().train()
        finally:
            self.config.max_num_iterations = total

    def _stop_after_this_step(self) -> None:
        self._interrupted = True
        self.stop_training = True
        CONSOLE.print("\nStopping after this step; Ctrl-C again stops at once and loses it.", style="bold yellow")

    def train_iteration(self, step: int):
        """As the parent's."""
        result = super().train_iteration(step)
        self._last_step_done = step
        return result

    def _after_train(self) -> None:
        if not self._interrupted or self._last_step_done == self._start_step + self._last_iterations - 1:
            super()._after_train()
            return
        # The loop has counted on to a step that it did not begin.
        self.step = max(self._last_step_done, 0)
        self.training_state = "completed"
        self.save_checkpoint(self.step)
        report(
            f"Stopped at step {self.step}. To go on: the same command with --load-dir {self.checkpoint_dir}",
            style="bold green",
        )
        raise SystemExit(130)

    def _finish(self, step: int) -> None:
        """Leave `training.json`, then let others look; where that fails, say so: the training is done and saved."""
        model = self.pipeline.model
        training = model.training
        try:
            seconds, steps = time.monotonic() - self._began, step + 1 - self._start_step
            assert isinstance(self.optimizers, GuardedOptimizers)
            left_out, count = self.optimizers.left_out, int(model.num_points)
            report_left_out(left_out, steps)
            write_record(
                self.base_dir, seconds=seconds, steps=steps, gaussians=count, device=self.device, left_out=left_out
            )
            for event_writer in writer.EVENT_WRITERS:
                if isinstance(event_writer, writer.TensorboardWriter):
                    event_writer.tb_writer.flush()  # the curves are read back
            self.pipeline.eval()
            with self.train_lock:  # against the viewer's renders
                for when_finished in WHEN_FINISHED:
                    when_finished(self, step)
        except Exception as error:  # whatever it is, it must not cost a finished training its viewer
            why = f"{type(error).__name__}: {reason(error)}"
            report(f"No report of this training ({why}); the checkpoint is saved", style="bold red")
        finally:
            self.pipeline.train(training)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Write the checkpoint whole; where that fails, say so, keep the last good one, and go on if there is a next.

        `lens.json` is written along, where the mode has a lens.

        Raises:
            MacroSplatError: the final checkpoint cannot be written.
        """
        path = self.checkpoint_dir / f"step-{step:09d}.ckpt"
        state = {
            "step": step,
            "pipeline": self.pipeline.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
            EXTRA_STATE: {
                "random": _random_state(),
                "sampler": self.pipeline.datamanager.sampler_state(),
                "strategy": self.pipeline.model.strategy_state,
            },
        }
        try:
            self.checkpoint_dir.mkdir(parents=True, exist_ok=True)
            self._make_room(step)
            # Not in the checkpoint folder itself: nerfstudio takes every file there for a checkpoint.
            with atomic_write(path, temporary_folder=self.base_dir) as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:
            kept = ", ".join(sorted(p.name for p in self.checkpoint_dir.glob("*.ckpt"))) or "none yet"
            message = f"{path}: the checkpoint could not be written ({_reason(error)}); kept: {kept}"
            if self.training_state == "completed":
                raise MacroSplatError(f"{message}; free the disk and resume with --load-dir") from error
            report(f"{message}; training goes on", style="bold red")
            return
        if self.config.save_only_latest_checkpoint:
            for other, old in checkpoints_in(self.checkpoint_dir).items():
                if other > step:  # what an earlier training in the same folder left, or a broken one
                    old.unlink()
        self._save_lens()

    def _make_room(self, step: int) -> None:
        """Leave but the newest whole one of the older checkpoints: the new one's stand-in, should it be damaged.

        Before the new one is written: at no time there are more than two, the unfinished one included.
        """
        if not self.config.save_only_latest_checkpoint:
            return
        older = [path for other, path in checkpoints_in(self.checkpoint_dir).items() if other < step]
        kept = next((path for path in older if damage(path) is None), None)
        for path in older:
            if kept not in (None, path):
                path.unlink()

    def _save_lens(self) -> None:
        lens, dataset = self.pipeline.model.lens, self.pipeline.datamanager.train_dataset
        if lens is None:
            return
        folder = self.pipeline.datamanager.dataparser.config.data
        folder = folder if folder.is_dir() else folder.parent
        names = [_name_in(folder, photograph) for photograph in dataset.image_filenames]
        path = self.base_dir / LENS_FILE
        try:
            write_lens(path, lens, names, dataset.metadata)
        except OSError as error:
            report(f"{path}: could not be written ({_reason(error)}); the checkpoint is", style="bold red")

    def _load_checkpoint(self) -> None:
        config, path = self.config, self.config.load_checkpoint
        if config.load_dir is not None:
            config.load_step = newest_whole(config.load_dir, config.load_step)
            remove_leftovers(config.load_dir.parent)  # of the training that is gone on with, should it have been killed
            path = checkpoints_in(config.load_dir)[config.load_step]
        elif path is not None:
            check_whole(path)
        if path is None:
            return
        with plain_only(path):
            super()._load_checkpoint()
            extra = torch.load(path, map_location="cpu", weights_only=True).get(EXTRA_STATE)
        if extra is None:
            raise MacroSplatError(f"{path}: not a checkpoint of macro-splat, which alone can be resumed by it")
        _restore_random_state(extra["random"])
        self.pipeline.datamanager.restore_sampler_state(extra["sampler"])
        state = {key: _to_device(value, self.device) for key, value in extra["strategy"].items()}
        self.pipeline.model.strategy_state = state


def _save_transform(parsed: DataparserOutputs, path: Path) -> None:
    """nerfstudio's record of the way from the capture's poses to the model's, written whole."""
    record = {"transform": parsed.dataparser_transform.tolist(), "scale": float(parsed.dataparser_scale)}
    with atomic_write(path, "w") as file:
        json.dump(record, file, indent=4)


def _name_in(folder: Path, photograph: Path) -> str:
    folder, photograph = folder.resolve(), photograph.resolve()
    return (photograph.relative_to(folder) if photograph.is_relative_to(folder) else photograph).as_posix()


def _check_resume(folder: Path | None) -> None:
    if folder is None:
        return
    if not folder.is_dir():
        raise MacroSplatError(f"--load-dir {folder}: no such folder; it is the nerfstudio_models folder of a run")
    if not checkpoints_in(folder):
        raise MacroSplatError(f"--load-dir {folder}: no step-*.ckpt in it; it is a run's nerfstudio_models folder")


def _check_no_run(folder: Path) -> None:
    models = folder / "nerfstudio_models"
    if checkpoints_in(models):
        raise MacroSplatError(
            f"{folder}: a training is there already; go on with it (--load-dir {models}), delete it, or give another "
            "--timestamp or --output-dir"
        )


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (nerfstudio's generator)
    version, words, cached = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), gauss),
        "python": (version, list(words), cached),
    }


def _restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, words, cached = state["python"]
    random.setstate((version, tuple(words), cached))


def _to_device(value: Any, device: str) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _reason(error: Exception) -> str:
    """The operating system's own words where it is behind the error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return (cause.strerror if cause is not None else None) or reason(error)


class _on_interrupt:
    """Within it the first Ctrl-C calls a function, the second interrupts as ever. Does nothing off the main thread."""

    def __init__(self, function) -> None:
        self._function = function

    def __enter__(self) -> None:
        self._active = threading.current_thread() is threading.main_thread()
        if self._active:
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._previous)
        self._function()

    def __exit__(self, *_) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._previous)
