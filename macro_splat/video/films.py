"""The films: each an iterator over frames [H, W, 3] uint8, made one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.video.free_sight import FreeSight
from macro_splat.video.path import orbit
from macro_splat.video.views import (
    View,
    depth_range,
    fit_camera,
    object_middle,
    photograph_of,
    render_view,
    straighten,
    training_poses,
)

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

Frame = NDArray[np.uint8]
"""[H, W, 3] sRGB."""
Size = tuple[int, int]
"""Width and height in pixels."""
VISIBLE_BLUR = 0.03
"""Diameter of the widest blur, as a share of the picture's width, that shows where the focus is."""


def orbit_film(run: Run, size: Size, count: int) -> Iterator[Frame]:
    """Sharp, around the object as the training cameras went; what floats between camera and object is left out."""
    straighten(run)
    poses = training_poses(run)
    camera = fit_camera(run.camera(0), *size)
    middle = object_middle(run.model, poses)
    for pose in orbit(poses, middle, count):
        camera.camera_to_worlds = torch.from_numpy(pose[None]).float()
        sight: Any = FreeSight(run.model, camera, middle)  # like a box, it says what is within
        with torch.no_grad():
            yield to_frame(run.model.get_outputs_for_camera(camera, obb_box=sight)["rgb"])


def focus_pull(run: Run, view: int, size: Size, count: int, blur: float) -> Iterator[Frame]:
    """The plane of focus goes through the object from front to back and back again, as seen from a training view.

    Args:
        blur: see `lenses_through`.
    """
    scene = render_view(run, view, size)
    sweep = 0.5 * (1 - np.cos(2 * np.pi * np.arange(count) / count))
    for lens in lenses_through(run, scene, sweep.tolist(), blur):
        yield photograph_by(lens, scene)


def before_after(run: Run, views: Sequence[int], size: Size, count: int, labels: bool = True) -> Iterator[Frame]:
    """A line wipes from each photograph to the sharp render and back; ``count`` frames for each view."""
    # It rests for a moment at both ends.
    sweep = np.clip(0.5 + 0.65 * np.cos(2 * np.pi * np.arange(count) / count), 0, 1)
    for view in views:
        scene = render_view(run, view, size)
        photograph, sharp = to_frame(photograph_of(run, scene)[0]), to_frame(scene.rgb)
        if labels:
            photograph, sharp = _labelled(photograph, "photograph", "left"), _labelled(sharp, "sharp", "right")
        for share in sweep:
            yield wipe(photograph, sharp, float(share))


def focus_stack(run: Run, view: int, size: Size, slices: int, blur: float) -> Stack:
    """Photographs with the plane of focus moved from the front of the object to its back in even steps."""
    scene = render_view(run, view, size)
    lenses = lenses_through(run, scene, np.linspace(0, 1, slices).tolist(), blur)
    return Stack(scene, lenses)


@dataclass(frozen=True, eq=False)
class Stack:
    """A synthetic focus stack."""

    scene: View
    lenses: list[VirtualLens]
    """Of the slices, the nearest focus first."""

    def frames(self) -> Iterator[Frame]:
        """The slices, and at last the all-in-focus picture."""
        for lens in self.lenses:
            yield photograph_by(lens, self.scene)
        yield to_frame(self.scene.rgb)


def lenses_through(run: Run, scene: View, shares: Sequence[float], blur: float) -> list[VirtualLens]:
    """Lenses like that of the view, focused from the nearest (0) to the farthest (1) depth that it shows.

    Steps are even in 1/distance, so that each changes the blur by as much.

    Args:
        blur: the lens's pupil, relative to that of the photograph; 0: 1, or as much more as it takes to see it.

    Raises:
        MacroSplatError: the model has no lens, nothing is to be seen, or ``blur`` is no factor.
    """
    if not (math.isfinite(blur) and blur >= 0):
        raise MacroSplatError(f"--blur {blur:g}: give a factor (1: the photograph's own lens) or 0")
    if run.model.lens is None:
        raise MacroSplatError(
            f"{run.folder}: was trained without a lens (--pipeline.model.defocus.mode); only orbit shows it"
        )
    near_far = depth_range(scene)
    if near_far is None:
        raise MacroSplatError(f"{scene.name}: the model shows nothing there to focus on; choose another --view")
    near, far = (1 / depth for depth in near_far)
    own = run.model.lens_of_view(scene.index).aperture_radius
    # What is nearest is blurred by this diameter when what is farthest is in focus.
    diameter = 2 * float(scene.focal_px) * own * (near - far)
    radius = own * (blur or max(1.0, VISIBLE_BLUR * scene.rgb.shape[1] / max(diameter, 1e-9)))
    if radius == 0:
        raise MacroSplatError(f"{scene.name}: was taken all in focus (a pinhole); choose another --view")
    return [VirtualLens(1 / (near + share * (far - near)), radius) for share in shares]


@torch.no_grad()
def photograph_by(lens: VirtualLens, scene: View) -> Frame:
    """What the lens sees of a view."""
    return to_frame(lens.photograph(scene.rgb, scene.depth, scene.alpha, scene.focal_px))


def wipe(left: Frame, right: Frame, share: float) -> Frame:
    """One picture up to this share of the width, the other beyond, with a line between."""
    width = left.shape[1]
    edge = round(share * width)
    frame = np.concatenate([left[:, :edge], right[:, edge:]], axis=1)
    half = max(1, round(width / 400))
    if 0 < edge < width:
        frame[:, max(0, edge - half) : edge + half] = 255
    return frame


def to_frame(picture: Tensor) -> Frame:
    """A picture [H, W, 3] in 0..1 as 8 bits."""
    return (255 * picture.detach().clamp(0, 1)).round().byte().cpu().numpy()


def _labelled(frame: Frame, text: str, side: str) -> Frame:
    """The frame with a word in its lower corner."""
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture, "RGBA")
    size = max(10, round(picture.height / 22))
    font = ImageFont.load_default(size)
    margin, padding = size // 2, size // 3
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width = right - left + 2 * padding
    x = margin if side == "left" else picture.width - margin - width
    y = picture.height - margin - (bottom - top) - 2 * padding
    draw.rounded_rectangle((x, y, x + width, picture.height - margin), radius=padding, fill=(0, 0, 0, 140))
    draw.text((x + padding - left, y + padding - top), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(picture)
