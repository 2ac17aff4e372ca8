"""From a folder of photographs to a capture that trains: the stages of `macro-splat process`, in their order.

find → stacks → sharpness → previews → masks → poses → scale → slices → points → write → report. A stage that was
finished before, with the same photographs and settings, is not done again; whatever is written is whole or not there,
so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from macro_splat.capture.format import Capture
from macro_splat.capture.read import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import find_photographs
from macro_splat.process.config import WORK, ProcessSettings, check_folders
from macro_splat.process.findings import find_problems
from macro_splat.process.mask_stage import PreparedMask, ground_of, prepare_masks
from macro_splat.process.points import points_from_stacks
from macro_splat.process.poses import Poses, poses_from_reconstruction, poses_from_rig
from macro_splat.process.previews import preview_stacks
from macro_splat.process.record import make_record, peak_memory_mb
from macro_splat.process.rig.lens import with_lens
from macro_splat.process.rig.poses import Rig, read_rig, slice_offsets
from macro_splat.process.scale.marker_spec import parse_target
from macro_splat.process.scale.markers import MarkerPair
from macro_splat.process.slices import align_slices, tell_slices_apart
from macro_splat.process.stacks.grouping import Stack, group_stacks
from macro_splat.process.stacks.near_duplicates import near_duplicates
from macro_splat.process.stage_cache import StageCache
from macro_splat.process.survey import SharpnessMaps, survey
from macro_splat.process.write import CaptureWriter
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.progress import ProgressCallback, no_progress

WriteReport = Callable[[Path, Capture | None], object]


def process(
    folder: Path,
    out: Path,
    settings: ProcessSettings | None = None,
    *,
    progress: ProgressCallback = no_progress,
    command: Sequence[str] = (),
    write_report: WriteReport = lambda out, capture: None,
) -> dict[str, Any]:
    """Make the capture `out` from the photographs in `folder`, which are only ever read.

    Leaves transforms.json, images/, masks/, sparse_pc.ply, process.json and report.html, and in .process/ what a rerun
    needs. Where no poses can be found there are process.json and the report all the same, and an earlier capture stays.

    Args:
        progress: called from this thread.
        command: as the user gave it, for the report.
        write_report: writes report.html into `out` from what lies there.

    Returns:
        What stands in process.json.

    Raises:
        MacroSplatError: settings that do not fit, a broken photograph, or no poses.
    """
    folder, out, settings = Path(folder), Path(out), settings or ProcessSettings()
    settings.check()
    check_folders(folder, out)
    return _Run(folder, out, settings, progress, command, write_report).run()


class _Run:
    """One call of `process`."""

    stacks: list[Stack]

    def __init__(
        self,
        folder: Path,
        out: Path,
        settings: ProcessSettings,
        progress: ProgressCallback,
        command: Sequence[str],
        write_report: WriteReport,
    ) -> None:
        self.folder, self.out, self.settings, self.progress, self.command = folder, out, settings, progress, command
        self.write_report = write_report
        self.work = out / WORK
        self.cache = StageCache(self.work / "cache")
        self.seconds: dict[str, float] = {}
        self.problems: list[dict[str, str]] = []
        self.rig: Rig | None = None
        self.left_out: dict[str, str] = {}
        self.masks: dict[str, PreparedMask] = {}
        self.poses: Poses | None = None
        self.scale: dict[str, Any] | None = None
        self.images: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        settings = self.settings
        with self._timed("find"):
            self.rig = None if settings.rig is None else read_rig(settings.rig)
            leave_out = [self.out, self.out / "images", settings.mask_folder]
            photographs = find_photographs(
                self.folder,
                [path for path in leave_out if path is not None],
                lambda what, do: self._add("hint", what, do),
            )
            self.work.mkdir(parents=True, exist_ok=True)
            self._writer().recover()
        with self._timed("stacks"):
            motion = settings.stack_motion or (None if self.rig is None else self.rig.stack.motion)
            self.stacks = group_stacks(photographs, by=settings.stack_by, pattern=settings.stack_pattern, motion=motion)
        with self._timed("sharpness"):
            self.looks = survey(photographs, self.work, self.cache, threads=settings.threads, progress=self.progress)
            self.left_out = self._unwanted()
            self._tell_likely_stacks()
        with self._timed("previews"):
            preview_stacks(self.stacks, self.work, self.cache, threads=settings.threads, progress=self.progress)
        failure, capture = None, None
        try:
            self._find_poses()
            with self._timed("write"):
                capture = self._write()
        except MacroSplatError as error:
            failure = error
            self._tell("error", str(error))
            self.poses, self.images = None, {}
            self._writer().restore()
        record = self._report(capture)
        if failure is not None:
            raise MacroSplatError(f"{failure} ({self.out / 'report.html'} shows what was found)") from failure
        return record

    # --- stages ---------------------------------------------------------------------------------------------------

    def _unwanted(self) -> dict[str, str]:
        """Photographs that the settings leave out, with the reason."""
        reasons: dict[str, str] = {}
        if self.settings.leave_out_blurred:
            reasons |= {name: look.verdict for name, look in self.looks.items() if look.verdict != "sharp"}
        if self.settings.sharpest_only:
            for stack in self.stacks:
                names = [p.name for p in stack.photographs if p.name not in reasons]
                best = max(names, key=lambda name: self.looks[name].score, default="")
                reasons |= {name: f"{best} is the sharpest of its stack" for name in names if name != best}
        if len(reasons) == len(self.looks):
            raise MacroSplatError(
                f"{self.folder}: all {len(reasons)} photographs are blurred; process without --leave-out-blurred"
            )
        return reasons

    def _tell_likely_stacks(self) -> None:
        """Where nothing tells stacks, but photographs in a row show the same view."""
        if self.settings.stack_by != "auto" or any(len(stack.photographs) > 1 for stack in self.stacks):
            return
        names = [stack.photographs[0].name for stack in self.stacks]
        runs = near_duplicates(self.looks[name].load_thumbnail() for name in names)
        if runs:
            first = f"{names[runs[0][0]]} to {names[runs[0][-1]]}"
            more = f", and {len(runs) - 1} more such rows" if len(runs) > 1 else ""
            self._add(
                "hint",
                f"{first} look like the slices of a focus stack{more}, and are taken for poses of their own.",
                "If they are one: put each stack into a folder of its own, or give --stack-by folder, time or focus.",
            )

    def _find_poses(self) -> None:
        """Masks, poses in mm if the scale is known, and what each slice of a stack has of its own."""
        settings, rig = self.settings, self.rig
        by_rig = settings.poses == "rig" or (settings.poses == "auto" and rig is not None and rig.has_poses)
        by_sfm = settings.poses != "none" and not by_rig
        with self._timed("masks"):
            photographs = [p for stack in self._wanted_stacks() for p in stack.photographs]
            self.masks = prepare_masks(
                photographs, settings, self.work, self.cache, for_poses=by_sfm, progress=self.progress
            )
        if not by_sfm:
            self._tell_unused_scale(by_rig)
        if by_rig and rig is not None:
            with self._timed("poses"):
                # Of all photographs, left out or not: a slice is known by its place in the stack.
                self.poses = poses_from_rig(rig, self.stacks)
                self.scale = {"source": "rig", "mm_per_unit": 1.0, "deviation": None}
            with self._timed("points"):
                self.poses = points_from_stacks(
                    self.poses, self._wanted_stacks(), self.masks, threads=settings.threads, progress=self.progress
                )
        elif by_sfm:
            if rig is not None:  # told before the long search
                for stack in self.stacks:
                    if stack.motion == "rail":
                        slice_offsets(rig, stack)
            with self._timed("poses"):
                poses = self._reconstruct()
            with self._timed("scale"):
                poses = self._scaled(poses)
            with self._timed("slices"):
                stacks, threads = self._wanted_stacks(), settings.threads
                alignments = align_slices(stacks, poses, self.cache, threads=threads, progress=self.progress)
                self.poses = tell_slices_apart(poses, stacks, alignments, rig)

    def _reconstruct(self) -> Poses:
        """Structure from motion over the photographs that are not left out."""
        from macro_splat.process.sfm.solve import reconstruct

        stacks = self._wanted_stacks()
        if self.rig is not None:
            stacks = [with_lens(stack, self.rig.lens) for stack in stacks]
        names = [photograph.name for stack in stacks for photograph in stack.photographs]
        reconstruction = reconstruct(
            stacks,
            work=self.work / "sfm",
            masks={name: mask.path for name, mask in self.masks.items()},
            scores={name: self.looks[name].score for name in names},
            sharpness=SharpnessMaps({name: self.looks[name] for name in names}),
            distortion=self.settings.distortion,
            threads=self.settings.threads,
            progress=self.progress,
        )
        self.left_out |= {name: "it found no place among the others" for name in reconstruction.unregistered}
        return poses_from_reconstruction(reconstruction, stacks)

    def _scaled(self, poses: Poses) -> Poses:
        """The poses in mm, if anything tells the scale. A target that is not seen is a problem, but ends nothing."""
        factor, target, bar = self.settings.scale_factor, None, None if self.rig is None else self.rig.scale_bar
        if self.settings.markers is not None:
            target = parse_target(self.settings.markers)
        elif bar is not None:
            target = MarkerPair(*bar.markers, bar.length_mm)
        if factor is not None:
            self.scale = {"source": "factor", "mm_per_unit": factor, "deviation": None}
        elif target is not None:
            from macro_splat.process.scale.measure import scale_from_markers

            try:
                scale = scale_from_markers(
                    [photograph for stack in self._wanted_stacks() for photograph in stack.photographs],
                    {name: poses.photographs[name].camera_to_world for name in poses.registered},
                    {name: poses.photographs[name].intrinsics for name in poses.registered},
                    target,
                    cache=self.cache,
                    threads=self.settings.threads,
                    progress=self.progress,
                )
            except MacroSplatError as error:
                self._tell("error", str(error))
                return poses
            deviation = scale.deviation if math.isfinite(scale.deviation) else None
            self.scale = {"source": "markers", "mm_per_unit": scale.mm_per_unit, "deviation": deviation}
        return poses if self.scale is None else poses.scaled_to_mm(self.scale["mm_per_unit"])

    def _tell_unused_scale(self, by_rig: bool) -> None:
        """Say that what was given for poses from the photographs counts for nothing here."""
        given = {"--scale-factor": self.settings.scale_factor, "--markers": self.settings.markers}
        why = "the rig tells its poses in mm" if by_rig else "there are no poses"
        for flag, value in given.items():
            if value is not None:
                self._add("warning", f"{flag} {value} is not used: {why}.", "Leave it out, or choose --poses sfm.")

    def _writer(self) -> CaptureWriter:
        settings = self.settings
        return CaptureWriter(self.out, self.cache, max_edge=settings.max_image_edge or None, threads=settings.threads)

    def _write(self) -> Capture | None:
        """Write the capture of all photographs that have poses, and read it as training will."""
        if self.poses is None:
            return None
        masks = {name: mask for name, mask in self.masks.items() if not mask.for_poses_only}
        ground = ground_of(masks, self.looks) if self.settings.mask_meaning == "carve" else None
        self.images = self._writer().write(self.stacks, self.poses, set(self.left_out), masks, ground, self.progress)
        capture = read_capture(self.out)
        self._writer().settle()
        for warning in capture.warnings:
            self._tell("warning", warning.removeprefix(f"{capture.path}: "))
        return capture

    def _report(self, capture: Capture | None) -> dict[str, Any]:
        """Write process.json and the report."""
        if capture is None and (self.out / "transforms.json").is_file():
            what = "The capture of an earlier run is kept: transforms.json and images are not of this run."
            self._add("warning", what, "Remove them if they are not wanted.")
        record = make_record(
            self.folder,
            self.settings,
            self.command,
            self.stacks,
            looks=self.looks,
            masks=self.masks,
            poses=self.poses,
            scale=self.scale,
            images=self.images,
            left_out=self.left_out,
        )
        record["problems"] = self.problems
        record["problems"] = self.problems + find_problems(record, capture)
        with self._timed("report"):
            self._save(record)
            self.write_report(self.out, capture)
        self._save(record)
        return record

    # --- shared ---------------------------------------------------------------------------------------------------

    def _tell(self, severity: str, message: str) -> None:
        """Add a problem; messages tell what is wrong, then after a semicolon what to do."""
        what, _, remedy = message.rpartition("; ")
        self._add(severity, what or remedy, remedy if what else "")

    def _add(self, severity: str, what: str, do: str) -> None:
        self.problems.append({"severity": severity, "what": what, "do": do})

    def _save(self, record: dict[str, Any]) -> None:
        record["seconds"] = {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}
        record["peak_memory_mb"] = round(peak_memory_mb(), 1)
        with atomic_write(self.out / "process.json", "w") as file:
            json.dump(record, file, indent=1, allow_nan=False)

    def _wanted_stacks(self) -> list[Stack]:
        """The stacks without the photographs that are left out."""
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
