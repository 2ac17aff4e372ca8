"""From a folder of photographs to a capture that trains: the stages of `macro-splat process`, in their order.

find → stacks → sharpness → previews → masks → poses → scale → slices → points → write → report. A stage that was
finished before, with the same photographs and options, is not done again; whatever is written is whole or not there,
so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from macro_splat.capture.format import Capture
from macro_splat.capture.read import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph, find_photographs
from macro_splat.process.config import WORK, ProcessConfig
from macro_splat.process.findings import find_problems
from macro_splat.process.mask_stage import background_colour, prepare_masks
from macro_splat.process.points import points_from_stacks
from macro_splat.process.poses import Poses
from macro_splat.process.previews import preview_stacks
from macro_splat.process.problems import Problem, from_message, hint, warning
from macro_splat.process.record import RunState, make_record, peak_memory_mb
from macro_splat.process.rig.format import read_rig
from macro_splat.process.rig.lens import with_lens
from macro_splat.process.rig.poses import poses_from_rig, slice_offsets
from macro_splat.process.scale.measure import find_scale
from macro_splat.process.sfm.solve import StructureFromMotion
from macro_splat.process.slices import align_slices, separate_slices
from macro_splat.process.stacks.grouping import Stack, group_stacks
from macro_splat.process.stacks.near_duplicates import near_duplicates
from macro_splat.process.survey import ImageQuality, SharpnessMaps, survey
from macro_splat.process.workspace import Workspace
from macro_splat.process.write import CaptureWriter
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.progress import ProgressCallback, no_progress

WriteReport = Callable[[Path, Capture | None], object]


def process(
    config: ProcessConfig,
    *,
    progress: ProgressCallback = no_progress,
    command: Sequence[str] = (),
    write_report: WriteReport = lambda out, capture: None,
) -> dict[str, Any]:
    """Make the capture `config.out` from the photographs in `config.photographs`, which are only ever read.

    Leaves transforms.json, images/, masks/, sparse_pc.ply, process.json and report.html, and in .process/ what a rerun
    needs. Where no poses can be found there are process.json and the report all the same, and an earlier capture stays.

    Args:
        progress: called from this thread.
        command: as the user gave it, for the report.
        write_report: writes report.html into `out` from what lies there.

    Returns:
        What stands in process.json.

    Raises:
        MacroSplatError: options that do not fit, a broken photograph, or no poses.
    """
    config.check()
    return _Run(config, progress, command, write_report).run()


class _Run(RunState):
    """One call of `process`: the stages in their order."""

    def __init__(
        self, config: ProcessConfig, progress: ProgressCallback, command: Sequence[str], write_report: WriteReport
    ) -> None:
        super().__init__(config, command)
        self.write_report = write_report
        self.workspace = Workspace(config.out / WORK, config.threads, progress)
        self.writer = CaptureWriter(config.out, self.workspace, config.max_edge)
        self.seconds: dict[str, float] = {}
        self.problems: list[Problem] = []

    def run(self) -> dict[str, Any]:
        """Go through all stages."""
        config = self.config
        with self._timed("find"):
            photographs = self._find()
        with self._timed("stacks"):
            motion = config.stack_motion or (None if self.rig is None else self.rig.stack.motion)
            self.stacks = group_stacks(photographs, by=config.stack_by, pattern=config.stack_pattern, motion=motion)
        with self._timed("sharpness"):
            self.quality = survey(photographs, self.workspace)
            self.left_out = _unwanted(config, self.stacks, self.quality)
            if config.stack_by == "auto":
                self.problems += _likely_stacks(self.stacks, self.quality)
        with self._timed("previews"):
            preview_stacks(self.stacks, self.workspace)
        failure, capture = None, None
        try:
            self._find_poses()
            with self._timed("write"):
                capture = self._write()
        except MacroSplatError as error:
            failure = error
            self.problems.append(from_message("error", str(error)))
            self.poses, self.images = None, {}
            self.writer.restore()
        record = self._report(capture)
        if failure is not None:
            raise MacroSplatError(f"{failure} ({config.out / 'report.html'} shows what was found)") from failure
        return record

    # --- stages ---------------------------------------------------------------------------------------------------

    def _find(self) -> list[Photograph]:
        """Read the rig, find the photographs, and bring to its end what a killed run had begun."""
        config = self.config
        self.rig = None if config.rig is None else read_rig(config.rig)
        leave_out = [config.out, config.out / "images", *([] if config.mask_folder is None else [config.mask_folder])]
        photographs = find_photographs(
            config.photographs, leave_out, lambda what, do: self.problems.append(hint(what, do))
        )
        self.workspace.folder.mkdir(parents=True, exist_ok=True)
        self.writer.recover()
        return photographs

    def _find_poses(self) -> None:
        """Find masks, poses in mm if the scale is known, and what each slice of a stack has of its own."""
        config, rig = self.config, self.rig
        by_rig = config.poses == "rig" or (config.poses == "auto" and rig is not None and rig.has_poses)
        by_sfm = config.poses != "none" and not by_rig
        with self._timed("masks"):
            photographs = [p for stack in self._wanted_stacks() for p in stack.photographs]
            self.masks = prepare_masks(photographs, config, self.workspace, for_poses=by_sfm)
        if not by_sfm:
            self.problems += _unused_scale(config, by_rig)
        if by_rig and rig is not None:
            with self._timed("poses"):
                # Of all photographs, left out or not: a slice is known by its place in the stack.
                self.poses = poses_from_rig(rig, self.stacks)
                self.scale = {"source": "rig", "mm_per_unit": 1.0, "deviation": None}
            with self._timed("points"):
                self.poses = points_from_stacks(self.poses, self._wanted_stacks(), self.masks, self.workspace)
        elif by_sfm:
            if rig is not None:  # complains before the long search
                for stack in self.stacks:
                    if stack.motion == "rail":
                        slice_offsets(rig, stack)
            with self._timed("poses"):
                poses = self._reconstruct()
            with self._timed("scale"):
                poses = self._scaled(poses)
            with self._timed("slices"):
                stacks = self._wanted_stacks()
                self.poses = separate_slices(poses, stacks, align_slices(stacks, poses, self.workspace), rig)

    def _reconstruct(self) -> Poses:
        """Find the poses of the photographs that are not left out, by structure from motion."""
        stacks = self._wanted_stacks()
        if self.rig is not None:
            stacks = [with_lens(stack, self.rig.lens) for stack in stacks]
        quality = {p.name: self.quality[p.name] for stack in stacks for p in stack.photographs}
        poses = StructureFromMotion(
            stacks,
            self.workspace,
            masks={name: mask.path for name, mask in self.masks.items()},
            scores={name: each.score for name, each in quality.items()},
            sharpness=SharpnessMaps(quality),
            distortion=self.config.distortion,
        ).reconstruct()
        self.left_out |= {name: "it found no place among the others" for name in poses.unregistered}
        return poses

    def _scaled(self, poses: Poses) -> Poses:
        """Return the poses in mm, if the scale is known. A target that is not seen is a problem, but ends nothing."""
        photographs = [photograph for stack in self._wanted_stacks() for photograph in stack.photographs]
        try:
            self.scale = find_scale(self.config, self.rig, poses, photographs, self.workspace)
        except MacroSplatError as error:
            self.problems.append(from_message("error", str(error)))
        return poses if self.scale is None else poses.scaled_to_mm(self.scale["mm_per_unit"])

    def _write(self) -> Capture | None:
        """Write the capture of all photographs that have poses, and read it as training will."""
        if self.poses is None:
            return None
        masks = {name: mask for name, mask in self.masks.items() if not mask.for_poses_only}
        background = background_colour(masks, self.quality) if self.config.mask_meaning == "carve" else None
        self.images = self.writer.write(self.stacks, self.poses, set(self.left_out), masks, background)
        capture = read_capture(self.config.out)
        self.writer.settle()
        warnings = [message.removeprefix(f"{capture.path}: ") for message in capture.warnings]
        self.problems += [from_message("warning", message) for message in warnings]
        return capture

    def _report(self, capture: Capture | None) -> dict[str, Any]:
        """Write process.json and the report."""
        if capture is None and (self.config.out / "transforms.json").is_file():
            what = "The capture of an earlier run is kept: transforms.json and images are not of this run."
            self.problems.append(warning(what, "Remove them if they are not wanted."))
        record = make_record(self)
        record["problems"] = self.problems
        record["problems"] = self.problems + find_problems(record, capture)
        with self._timed("report"):
            self._save(record)
            self.write_report(self.config.out, capture)
        self._save(record)
        return record

    # --- shared ---------------------------------------------------------------------------------------------------

    def _save(self, record: dict[str, Any]) -> None:
        record["seconds"] = {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}
        record["peak_memory_mb"] = round(peak_memory_mb(), 1)
        with atomic_write(self.config.out / "process.json", "w") as file:
            json.dump(record, file, indent=1, allow_nan=False)

    def _wanted_stacks(self) -> list[Stack]:
        """Return the stacks without the photographs that are left out."""
        stacks = [stack.without(self.left_out) for stack in self.stacks]
        return [stack for stack in stacks if stack.photographs]

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to the stage's."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start


def _unwanted(config: ProcessConfig, stacks: Sequence[Stack], quality: Mapping[str, ImageQuality]) -> dict[str, str]:
    """Return the photographs that the options leave out, with the reason."""
    reasons: dict[str, str] = {}
    if config.leave_out_blurred:
        reasons |= {name: each.verdict for name, each in quality.items() if each.verdict != "sharp"}
    if config.sharpest_only:
        for stack in stacks:
            names = [p.name for p in stack.photographs if p.name not in reasons]
            best = max(names, key=lambda name: quality[name].score, default="")
            reasons |= {name: f"{best} is the sharpest of its stack" for name in names if name != best}
    if len(reasons) == len(quality):
        raise MacroSplatError(
            f"{config.photographs}: all {len(reasons)} photographs are blurred; process without --leave-out-blurred"
        )
    return reasons


def _likely_stacks(stacks: Sequence[Stack], quality: Mapping[str, ImageQuality]) -> list[Problem]:
    """Return a hint where there are no stacks, but photographs in a row show the same view."""
    if any(len(stack.photographs) > 1 for stack in stacks):
        return []
    names = [stack.photographs[0].name for stack in stacks]
    runs = near_duplicates(quality[name].load_thumbnail() for name in names)
    if not runs:
        return []
    first = f"{names[runs[0][0]]} to {names[runs[0][-1]]}"
    more = f", and {len(runs) - 1} more such rows" if len(runs) > 1 else ""
    return [
        hint(
            f"{first} look like the slices of a focus stack{more}, and are taken for poses of their own.",
            "If they are one: put each stack into a folder of its own, or give --stack-by folder, time or focus.",
        )
    ]


def _unused_scale(config: ProcessConfig, by_rig: bool) -> list[Problem]:
    """Return warnings that what was given for poses from the photographs is not used."""
    why = "the rig tells its poses in mm" if by_rig else "there are no poses"
    given = {"--scale-factor": config.scale_factor, "--markers": config.markers}
    return [
        warning(f"{flag} {value} is not used: {why}.", "Leave it out, or choose --poses sfm.")
        for flag, value in given.items()
        if value is not None
    ]
