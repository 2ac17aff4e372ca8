"""What a capture is: nerfstudio's transforms.json with optional keys for the optics.

Poses and points are in the capture's own world frame and in scene units; cameras follow nerfstudio's (OpenGL's)
convention: x right, y up, looking along -z, pixel centres at half integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Of OpenCV's distortion, in nerfstudio's order."""
SCENE_UNIT_IN_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Millimetres per scene unit, by the names that `scene_unit` may have."""
STACK_MOTIONS = ("ring", "rail")
"""How a focus stack may be taken: the lens refocused, or the camera moved along its axis."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole in pixels of the full photograph, with OpenCV's lens distortion."""

    fl_x: float
    fl_y: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    """By `DISTORTION_KEYS`."""

    def resized(self, width: int, height: int) -> Intrinsics:
        """Return the same camera with an image of another size."""
        x, y = width / self.width, height / self.height
        return Intrinsics(self.fl_x * x, self.fl_y * y, self.cx * x, self.cy * y, width, height, self.distortion)


@dataclass(frozen=True)
class Optics:
    """The lens as it stood when the photograph was taken; None = unknown."""

    focus_distance: float | None = None
    """From the centre of projection along the optical axis to the plane of sharp focus, in scene units."""
    aperture_radius: float | None = None
    """Radius of the entrance pupil in scene units; 0 = a pinhole, all sharp."""
    f_number: float | None = None
    """As EXIF gives it."""
    focal_length_mm: float | None = None
    """Of the lens itself, not the 35 mm equivalent."""
    stack_motion: str | None = None
    """How a focus stack was taken: "ring" (lens refocused) or "rail" (camera moved along its axis)."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One photograph."""

    name: str
    """`file_path` as transforms.json has it, normalised: the frame's identity in split lists and messages."""
    image: Path
    camera_to_world: np.ndarray
    """[4, 4] float64, rigid."""
    intrinsics: Intrinsics
    optics: Optics = field(default_factory=Optics)
    stack_id: str | None = None
    """Shared by the frames of one focus stack."""
    stack_index: int | None = None
    """Orders the frames of a stack."""
    mask: Path | None = None
    """0 = ignore this pixel."""
    sharp: Path | None = None
    """The all-in-focus photograph of the same pose; for evaluation."""
    depth: Path | None = None
    """[H, W] float32 .npy, z along the axis in scene units, 0 = nothing there; for evaluation."""


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Coloured points as structure from motion leaves them."""

    xyz: np.ndarray
    """[N, 3] float64, scene units, the capture's world frame."""
    rgb: np.ndarray
    """[N, 3] uint8, sRGB."""


@dataclass(frozen=True, eq=False)
class Capture:
    """A checked capture: every file named here exists and fits."""

    path: Path
    """The json file that was read; messages name it."""
    frames: tuple[Frame, ...]
    """At least one, ordered by name."""
    scene_unit: str | None = None
    """"mm", "cm", "m", or None: scale unknown."""
    camera_model: str = "OPENCV"
    """nerfstudio's name for the kind of camera."""
    points: SparsePoints | None = None
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Frame names by "train", "val" and "test", where the capture lists them."""
    applied_transform: np.ndarray | None = None
    """[3, 4] that an earlier tool applied to the original data to arrive at this world frame."""
    applied_scale: float = 1.0
    """Scale that went with it."""
    orientation_override: str | None = None
    """Orientation method that the capture asks for."""
    warnings: tuple[str, ...] = ()
    """What the user should know though it stops nothing, one line each."""

    @property
    def mm_per_unit(self) -> float | None:
        """Millimetres per scene unit; None = scale unknown."""
        return None if self.scene_unit is None else SCENE_UNIT_IN_MM[self.scene_unit]


def nearest_rigid(pose: np.ndarray) -> np.ndarray:
    """Return a pose [4, 4] whose rotation is one to the last digit, though the file rounds."""
    u, _, vt = np.linalg.svd(pose[:3, :3])
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = u @ vt, pose[:3, 3]
    return rigid
