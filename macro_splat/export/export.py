"""What `macro-splat export` does: a run's splats, points or mesh, metric and without background."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from macro_splat.errors import MacroSplatError
from macro_splat.export.formats import WRITERS, write_splats
from macro_splat.export.surface import MESH_ENDINGS, Surface, fuse_surface, write_mesh, write_points
from macro_splat.model.macro_splat_model import NEAR_PLANE
from macro_splat.runs import Run
from macro_splat.runs.cameras import training_cameras
from macro_splat.runs.clean import CleanConfig, object_gaussians
from macro_splat.runs.frame import Frame, output_frame
from macro_splat.runs.gaussians import Gaussians
from macro_splat.utils.atomic import atomic_folder, atomic_write
from macro_splat.utils.progress import ProgressCallback, no_progress

What = Literal["splats", "points", "mesh"]
EVERYTHING = ("splats.ply", "splats.splat", "splats.spz", "points.ply", "mesh.ply")
"""Written where a folder is asked for, with `RECORD`."""
RECORD = "export.json"


@dataclass
class ExportConfig:
    """What is written, where it stands and what is left out."""

    what: What = "splats"
    """Into a file: the splats, or the surface that they show as points with normals or as a mesh."""
    frame: Literal["world", "model"] = "world"
    """world = that of the capture's poses, in mm where the scale is known; model = as it was trained."""
    keep_all: bool = False
    """Take off nothing: haze, background and floaters stay."""
    clean: CleanConfig = field(default_factory=CleanConfig)
    """What is taken off else."""
    crop: tuple[float, float, float, float, float, float] | None = None
    """Box to keep, in the units of what is written: least x y z, greatest x y z."""
    voxel: float | None = None
    """Edge of a voxel of the surface, in those units; None = what a pixel covers."""
    overwrite: bool = False
    """Replace what is there."""


def planned_files(out: Path, config: ExportConfig) -> list[Path]:
    """What an export will write.

    Raises:
        MacroSplatError: an option is impossible, an ending does not fit, or something is there already.
    """
    _check(config)
    if out.suffix == "":
        files = [out / name for name in (*EVERYTHING, RECORD)]
    else:
        endings = {"splats": tuple(WRITERS), "points": (".ply",), "mesh": MESH_ENDINGS}[config.what]
        if out.suffix.lower() not in endings:
            allowed = " or ".join(endings)
            raise MacroSplatError(f"{out}: {config.what} are written as {allowed}; a name without ending is a folder")
        files = [out]
    for file in files:
        if file.is_dir():
            raise MacroSplatError(f"{file} is a folder; give another name")
        if file.exists() and not config.overwrite:
            raise MacroSplatError(f"{file} exists already; give another name, or --overwrite")
    return files


def export(run: Run, out: Path, config: ExportConfig, progress: ProgressCallback = no_progress) -> dict:
    """Write a file, or, where `out` has no ending, a folder with `EVERYTHING` in it.

    Returns:
        what was done, in plain numbers: unit, numbers of splats and what was taken off, the files.

    Raises:
        MacroSplatError: something is in the way or an option is impossible; nothing was written then.
    """
    files = planned_files(out, config)
    frame = output_frame(run.metadata, config.frame)
    gaussians, removed = exported_gaussians(run, frame, config)
    if len(gaussians) == 0:
        raise MacroSplatError(f"{run.folder}: nothing is left to export; crop less, or --keep-all")
    antialiased = run.model.config.rasterize_mode == "antialiased"
    record = _record(run, frame, config, gaussians, removed)
    surface: Surface | None = None
    if out.suffix == "" or config.what != "splats":
        surface = _surface(run, frame, config, gaussians, antialiased, progress)
        record["surface"] = {"voxel": surface.voxel, "vertices": len(surface.vertices)}
        record["surface"]["triangles"] = len(surface.triangles)
    # Everything that can go wrong has gone well: now the disk is touched.
    comments = [f"units: {frame.unit}", f"frame: {config.frame}", "macro-splat export"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out, RECORD) if out.suffix == "" else nullcontext(out.parent) as folder:
        for done, name in enumerate(file.name for file in files):
            kind, file = Path(name).stem if out.suffix == "" else config.what, folder / name
            if name == RECORD:
                with atomic_write(file, "w") as stream:
                    json.dump(record, stream, indent=1)
            elif kind == "splats" or surface is None:
                write_splats(file, gaussians, comments=comments, antialiased=antialiased)
            elif kind == "points":
                write_points(file, surface, comments)
            else:
                write_mesh(file, surface, comments)
            progress("writing", done + 1, len(files))
    return record | {"files": [str(file) for file in files]}


def exported_gaussians(run: Run, frame: Frame, config: ExportConfig) -> tuple[Gaussians, dict[str, int]]:
    """Return the run's splats in a frame, cleaned and cropped, and how many were taken off by reason."""
    gaussians, removed = object_gaussians(run, frame, None if config.keep_all else config.clean)
    if config.crop is not None:
        low, high = torch.tensor(config.crop).reshape(2, 3)
        inside = ((gaussians.means >= low) & (gaussians.means <= high)).all(dim=1)
        removed["cropped"] = int((~inside).sum())
        gaussians = gaussians.select(inside)
    return gaussians, removed


def _check(config: ExportConfig) -> None:
    limits = config.clean
    if not 0 <= limits.min_opacity < 1:
        raise MacroSplatError(f"--min-opacity {limits.min_opacity:g}: must be 0 or more, and less than 1")
    for option, value in (("--max-size", limits.max_size), ("--reach", limits.reach)):
        if not value > 0:
            raise MacroSplatError(f"{option} {value:g}: must be more than 0")
    if config.voxel is not None and not 0 < config.voxel < math.inf:
        raise MacroSplatError(f"--voxel {config.voxel:g}: must be a positive length")
    crop = config.crop
    if crop is not None and not all(low < high for low, high in zip(crop[:3], crop[3:], strict=True)):
        box = " ".join(f"{value:g}" for value in crop)
        raise MacroSplatError(f"--crop {box}: the box is empty; give least x y z, then greatest x y z")


def _surface(
    run: Run, frame: Frame, config: ExportConfig, gaussians: Gaussians, antialiased: bool, progress: ProgressCallback
) -> Surface:
    return fuse_surface(
        gaussians,
        training_cameras(run, frame),
        near=NEAR_PLANE * frame.scale,
        antialiased=antialiased,
        voxel=config.voxel,
        progress=lambda done, total: progress("fusing depth maps", done, total),
    )


def _record(
    run: Run, frame: Frame, config: ExportConfig, gaussians: Gaussians, removed: dict[str, int]
) -> dict[str, Any]:
    low, high = gaussians.means.amin(dim=0), gaussians.means.amax(dim=0)
    return {
        "run": run.folder.name,
        "step": run.step,
        "unit": frame.unit,
        "frame": config.frame,
        "model_to_frame": {
            "scale": frame.scale,
            "rotation": frame.rotation.tolist(),
            "translation": frame.translation.tolist(),
        },
        "splats": len(gaussians),
        "taken_off": removed,
        "extent": [low.tolist(), high.tolist()],
    }
