"""The report of a capture: what is in it, what will go wrong with it and what to do, from the files it was left in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from macro_splat.capture.coverage import azimuth_gaps, directions, object_centre
from macro_splat.capture.format import Capture
from macro_splat.capture.read import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process.findings import WIDE_GAP, find_problems
from macro_splat.report.coverage_map import CoverageMap, coverage_map
from macro_splat.report.exif_table import exif_table
from macro_splat.report.page import Tile, make_page, static
from macro_splat.report.photograph_grid import photograph_grid
from macro_splat.report.pose_view import Pose, pose_view, scale_colour
from macro_splat.report.stack_previews import GRADIENT
from macro_splat.utils.atomic import atomic_write

VERSION = 1
"""Of process.json."""
SOURCES = {
    "rig": "from the rig file",
    "sfm": "by structure from motion",
    "markers": "from markers",
    "factor": "a given factor",
}
SEVERITIES = ("error", "warning", "hint")


def write_capture_report(out: Path, capture: Capture | None = None) -> Path:
    """Write `report.html` beside process.json.

    Args:
        out: the folder that `macro-splat process` has filled: process.json, and where they exist transforms.json and
            the thumbnails and maps of sharpness in `.process/`.
        capture: what transforms.json holds, where the caller has read it already.

    Raises:
        MacroSplatError: process.json is missing or broken, or another of the files is broken.
        OSError: the page cannot be written; the old one stays.
    """
    out = Path(out)
    process = read_process(out / "process.json")
    if capture is None and (out / "transforms.json").is_file():
        capture = read_capture(out)
    page = out / "report.html"
    with atomic_write(page) as file:
        # Names of files need not be valid Unicode.
        file.write(_make_report(out, process, capture).encode("utf-8", "replace"))
    return page


def read_process(path: Path) -> dict[str, Any]:
    """Return process.json as an object.

    Raises:
        MacroSplatError: it is missing, broken, or of another version.
    """
    try:
        process = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MacroSplatError(f"{path} cannot be read ({error.strerror}); run `macro-splat process` first") from error
    except ValueError as error:
        raise MacroSplatError(f"{path} is no valid JSON ({error}); run `macro-splat process` again") from error
    version = process.get("version") if isinstance(process, dict) else None
    if version != VERSION:
        raise MacroSplatError(f"{path}: its version is {version!r}, not {VERSION}; run `macro-splat process` again")
    return process


def _make_report(out: Path, process: Mapping[str, Any], capture: Capture | None) -> str:
    problems = [*process["problems"], *find_problems(process, capture)]
    poses = [] if capture is None else _poses(process, capture)
    values: dict[str, Any] = {"map": None, "space": None}
    scripts = []
    if capture is not None and poses:
        from plotly.offline import get_plotlyjs

        scripts = [get_plotlyjs(), static("pose_view.js")]
        values = {"map": _coverage(poses, capture), "space": pose_view(poses, capture.points, capture.scene_unit)}
    return make_page(
        "capture.html",
        f"Capture {out.resolve().name}",
        style=static("report.css"),
        scripts=scripts,
        problems=sorted(problems, key=lambda problem: SEVERITIES.index(problem["severity"])),
        tiles=list(_tiles(process, len(poses))),
        grid=photograph_grid(out / ".process", process),
        preview_gradient=GRADIENT,
        pose_facts=list(_pose_facts(process, len(poses))),
        unregistered=process["poses"]["unregistered"],
        exif=exif_table(process["photographs"]),
        seconds=process["seconds"],
        peak_memory_mb=process["peak_memory_mb"],
        photographs_folder=process["photographs_folder"],
        command=shlex.join(process["command"]),
        settings={key: v if isinstance(v, str) else json.dumps(v) for key, v in process["settings"].items()},
        **values,
    )


def _poses(process: Mapping[str, Any], capture: Capture) -> list[Pose]:
    """Return a pose per stack, in the stacks' order."""
    frames = {frame.name: frame for frame in capture.frames}
    photographs = {photograph["name"]: photograph for photograph in process["photographs"]}
    poses = []
    for stack in process["stacks"]:
        members = [photographs[name] for name in stack["photographs"] if photographs[name]["image"] in frames]
        if members:
            label = stack["id"] if len(stack["photographs"]) > 1 else members[0]["name"]
            sharpness = max(photograph["sharpness"] for photograph in members)
            poses.append(Pose(label, tuple(frames[photograph["image"]] for photograph in members), sharpness))
    return poses


def _tiles(process: Mapping[str, Any], poses: int) -> Iterator[Tile]:
    photographs, stacks, found = process["photographs"], process["stacks"], process["poses"]
    used = sum(photograph["used"] for photograph in photographs)
    sharp = sum(photograph["verdict"] == "sharp" for photograph in photographs)
    focus_stacks = sum(len(stack["photographs"]) > 1 for stack in stacks)
    yield Tile("photographs", f"{len(photographs)}", "all used" if used == len(photographs) else f"{used} used")
    yield Tile("sharp somewhere", f"{sharp}", f"of {len(photographs)}")
    yield Tile("focus stacks", f"{focus_stacks}", _stack_sizes(stacks))
    yield Tile("poses", f"{poses}", SOURCES.get(found["source"], "none known"))
    error, scale = found["reprojection_error_px"], process["scale"]
    if error is not None:
        yield Tile("reprojection error", f"{error:.2f} px", f"of {found['points']:,} points")
    if scale is None:
        yield Tile("scale", "unknown", "no millimetres")
    else:
        relative = None if scale["deviation"] is None else scale["deviation"] / scale["mm_per_unit"]
        accuracy = "" if relative is None else f", ± {100 * relative:.2g} %"
        yield Tile("scale", "in mm", SOURCES[scale["source"]] + accuracy)


def _stack_sizes(stacks: Sequence[Mapping[str, Any]]) -> str:
    sizes = sorted(len(stack["photographs"]) for stack in stacks if len(stack["photographs"]) > 1)
    if not sizes:
        return "single photographs"
    return f"of {sizes[0]}" + ("" if sizes[0] == sizes[-1] else f" to {sizes[-1]}") + " photographs"


def _pose_facts(process: Mapping[str, Any], poses: int) -> Iterator[str]:
    found, scale = process["poses"], process["scale"]
    if poses:
        yield f"{poses} poses {SOURCES.get(found['source'], '')}, {found['points']:,} sparse points."
    else:
        yield "The photographs have none."
    if found["reprojection_error_px"] is not None:
        yield (
            f"Reprojection error: the points are {found['reprojection_error_px']:.2f} px from where the photographs "
            "show them, in the mean (below 1 is good)."
        )
    if scale is not None and scale["source"] == "rig":
        yield "Scale: the rig file is in mm."
    elif scale is not None:
        deviation = scale["deviation"]
        accuracy = "" if deviation is None else f" ± {deviation:.2g} (standard deviation)"
        yield f"Scale {SOURCES[scale['source']]}: {scale['mm_per_unit']:.5g}{accuracy} mm per unit as reconstructed."


def _coverage(poses: Sequence[Pose], capture: Capture) -> CoverageMap | None:
    """Return the map of directions; None where the object's place is unknown."""
    cameras = np.stack([pose.camera_to_world for pose in poses])
    centre = object_centre(cameras, capture.points)
    if centre is None:
        return None
    seen = directions(cameras, centre)
    colours = [scale_colour(share) for share in np.linspace(0, 1, len(poses)).tolist()]
    return coverage_map(seen, [pose.label for pose in poses], colours, azimuth_gaps(seen, WIDE_GAP))
