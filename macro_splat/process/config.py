"""What `process` can be told, and what of it cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from macro_splat.errors import MacroSplatError
from macro_splat.process.scale.marker_spec import parse_target
from macro_splat.process.stacks.grouping import Grouping, Motion

PoseSource = Literal["auto", "rig", "sfm", "none"]
MaskSource = Literal["auto", "read", "make", "none"]
MaskMeaning = Literal["ignore", "carve"]
Distortion = Literal["none", "radial", "opencv"]
WORK = ".process"
"""Folder within the capture for what reruns and the report need."""


@dataclass(frozen=True)
class ProcessSettings:
    """How a capture is made from photographs."""

    rig: Path | None = None
    """rig.yaml: turntable or dome, lens, focus steps."""
    poses: PoseSource = "auto"
    """"auto": from the rig if it has poses, else by structure from motion. "none": look at the photographs only."""
    stack_by: Grouping = "auto"
    """What tells focus stacks apart."""
    stack_pattern: str | None = None
    """Regular expression with the named groups `pose` and `slice` for the photographs' names."""
    stack_motion: Motion | None = None
    """What moved the plane of focus: "ring" or "rail"; as the rig says if absent."""
    masks: MaskSource = "auto"
    """"read" those that are there; "make" them, too, where the ground is plain; "none"; "auto": read those that are
    there, and make others for finding poses only."""
    mask_folder: Path | None = None
    """Where masks lie; if absent, beside the photographs and in a folder `masks`."""
    mask_inverted: bool = False
    """Masks that are read show white what is to be ignored."""
    mask_meaning: MaskMeaning = "ignore"
    """"ignore": training leaves out what lies outside. "carve": there is nothing outside."""
    max_image_edge: int = 0
    """Reduce images to this longer edge; 0: as they are."""
    scale_factor: float | None = None
    """mm per unit of the poses. Structure from motion puts the median camera 1 unit away from the object."""
    markers: str | None = None
    """Target of known size in the photographs, in one of `scale.marker_spec.FORMS`; a rig's scale bar if absent."""
    leave_out_blurred: bool = False
    """Leave out photographs that are blurred by motion or wholly out of focus."""
    sharpest_only: bool = False
    """Of every focus stack keep the sharpest photograph only."""
    distortion: Distortion = "radial"
    """Of the lens, as structure from motion models it."""
    threads: int | None = None
    """At most; all processors if absent."""

    def check(self) -> None:
        """Complain about settings that cannot be.

        Raises:
            MacroSplatError: the first one, with its flag.
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


def check_folders(photographs: Path, out: Path) -> None:
    """Complain where writing the capture would touch the photographs or a capture that is not ours.

    Raises:
        MacroSplatError: it would.
    """
    if out.exists() and not out.is_dir():
        raise MacroSplatError(f"{out} is a file; name a folder for the capture")
    source, target = photographs.resolve(), out.resolve()
    if source == target or any(source.is_relative_to(target / name) for name in ("images", "masks", WORK)):
        raise MacroSplatError(f"{photographs} would be written over; name another folder than {out} for the capture")
    strange = [name for name in ("transforms.json", "images", "masks") if (out / name).exists()]
    if strange and not (out / WORK).is_dir():
        raise MacroSplatError(f"{out / strange[0]} was not made by `process` and is not touched; name another folder")
