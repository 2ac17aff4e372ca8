"""The options of `macro-splat export` and `macro-splat deblur`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from macro_splat.errors import MacroSplatError
from macro_splat.runs.clean_config import CleanConfig

EVERYTHING = ("splats.ply", "splats.splat", "splats.spz", "points.ply", "mesh.ply")
"""Written where a folder is asked for, with `RECORD`."""
RECORD = "export.json"
ENDINGS = {"splats": (".ply", ".splat", ".spz"), "points": (".ply",), "mesh": (".ply", ".obj")}
"""Of the files that can hold each."""


@dataclass(frozen=True)
class ExportConfig:
    """What is written, where it stands and what is left out."""

    run: Positional[Path]
    """folder of a training, its config.yml, or a folder above: the newest run in it."""
    out: Positional[Path]
    """file, whose ending names the format: .ply, .splat or .spz for splats, .ply for points, .ply or .obj for a mesh;
    without an ending a folder for all of them."""
    what: Literal["splats", "points", "mesh"] = "splats"
    """into a file: the splats, or their surface as points with normals or as a mesh."""
    frame: Literal["world", "model"] = "world"
    """world = the capture's, in mm where its scale is known; model = as it was trained, as ns-export has it."""
    keep_all: bool = False
    """take off nothing."""
    clean: Annotated[CleanConfig, arg(name="")] = field(default_factory=CleanConfig)
    crop: tuple[float, float, float, float, float, float] | None = None
    """box to keep, in the units that are written: least x y z, greatest x y z."""
    voxel: float | None = None
    """finest detail of points and mesh, in those units; what a pixel covers if not given."""
    data: Path | None = None
    """where the capture is, if it was moved since the training."""
    overwrite: bool = False
    """replace what is there."""

    def planned_files(self) -> list[Path]:
        """Return what the export will write.

        Raises:
            MacroSplatError: an option is impossible, an ending does not fit, or something is there already.
        """
        self._check_values()
        if self.out.suffix == "":
            files = [self.out / name for name in (*EVERYTHING, RECORD)]
        elif self.out.suffix.lower() in ENDINGS[self.what]:
            files = [self.out]
        else:
            allowed = " or ".join(ENDINGS[self.what])
            raise MacroSplatError(
                f"{self.out}: {self.what} are written as {allowed}; a name without ending is a folder"
            )
        for file in files:
            if file.is_dir():
                raise MacroSplatError(f"{file} is a folder; give another name")
            if file.exists() and not self.overwrite:
                raise MacroSplatError(f"{file} exists already; give another name, or --overwrite")
        return files

    def _check_values(self) -> None:
        self.clean.check()
        if self.voxel is not None and not 0 < self.voxel < math.inf:
            raise MacroSplatError(f"--voxel {self.voxel:g}: must be a positive length")
        crop = self.crop
        if crop is not None and not all(low < high for low, high in zip(crop[:3], crop[3:], strict=True)):
            box = " ".join(f"{value:g}" for value in crop)
            raise MacroSplatError(f"--crop {box}: the box is empty; give least x y z, then greatest x y z")


@dataclass(frozen=True)
class DeblurConfig:
    """Where the sharp photographs are written, and how large."""

    run: Positional[Path]
    """folder of a training, its config.yml, or a folder above: the newest run in it."""
    out: Positional[Path]
    """folder for sharp/ (8 bit), sigma/ (16 bit: the blur's standard deviation in 1/256 px), sigma_colour/ and
    lens.json."""
    max_image_edge: int = 0
    """longer edge in pixels at most; 0: the photographs' own size."""
    data: Path | None = None
    """where the capture is, if it was moved since the training."""
    overwrite: bool = False
    """replace what is there."""

    def check(self) -> None:
        """Refuse a folder that holds something, and a size that is none.

        Raises:
            MacroSplatError: there is something in the way, or an option is impossible.
        """
        if self.max_image_edge < 0:
            raise MacroSplatError(f"--max-image-edge {self.max_image_edge}: must be positive, or 0 for full size")
        if self.out.exists() and not self.out.is_dir():
            raise MacroSplatError(f"{self.out} is a file; give a folder")
        if not self.overwrite and self.out.is_dir() and any(self.out.iterdir()):
            raise MacroSplatError(f"{self.out} holds something already; give another folder, or --overwrite")
