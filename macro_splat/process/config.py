"""The options of `process`, as the command line reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from macro_splat.errors import MacroSplatError
from macro_splat.process.targets import parse_target

PoseSource = Literal["auto", "rig", "sfm", "none"]
Grouping = Literal["auto", "folder", "name", "time", "focus", "none"]
Motion = Literal["ring", "rail"]
MaskSource = Literal["auto", "read", "make", "none"]
MaskMeaning = Literal["ignore", "carve"]
Distortion = Literal["none", "radial", "opencv"]
WORK = ".process"
"""Folder within the capture for what reruns and the report need."""


@dataclass(frozen=True)
class ProcessConfig:
    """Where the photographs are, and how a capture is made of them."""

    photographs: Positional[Path]
    """folder with JPEG, PNG, TIFF (8 or 16 bit), WebP or raw files; folders in it count too, but for earlier captures;
    of several files of one photograph the best is taken."""
    out: Positional[Path]
    """folder for the capture, made if missing."""
    rig: Path | None = None
    """rig.yaml that describes a turntable or dome, the lens and the focus steps; the latter two also count where poses
    come from the photographs."""
    poses: PoseSource = "auto"
    """auto = from the rig if it describes poses, else by structure from motion; none = only look at the photographs and
    report."""
    stack_by: Grouping = "auto"
    """what tells focus stacks apart; auto = names, folders or EXIF focus distances where they are evident, else no
    stacks."""
    stack_pattern: str | None = None
    """regular expression with the groups pose and slice, as in '(?P<pose>.+)_(?P<slice>[0-9]+)'."""
    stack_motion: Motion | None = None
    """what moved the plane of focus: the lens's ring, or a rail that carries the camera."""
    masks: MaskSource = "auto"
    """read = those beside the photographs, in masks/, or in alpha channels; make = where there is none and the ground
    is plain, make one, too; auto = read, and make others for finding poses only; none."""
    mask_folder: Path | None = None
    """where masks lie, if elsewhere."""
    mask_inverted: bool = False
    """masks that are read are white where nothing is wanted."""
    mask_meaning: MaskMeaning = "ignore"
    """ignore = training leaves out what lies outside; carve = there is nothing outside: the images are filled with a
    plain colour around the object."""
    max_image_edge: int = 0
    """reduce images to this longer edge in pixels; 0: as they are."""
    scale_factor: float | None = None
    """mm per unit of the poses. Structure from motion puts the median camera at the distance 1 from the object, so the
    working distance in mm will do."""
    markers: str | None = None
    """target of known size that gives the scale: charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM,
    grid:COLUMNSxROWS:MARKER_MM:GAP_MM, loose:MARKER_MM (markers anywhere) or pair:FIRST-SECOND:DISTANCE_MM (two
    markers, by their centres), each with :DICTIONARY if it is not 4X4_50."""
    leave_out_blurred: bool = False
    """leave out photographs that are blurred by motion or wholly out of focus."""
    sharpest_only: bool = False
    """of every stack keep the sharpest photograph only."""
    distortion: Distortion = "radial"
    """of the lens, as structure from motion models it."""
    threads: int | None = None
    """at most; all processors if not given."""

    @property
    def max_edge(self) -> int | None:
        """Longer edge in pixels that images are reduced to; None: they stay as they are."""
        return self.max_image_edge or None

    def check(self) -> None:
        """Check that the options go together and that nothing is written over that is not ours.

        Raises:
            MacroSplatError: the first problem, with its flag or folder.
        """
        if self.poses == "rig" and self.rig is None:
            raise MacroSplatError("--poses rig: it needs a rig file; add --rig RIG.YAML")
        if self.max_image_edge < 0:
            raise MacroSplatError(f"--max-image-edge {self.max_image_edge}: must be 0 (as they are) or more")
        if self.scale_factor is not None and not 1e-9 < self.scale_factor < 1e9:
            raise MacroSplatError(f"--scale-factor {self.scale_factor:g}: must be positive mm per unit of the poses")
        if self.scale_factor is not None and self.markers is not None:
            raise MacroSplatError("--scale-factor and --markers: choose one of the two")
        if self.markers is not None:
            parse_target(self.markers)
        if self.threads is not None and self.threads < 1:
            raise MacroSplatError(f"--threads {self.threads}: must be at least 1")
        if self.mask_folder is not None and not self.mask_folder.is_dir():
            raise MacroSplatError(f"--mask-folder {self.mask_folder}: no such folder")
        if self.mask_meaning == "carve" and self.masks in ("auto", "none"):
            raise MacroSplatError(f"--mask-meaning carve with --masks {self.masks}: choose --masks read or make")
        self._check_folders()

    def _check_folders(self) -> None:
        photographs, out = self.photographs, self.out
        if out.exists() and not out.is_dir():
            raise MacroSplatError(f"{out} is a file; name a folder for the capture")
        source, target = photographs.resolve(), out.resolve()
        if source == target or any(source.is_relative_to(target / name) for name in ("images", "masks", WORK)):
            raise MacroSplatError(
                f"{photographs} would be written over; name another folder than {out} for the capture"
            )
        foreign = [name for name in ("transforms.json", "images", "masks") if (out / name).exists()]
        if foreign and not (out / WORK).is_dir():
            raise MacroSplatError(
                f"{out / foreign[0]} was not made by `process` and is not touched; name another folder"
            )

    def settings(self) -> dict[str, Any]:
        """Return the options by name, without the two folders, as values of JSON's types."""
        options = {name: value for name, value in vars(self).items() if name not in ("photographs", "out")}
        return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
