"""Which runs a benchmark consists of, and the key under which the result of each is found again."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macro_splat.benchmark.config import BenchmarkConfig
from macro_splat.benchmark.modes import Mode, Variant, apply_overrides
from macro_splat.capture import Capture, read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.utils.atomic import atomic_write

REFERENCE_FILE = "transforms.json"
"""Describes the capture as it truly is; other files of the folder may not."""


@dataclass(frozen=True)
class RunSpec:
    """One training, as the program of a run reads it from `run.json`."""

    data: str
    """The capture's description to train on."""
    reference: str
    """The description that judging takes poses and optics from."""
    mode: str
    variant: str
    overrides: dict[str, Any]
    iterations: int
    seed: int

    def config(self) -> Any:
        """Return the trainer's settings."""
        from macro_splat.method import macro_splat

        config: Any = copy.deepcopy(macro_splat.config)
        config.vis = "tensorboard"  # no viewer
        config.logging.local_writer.enable = False
        config.steps_per_save = config.steps_per_eval_image = 0
        config.max_num_iterations = self.iterations
        config.machine.seed = self.seed
        config.pipeline.datamanager.train_cameras_sampling_seed = self.seed
        apply_overrides(config, self.overrides)
        config.pipeline.datamanager.data = Path(self.data)
        return config

    def key(self, digests: dict[str, str] | None = None) -> str:
        """Return a digest of all that decides the result: capture, settings, iterations, seed, package version.

        ``digests``: of captures, by path, as far as they are known; what is found out is added.
        """
        digests = {} if digests is None else digests
        config = self.config()
        config.pipeline.datamanager.data = None  # where the capture lies is no matter
        for path in (self.data, self.reference):
            digests[path] = digests.get(path) or _digest(Path(path))
        content = [digests[path] for path in dict.fromkeys((self.data, self.reference))]
        version = importlib.metadata.version("macro-splat")
        return hashlib.sha256(json.dumps([content, repr(config), version]).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        with atomic_write(path, "w") as file:
            json.dump(asdict(self), file, indent=1)

    @staticmethod
    def read(path: Path) -> RunSpec:
        """Return what `write` wrote."""
        return RunSpec(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Entry:
    """One row of the table: a run, or the reason why there is none. Several rows may share one run."""

    capture: str
    """Name of its folder."""
    mode: Mode
    variant: Variant
    spec: RunSpec | None
    skipped: str = ""


def plan(config: BenchmarkConfig, modes: Sequence[Mode], variants: Sequence[Variant]) -> list[Entry]:
    """Return all rows, after a look at every capture; captures that modes make of them come into `prepared/`.

    Raises:
        MacroSplatError: a capture is broken, or two have the same name.
    """
    folders = [_folder(path) for path in config.captures]
    names = [folder.name for folder in folders]
    if twice := {name for name in names if names.count(name) > 1}:
        raise MacroSplatError(f"two captures are named {sorted(twice)[0]}; rename one folder, the table goes by names")
    entries = []
    for folder in folders:
        capture = read_capture(folder)
        for variant in variants:
            for mode in modes:
                reason = _why_not(mode, variant, folder, capture)
                spec = None if reason else _spec(mode, variant, folder, config)
                entries.append(Entry(folder.name, mode, variant, spec, reason))
    return entries


def _folder(path: Path) -> Path:
    path = path.resolve()
    if path.is_file():
        raise MacroSplatError(f"{path}: give the capture's folder; the variants choose among its files")
    return path


def _why_not(mode: Mode, variant: Variant, folder: Path, capture: Capture) -> str:
    if not (folder / variant.file).is_file():
        return f"the capture has no {variant.file}"
    if mode.needs_stacks and not any(frame.stack_id for frame in capture.frames):
        return "the capture has no focus stacks (stack_id)"
    if mode.uses_sharp:
        held_out = {name for split in ("val", "test") for name in capture.splits.get(split, ())}
        lacking = [f for f in capture.frames if f.name not in held_out and f.sharp is None]
        if any(frame.optics.aperture_radius != 0 for frame in lacking):
            return "the capture has no all-in-focus photographs (sharp_file_path)"
    return ""


def _spec(mode: Mode, variant: Variant, folder: Path, config: BenchmarkConfig) -> RunSpec:
    # Modes that do not look at the lens share the runs of the variant that gives it.
    as_given = variant.lens_only and not mode.uses_lens
    if mode.prepare is not None:
        target = config.output / "prepared" / f"{folder.name}-{mode.name}"
        mode.prepare(folder, target)
        folder = target
    return RunSpec(
        data=str(folder / variant.file),
        reference=str(folder / REFERENCE_FILE),
        mode=mode.name,
        variant="given" if as_given else variant.name,
        overrides={**({} if as_given else variant.overrides), **mode.overrides_for(config.iterations)},
        iterations=config.iterations,
        seed=config.seed,
    )


def _digest(path: Path) -> str:
    """Return a digest of the description of a capture and every file that it names."""
    digest = hashlib.sha256(path.read_bytes())
    capture = read_capture(path)
    files = {f for frame in capture.frames for f in (frame.image, frame.sharp, frame.depth, frame.mask) if f}
    cloud = json.loads(path.read_text(encoding="utf-8-sig")).get("ply_file_path")
    if cloud:
        files.add(path.parent / cloud)
    for file in sorted(files):
        digest.update(str(file.relative_to(path.parent)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
