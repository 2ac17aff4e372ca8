"""Write a capture: images, masks, sparse points and transforms.json. The originals are only ever read.

What a mask means is the user's choice. "ignore": the mask becomes `mask_path`, and training leaves out what lies
outside, whatever is there. "carve": there is nothing outside. The picture is then filled with one colour around the
object, the background's own where the photographs have a plain one, else black: training recognises a plain background
as empty and learns no opacity there. A fourth channel would say less: training composes it with the background, but
does not take it for a silhouette, and the rim of a background of another colour would stay.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from plyfile import PlyData, PlyElement

from macro_splat.capture.format import DISTORTION_KEYS, Frame, SparsePoints
from macro_splat.photographs.load import Photograph, reduced_size
from macro_splat.process.mask_stage import PreparedMask
from macro_splat.process.poses import Poses
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace, file_fingerprint, fingerprint, key_of
from macro_splat.process.write_image import image_name, write_image, write_mask
from macro_splat.utils.atomic import atomic_write

VERSION = 1
"""Counts changes of how images are written, so that those of older versions are written anew."""
BYTES_PER_PIXEL = 14
"""At the peak of writing an image: the decoded picture, a rotated copy, a converted one, and the encoder's buffers."""
TRANSFORMS, POINTS = "transforms.json", "sparse_pc.ply"


class CaptureWriter:
    """Writes into one folder, and removes what an earlier run left there and this one does not.

    All of a capture is written beside the earlier one before it takes its place, and the earlier one is kept until
    `settle`: whatever goes wrong before, `restore` brings it back.
    """

    def __init__(self, out: Path, workspace: Workspace, max_edge: int | None) -> None:
        """
        Args:
            max_edge: images are reduced to this longer edge in pixels; None: they stay as they are.
        """
        self._out, self._workspace, self._max_edge = out, workspace, max_edge
        self._cache = workspace.cache
        self._new, self._old = workspace.folder / "new", workspace.folder / "old"

    def settle(self) -> None:
        """Forget the earlier capture: the new one is good."""
        shutil.rmtree(self._old, ignore_errors=True)

    def restore(self) -> None:
        """Put the earlier capture back, if there was one; else remove the new one."""
        if not self._old.is_dir():
            return
        before = set(self._cache.get("written", "before", "") or ())
        for name in before | set(self._cache.get("written", "files", "") or ()):
            saved = self._old / name
            if saved.is_file():
                os.replace(saved, self._out / name)
            elif name not in before:
                (self._out / name).unlink(missing_ok=True)
        self._cache.put("written", "files", "", sorted(before))
        self.settle()

    def recover(self) -> None:
        """Bring to its end what a run that was killed had begun."""
        if (self._out / TRANSFORMS).is_file():
            self.settle()
        else:
            self.restore()

    def write(
        self,
        stacks: Sequence[Stack],
        poses: Poses,
        left_out: set[str],
        masks: Mapping[str, PreparedMask],
        background: Sequence[int] | None,
    ) -> dict[str, str]:
        """Write all photographs that have poses, then let them take the place of an earlier capture.

        Args:
            left_out: names of photographs that are not wanted.
            masks: by photograph.
            background: the colour that replaces what lies outside the masks; None: it is to be ignored.

        Returns:
            Paths of the images in the capture, by photograph.
        """
        chosen = {
            photograph.name: (photograph, stack, index)
            for stack in stacks
            for index, photograph in enumerate(stack.photographs)
            if photograph.name in poses.photographs and photograph.name not in left_out
        }
        photographs = [photograph for photograph, _, _ in chosen.values()]
        images = _image_names(photographs, carved=set() if background is None else set(masks))
        files = [TRANSFORMS, *images.values(), *(mask_name(name) for name in images if name in masks)]
        files += [] if poses.points is None else [POINTS]

        def write(photograph: Photograph) -> None:
            self._write_image(photograph, images[photograph.name], masks.get(photograph.name), background)

        self._workspace.for_each(photographs, write, what="Images", bytes_per_pixel=BYTES_PER_PIXEL)
        self._new.mkdir(parents=True, exist_ok=True)
        if poses.points is not None:
            _write_points(poses.points, self._new / POINTS)
        frames = []
        for name, (photograph, stack, index) in chosen.items():
            posed, single = poses.photographs[name], len(stack.photographs) == 1
            frames.append(
                Frame(
                    name=images[name],
                    image=self._out / images[name],
                    camera_to_world=posed.camera_to_world,
                    intrinsics=posed.intrinsics.resized(*reduced_size(photograph, self._max_edge)),
                    optics=posed.optics,
                    stack_id=None if single else stack.id,
                    stack_index=None if single else index,
                    mask=self._out / mask_name(name) if name in masks and background is None else None,
                )
            )
        self._write_transforms(frames, "mm" if poses.mm else None, None if poses.points is None else POINTS)
        self._exchange(files)
        return images

    def _write_image(
        self,
        photograph: Photograph,
        image: str,
        mask: PreparedMask | None,
        background: Sequence[int] | None,
    ) -> None:
        target = self._out / image
        key = key_of(
            VERSION,
            fingerprint(photograph),
            self._max_edge,
            [file_fingerprint(mask.path), list(background)] if mask is not None and background is not None else None,
        )
        if not self._is_written(target, image, key):
            staged = self._new / image
            if not self._is_written(staged, image, key):
                outside = (mask.load(), background) if mask is not None and background is not None else None
                write_image(photograph, staged, self._max_edge, outside)
                self._cache.put("images", image, key, file_fingerprint(staged))
        if mask is not None:
            name = mask_name(photograph.name)
            copy = self._out / name
            if not copy.is_file() or copy.read_bytes() != mask.path.read_bytes():
                write_mask(mask.load(), self._new / name)

    def _write_transforms(self, frames: Sequence[Frame], scene_unit: str | None, points: str | None) -> None:
        """Write transforms.json; what all frames share stands at its top level.

        Args:
            points: path of the sparse points within the capture.
        """
        entries = [_entry(frame, self._out) for frame in frames]
        shared = {key: value for key, value in entries[0].items() if all(e.get(key) == value for e in entries)}
        for key in ("file_path", "mask_path", "transform_matrix", "stack_id", "stack_index"):
            shared.pop(key, None)
        top = {"camera_model": "OPENCV", "scene_unit": scene_unit, **shared, "ply_file_path": points}
        transforms = {key: value for key, value in top.items() if value is not None}
        transforms["frames"] = [{key: value for key, value in e.items() if key not in shared} for e in entries]
        with atomic_write(self._new / TRANSFORMS, "w") as file:
            json.dump(transforms, file, indent=1, allow_nan=False)

    def _is_written(self, path: Path, image: str, key: str) -> bool:
        """Return whether a file is the image that was written for this key; moving it changes nothing."""
        return path.is_file() and self._cache.get("images", image, key) == file_fingerprint(path)

    def _exchange(self, files: Sequence[str]) -> None:
        """Let what was written take its place; what was there before goes aside."""
        before = self._cache.get("written", "files", "") or ()
        changed = [name for name in files if (self._new / name).is_file()]
        gone = set(before) - set(files)
        self._cache.put("written", "before", "", list(before))
        self._cache.put("written", "files", "", [*files, *sorted(gone)])
        self._old.mkdir(parents=True, exist_ok=True)
        # Without this file there is no capture: it goes first and comes last.
        for name in dict.fromkeys([TRANSFORMS, *changed, *sorted(gone)]):
            _move(self._out / name, self._old / name)
        for name in sorted(changed, key=lambda name: name == TRANSFORMS):
            _move(self._new / name, self._out / name)
        self._cache.put("written", "files", "", list(files))
        shutil.rmtree(self._new, ignore_errors=True)


def _image_names(photographs: Sequence[Photograph], carved: set[str]) -> dict[str, str]:
    """Return where the image of each photograph lies; `a.tif` becomes `a.tif.png`, which another one may be called."""
    wanted = {p.name: image_name(p, carved=p.name in carved) for p in photographs}
    taken: dict[str, str] = {}
    for name in sorted(wanted, key=lambda name: wanted[name] != f"images/{name}"):  # own names come first
        image = wanted[name]
        while image in taken:
            path = PurePosixPath(image)
            image = str(path.with_name(f"{path.stem}_{path.suffix}"))
        taken[image] = name
    return {name: image for image, name in taken.items()}


def _move(source: Path, target: Path) -> None:
    """Rename a file, if it is there."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def mask_name(name: str) -> str:
    """Return where the mask of a photograph lies in the capture."""
    return f"masks/{name}.png"


def _write_points(points: SparsePoints, target: Path) -> None:
    """Write coloured points as a binary PLY."""
    columns = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertices = np.empty(len(points.xyz), dtype=columns)
    for i, (name, _) in enumerate(columns):
        vertices[name] = points.xyz[:, i] if i < 3 else points.rgb[:, i - 3]
    with atomic_write(target) as file:
        PlyData([PlyElement.describe(vertices, "vertex")]).write(file)


def _entry(frame: Frame, out: Path) -> dict[str, Any]:
    camera, optics = frame.intrinsics, frame.optics
    entry: dict[str, Any] = {
        "file_path": frame.name,
        "mask_path": None if frame.mask is None else frame.mask.relative_to(out).as_posix(),
        "transform_matrix": frame.camera_to_world.tolist(),
        "fl_x": camera.fl_x,
        "fl_y": camera.fl_y,
        "cx": camera.cx,
        "cy": camera.cy,
        "w": camera.width,
        "h": camera.height,
        **dict(zip(DISTORTION_KEYS, camera.distortion, strict=True)),
        "focus_distance": optics.focus_distance,
        "aperture_radius": optics.aperture_radius,
        "f_number": optics.f_number,
        "focal_length_mm": optics.focal_length_mm,
        "stack_id": frame.stack_id,
        "stack_index": frame.stack_index,
        "stack_motion": optics.stack_motion,
    }
    return {key: value for key, value in entry.items() if value is not None}
