"""The films: each an iterator over frames [H, W, 3] uint8, made one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.runs.views import (
    RenderedView,
    depth_range,
    fit_camera,
    object_middle,
    photograph_of,
    render_view,
    training_poses,
    undistort,
)
from macro_splat.video.camera_path import CameraPath
from macro_splat.video.framing import all_in_frame, object_extent
from macro_splat.video.lens_options import LensOptions
from macro_splat.video.occluder_filter import OccluderFilter
from macro_splat.video.path import orbit

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

Frame = NDArray[np.uint8]
"""[H, W, 3] sRGB."""
Size = tuple[int, int]
"""Width and height in pixels."""
SHARP = LensOptions()
"""No lens was asked for."""
VISIBLE_BLUR = 0.03
"""Diameter of the widest blur, as a share of the picture's width, that shows where the focus is."""


def orbit_film(run: Run, size: Size, count: int, options: LensOptions = SHARP) -> Iterator[Frame]:
    """Around the object as the training cameras went, but from so far that all of it is in the picture.

    What floats between camera and object is left out.
    """
    undistort(run)
    training = training_poses(run)
    camera = fit_camera(run.camera(0), *size)
    middle = object_middle(run.model, training)
    circle = orbit(training, middle, count)
    usual = float(np.linalg.norm(circle[0, :, 3] - middle))
    for pose in all_in_frame(circle, middle, camera, *object_extent(run)):
        camera.camera_to_worlds = torch.from_numpy(pose[None]).float()
        yield seen_by(run, camera, options, OccluderFilter(run.model, camera, middle, usual))


def path_film(run: Run, path: CameraPath, size: Size, options: LensOptions = SHARP) -> Iterator[Frame]:
    """Along a camera path of nerfstudio's viewer."""
    for i in range(len(path.cameras)):
        camera = fit_camera(path.cameras[i : i + 1].to(run.model.device), *size)
        yield seen_by(run, camera, options, path.box)


@torch.no_grad()
def seen_by(run: Run, camera: Cameras, options: LensOptions, box: Any = None) -> Frame:
    """What a camera sees through the lens that was asked for, sharp if none was.

    Args:
        box: of nerfstudio's, or like one says what is within; the rest is left out.
    """
    model, before = run.model, run.model.virtual_lens
    model.virtual_lens = lens = options.lens_for(run, camera)
    try:
        outputs = model.get_outputs_for_camera(camera, obb_box=box)
        return to_frame(outputs["rgb" if lens is None else "rgb_blurred"])
    finally:
        model.virtual_lens = before


def focus_pull(run: Run, view: int, size: Size, count: int, options: LensOptions = SHARP) -> Iterator[Frame]:
    """The plane of focus goes through the object from front to back and back again, as seen from a training view.

    Args:
        options: see `lenses_through`.
    """
    scene = render_view(run, view, size)
    sweep = 0.5 * (1 - np.cos(2 * np.pi * np.arange(count) / count))
    for lens in lenses_through(run, scene, sweep.tolist(), options):
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


def focus_stack(run: Run, view: int, size: Size, slices: int, options: LensOptions = SHARP) -> Stack:
    """Photographs with the plane of focus moved from the front of the object to its back in even steps."""
    scene = render_view(run, view, size)
    lenses = lenses_through(run, scene, np.linspace(0, 1, slices).tolist(), options)
    return Stack(scene, lenses)


@dataclass(frozen=True, eq=False)
class Stack:
    """A synthetic focus stack."""

    scene: RenderedView
    lenses: list[VirtualLens]
    """Of the slices, the nearest focus first."""

    def frames(self) -> Iterator[Frame]:
        """The slices, and at last the all-in-focus picture."""
        for lens in self.lenses:
            yield photograph_by(lens, self.scene)
        yield to_frame(self.scene.rgb)


def lenses_through(run: Run, scene: RenderedView, shares: Sequence[float], options: LensOptions) -> list[VirtualLens]:
    """Lenses like that of the view, focused from the nearest (0) to the farthest (1) depth that it shows.

    Steps are even in 1/distance, so that each changes the blur by as much.

    Args:
        options: of the pupil; where they say nothing it is the photograph's, or as much wider as it takes to see it.

    Raises:
        MacroSplatError: the model has no lens, nothing is to be seen, or the capture knows no f-numbers.
    """
    if run.model.lens is None:
        raise MacroSplatError(
            f"{run.folder}: was trained without a lens (--pipeline.model.defocus.mode); only orbit shows it"
        )
    near_far = depth_range(scene)
    if near_far is None:
        raise MacroSplatError(f"{scene.name}: the model shows nothing there to focus on; choose another --view")
    near, far = (1 / depth for depth in near_far)
    own = run.model.lens_of_view(scene.index).aperture_radius
    radius = options.aperture_radius(run, own)
    if not options.given:
        # What is nearest is blurred by this diameter when what is farthest is in focus.
        diameter = 2 * float(scene.focal_px) * own * (near - far)
        radius *= max(1.0, VISIBLE_BLUR * scene.rgb.shape[1] / max(diameter, 1e-9))
    if radius == 0:
        raise MacroSplatError(f"{scene.name}: was taken all in focus (a pinhole); choose another --view")
    return [VirtualLens(1 / (near + share * (far - near)), radius) for share in shares]


@torch.no_grad()
def photograph_by(lens: VirtualLens, scene: RenderedView) -> Frame:
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
