"""The films: each an iterator over pictures [H, W, 3] uint8, made one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.runs.cameras import training_poses
from macro_splat.runs.views import (
    RenderedView,
    fit_camera,
    object_middle,
    photograph_of,
    render_view,
    undistort,
)
from macro_splat.video.camera_path import CameraPath
from macro_splat.video.config import LensOptions
from macro_splat.video.framing import all_in_frame, object_extent
from macro_splat.video.lenses import lens_for, lenses_through
from macro_splat.video.occluder_filter import OccluderFilter
from macro_splat.video.path import orbit

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

Picture = NDArray[np.uint8]
"""[H, W, 3] sRGB."""
Size = tuple[int, int]
"""Width and height in pixels."""
SHARP = LensOptions()
"""No lens was asked for."""


def orbit_film(run: Run, size: Size, count: int, options: LensOptions = SHARP) -> Iterator[Picture]:
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


def path_film(run: Run, path: CameraPath, size: Size, options: LensOptions = SHARP) -> Iterator[Picture]:
    """Along a camera path of nerfstudio's viewer."""
    for i in range(len(path.cameras)):
        camera = fit_camera(path.cameras[i : i + 1].to(run.model.device), *size)
        yield seen_by(run, camera, options, path.box)


@torch.no_grad()
def seen_by(run: Run, camera: Cameras, options: LensOptions, box: Any = None) -> Picture:
    """Return what a camera sees through the lens that was asked for, sharp if none was.

    Args:
        box: of nerfstudio's, or like one says what is within; the rest is left out.
    """
    model, before = run.model, run.model.virtual_lens
    model.virtual_lens = lens = lens_for(options, run, camera)
    try:
        outputs = model.get_outputs_for_camera(camera, obb_box=box)
        return to_picture(outputs["rgb" if lens is None else "rgb_blurred"])
    finally:
        model.virtual_lens = before


def focus_pull(run: Run, view: int, size: Size, count: int, options: LensOptions = SHARP) -> Iterator[Picture]:
    """Move the plane of focus through the object from front to back and back again, as seen from a training view.

    Args:
        options: see `lenses_through`.
    """
    scene = render_view(run, view, size)
    sweep = 0.5 * (1 - np.cos(2 * np.pi * np.arange(count) / count))
    for lens in lenses_through(run, scene, sweep.tolist(), options):
        yield photograph_by(lens, scene)


def before_after(run: Run, views: Sequence[int], size: Size, count: int, labels: bool = True) -> Iterator[Picture]:
    """Wipe from each photograph to the sharp render and back; ``count`` frames for each view."""
    # It rests for a moment at both ends.
    sweep = np.clip(0.5 + 0.65 * np.cos(2 * np.pi * np.arange(count) / count), 0, 1)
    for view in views:
        scene = render_view(run, view, size)
        photograph, sharp = to_picture(photograph_of(run, scene)[0]), to_picture(scene.rgb)
        if labels:
            photograph, sharp = _labelled(photograph, "photograph", "left"), _labelled(sharp, "sharp", "right")
        for share in sweep:
            yield wipe(photograph, sharp, float(share))


@torch.no_grad()
def photograph_by(lens: VirtualLens, scene: RenderedView) -> Picture:
    """Return what the lens sees of a view."""
    return to_picture(lens.photograph(scene.rgb, scene.depth, scene.alpha, scene.focal_px))


def wipe(left: Picture, right: Picture, share: float) -> Picture:
    """One picture up to this share of the width, the other beyond, with a line between."""
    width = left.shape[1]
    edge = round(share * width)
    wiped = np.concatenate([left[:, :edge], right[:, edge:]], axis=1)
    half = max(1, round(width / 400))
    if 0 < edge < width:
        wiped[:, max(0, edge - half) : edge + half] = 255
    return wiped


def to_picture(picture: Tensor) -> Picture:
    """Return a picture [H, W, 3] in 0..1 as 8 bits."""
    return (255 * picture.detach().clamp(0, 1)).round().byte().cpu().numpy()


def _labelled(picture: Picture, text: str, side: str) -> Picture:
    """Return the picture with a word in its lower corner."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(10, round(image.height / 22))
    font = ImageFont.load_default(size)
    margin, padding = size // 2, size // 3
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width = right - left + 2 * padding
    x = margin if side == "left" else image.width - margin - width
    y = image.height - margin - (bottom - top) - 2 * padding
    draw.rounded_rectangle((x, y, x + width, image.height - margin), radius=padding, fill=(0, 0, 0, 140))
    draw.text((x + padding - left, y + padding - top), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(image)
