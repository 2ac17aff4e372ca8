"""What `macro-splat export` does: a run's splats, points or mesh, metric and without background."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from macro_splat.errors import MacroSplatError
from macro_splat.export.config import RECORD, ExportConfig
from macro_splat.export.formats import write_splats
from macro_splat.export.surface import Surface, fuse_surface, write_mesh, write_points
from macro_splat.model.macro_splat_model import NEAR_PLANE
from macro_splat.runs.cameras import training_cameras
from macro_splat.runs.clean import object_gaussians
from macro_splat.runs.frame import OutputFrame, output_frame
from macro_splat.runs.gaussians import Gaussians
from macro_splat.runs.load import Run, load_run
from macro_splat.utils.atomic import atomic_folder, atomic_write
from macro_splat.utils.progress import ProgressCallback, no_progress


def export(config: ExportConfig, progress: ProgressCallback = no_progress) -> dict[str, Any]:
    """Refuse bad options, load the run, which takes long, and write it: see `export_run`."""
    config.planned_files()
    return export_run(load_run(config.run, data=config.data), config, progress)


def export_run(run: Run, config: ExportConfig, progress: ProgressCallback = no_progress) -> dict[str, Any]:
    """Write a file, or, where `config.out` has no ending, a folder with `EVERYTHING` in it.

    Returns:
        what was done, in plain numbers: unit, numbers of splats and what was taken off, the files.

    Raises:
        MacroSplatError: something is in the way or an option is impossible; nothing was written then.
    """
    files, out = config.planned_files(), config.out
    is_folder = out.suffix == ""
    frame = output_frame(run.metadata, config.frame)
    gaussians, removed = exported_gaussians(run, frame, config)
    if len(gaussians) == 0:
        raise MacroSplatError(f"{run.folder}: nothing is left to export; crop less, or --keep-all")
    antialiased = run.model.config.rasterize_mode == "antialiased"
    record = _record(run, frame, config, gaussians, removed)
    surface: Surface | None = None
    if is_folder or config.what != "splats":
        surface = fuse_surface(
            gaussians,
            training_cameras(run, frame),
            near=NEAR_PLANE * frame.scale,
            antialiased=antialiased,
            voxel=config.voxel,
            progress=lambda done, total: progress("fusing depth maps", done, total),
        )
        record["surface"] = {"voxel": surface.voxel, "vertices": len(surface.vertices)}
        record["surface"]["triangles"] = len(surface.triangles)
    # Everything that can go wrong has gone well: now the disk is touched.
    comments = [f"units: {frame.unit}", f"frame: {config.frame}", "macro-splat export"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out, RECORD) if is_folder else nullcontext(out.parent) as folder:
        for done, name in enumerate(file.name for file in files):
            kind, file = Path(name).stem if is_folder else config.what, folder / name
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


def exported_gaussians(run: Run, frame: OutputFrame, config: ExportConfig) -> tuple[Gaussians, dict[str, int]]:
    """Return the run's splats in a frame, cleaned and cropped, and how many were taken off by reason."""
    gaussians, removed = object_gaussians(run, frame, None if config.keep_all else config.clean)
    if config.crop is not None:
        low, high = torch.tensor(config.crop).reshape(2, 3)
        inside = ((gaussians.means >= low) & (gaussians.means <= high)).all(dim=1)
        removed["cropped"] = int((~inside).sum())
        gaussians = gaussians.select(inside)
    return gaussians, removed


def _record(
    run: Run, frame: OutputFrame, config: ExportConfig, gaussians: Gaussians, removed: dict[str, int]
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
