"""`macro-splat export`: splats, points and mesh of a run, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def export(
    run: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    what: Literal["splats", "points", "mesh"] = "splats",
    frame: Literal["world", "model"] = "world",
    keep_all: bool = False,
    min_opacity: float = 0.02,
    max_size: float = 0.25,
    reach: float = 2.0,
    crop: tuple[float, float, float, float, float, float] | None = None,
    voxel: float | None = None,
    data: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Write a run's splats, points or mesh in the capture's frame and in mm, without background and floaters.

    Args:
        run: folder of a training, its config.yml, or a folder above: the newest run in it.
        out: file, whose ending names the format: .ply, .splat or .spz for splats, .ply for points, .ply or .obj for a
            mesh; without an ending a folder for all of them.
        what: into a file: the splats, or their surface as points with normals or as a mesh.
        frame: world = the capture's, in mm where its scale is known; model = as it was trained, as ns-export has it.
        keep_all: take off nothing.
        min_opacity: fainter splats are taken off.
        max_size: larger splats are taken off: standard deviation as a share of the object's radius.
        reach: splats farther from the object's centre are taken off: as a multiple of its radius.
        crop: box to keep, in the units that are written: least x y z, greatest x y z.
        voxel: finest detail of points and mesh, in those units; what a pixel covers if not given.
        data: where the capture is, if it was moved since the training.
        overwrite: replace what is there.
    """
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.export.export import ExportConfig, planned_files
    from macro_splat.export.export import export as write
    from macro_splat.runs import load_run
    from macro_splat.runs.clean import CleanConfig

    limits = CleanConfig(min_opacity=min_opacity, max_size=max_size, reach=reach)
    config = ExportConfig(what, frame, keep_all, limits, crop, voxel, overwrite)
    planned_files(out, config)  # before the long way to a loaded run
    loaded = load_run(run, data=data)
    with StageBars() as bars:
        record = write(loaded, out, config, progress=bars.update)
    taken_off = ", ".join(f"{count} {reason}" for reason, count in record["taken_off"].items() if count)
    print(f"{record['splats']} splats in {record['unit']}" + (f"; taken off: {taken_off}" if taken_off else ""))
    for file in record["files"]:
        print(f"  {file}  {Path(file).stat().st_size / 1e6:.1f} MB")
    return 0
