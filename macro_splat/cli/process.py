"""`macro-splat process`: from a folder of photographs to a capture that trains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from macro_splat.utils.messages import printable


def process(
    photographs: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    rig: Path | None = None,
    poses: Literal["auto", "rig", "sfm", "none"] = "auto",
    stack_by: Literal["auto", "folder", "name", "time", "focus", "none"] = "auto",
    stack_pattern: str | None = None,
    stack_motion: Literal["ring", "rail"] | None = None,
    masks: Literal["auto", "read", "make", "none"] = "auto",
    mask_folder: Path | None = None,
    mask_inverted: bool = False,
    mask_meaning: Literal["ignore", "carve"] = "ignore",
    max_image_edge: int = 0,
    scale_factor: float | None = None,
    markers: str | None = None,
    leave_out_blurred: bool = False,
    sharpest_only: bool = False,
    distortion: Literal["none", "radial", "opencv"] = "radial",
    threads: int | None = None,
) -> int:
    """Make a capture from a folder of photographs: stacks, sharpness, masks, poses, scale, and a report.

    The photographs are only ever read. What was done before is not done again, and after Ctrl-C the same command goes
    on where it stopped.

    Args:
        photographs: folder with JPEG, PNG, TIFF (8 or 16 bit), WebP or raw files; folders in it count too, but for
            earlier captures; of several files of one photograph the best is taken.
        out: folder for the capture, made if missing.
        rig: rig.yaml that describes a turntable or dome, the lens and the focus steps; the latter two also count where
            poses come from the photographs.
        poses: auto = from the rig if it describes poses, else by structure from motion; none = only look at the
            photographs and report.
        stack_by: what tells focus stacks apart; auto = names, folders or EXIF focus distances where they are evident,
            else no stacks.
        stack_pattern: regular expression with the groups pose and slice, as in '(?P<pose>.+)_(?P<slice>[0-9]+)'.
        stack_motion: what moved the plane of focus: the lens's ring, or a rail that carries the camera.
        masks: read = those beside the photographs, in masks/, or in alpha channels; make = where there is none and the
            ground is plain, make one, too; auto = read, and make others for finding poses only; none.
        mask_folder: where masks lie, if elsewhere.
        mask_inverted: masks that are read are white where nothing is wanted.
        mask_meaning: ignore = training leaves out what lies outside; carve = there is nothing outside: the images are
            filled with a plain colour around the object.
        max_image_edge: reduce images to this longer edge in pixels; 0: as they are.
        scale_factor: mm per unit of the poses. Structure from motion puts the median camera at the distance 1 from the
            object, so the working distance in mm will do.
        markers: target of known size that gives the scale: charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM,
            grid:COLUMNSxROWS:MARKER_MM:GAP_MM, loose:MARKER_MM (markers anywhere) or pair:FIRST-SECOND:DISTANCE_MM (two
            markers, by their centres), each with :DICTIONARY if it is not 4X4_50.
        leave_out_blurred: leave out photographs that are blurred by motion or wholly out of focus.
        sharpest_only: of every stack keep the sharpest photograph only.
        distortion: of the lens, as structure from motion models it.
        threads: at most; all processors if not given.
    """
    import cv2

    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.process.config import ProcessSettings
    from macro_splat.process.run import process as make_capture
    from macro_splat.report.capture_report import write_capture_report

    if threads is not None:
        cv2.setNumThreads(threads)
    settings = ProcessSettings(
        rig=rig,
        poses=poses,
        stack_by=stack_by,
        stack_pattern=stack_pattern,
        stack_motion=stack_motion,
        masks=masks,
        mask_folder=mask_folder,
        mask_inverted=mask_inverted,
        mask_meaning=mask_meaning,
        max_image_edge=max_image_edge,
        scale_factor=scale_factor,
        markers=markers,
        leave_out_blurred=leave_out_blurred,
        sharpest_only=sharpest_only,
        distortion=distortion,
        threads=threads,
    )
    try:
        with StageBars() as bars:
            record = make_capture(
                photographs,
                out,
                settings,
                progress=bars.update,
                command=sys.argv,
                write_report=write_capture_report,
            )
    except KeyboardInterrupt:
        print(f"interrupted: run the same command again to go on in {out}", file=sys.stderr)
        return 130
    _summarise(record, out)
    return 0


def _summarise(record: dict[str, Any], out: Path) -> None:
    """What was found, what will go wrong, and what comes next."""
    used = sum(photograph["used"] for photograph in record["photographs"])
    stacks = sum(len(stack["photographs"]) > 1 for stack in record["stacks"])
    found = [f"{len(record['photographs'])} photographs"]
    if stacks:
        found.append(f"{stacks} focus stacks")
    poses, scale = record["poses"], record["scale"]
    if poses["source"] is not None:
        error = poses["reprojection_error_px"]
        how = "the rig" if poses["source"] == "rig" else f"structure from motion ({error:.2f} px off)"
        found.append(f"{used} with poses from {how}")
    found.append("scale unknown" if scale is None else "in mm")
    print(", ".join(found))
    for problem in record["problems"]:
        print(printable(f"{problem['severity']}: {problem['what']} {problem['do']}".rstrip()))  # names of files
    seconds = sum(record["seconds"].values())
    print(f"{seconds:.0f} s, at most {record['peak_memory_mb']:.0f} MB of memory")
    print(f"  report  {out / 'report.html'}")
    if poses["source"] is not None:
        print(f"  train   ns-train macro-splat --data {out}")
