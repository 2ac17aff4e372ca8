"""Rectangles of a photograph's pixels: parts that are trained on, and what lies around them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

SMALLEST_EDGE = 64
"""Pixels: narrower parts at the border are widened, for the structural similarity looks 11 pixels around."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of whole pixels of a photograph; it may reach beyond it."""

    left: int
    top: int
    width: int
    height: int
    full_width: int
    """Of the photograph."""
    full_height: int

    @classmethod
    def whole(cls, width: int, height: int) -> Crop:
        """All of a photograph."""
        return cls(0, 0, width, height, width, height)

    def of(self, picture: Tensor) -> Tensor:
        """That part of a picture [H, W, ...] of the photograph's size; a view."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def widened(self, margin: int, cell: int = 1) -> Crop:
        """With a margin on all sides, also beyond the photograph; it begins at a whole number of cells."""
        left, top = ((edge - margin) // cell * cell for edge in (self.left, self.top))
        right, bottom = self.left + self.width + margin, self.top + self.height + margin
        return Crop(left, top, right - left, bottom - top, self.full_width, self.full_height)

    def within(self, other: Crop) -> Crop:
        """The same pixels, counted from the corner of another crop that holds them."""
        return Crop(self.left - other.left, self.top - other.top, self.width, self.height, other.width, other.height)

    def camera(self, camera: Cameras) -> Cameras:
        """One camera of the whole photograph [1], as one that sees this part of it; its metadata also holds `crop`."""
        part = Cameras(
            camera_to_worlds=camera.camera_to_worlds,
            fx=camera.fx,
            fy=camera.fy,
            cx=camera.cx - self.left,
            cy=camera.cy - self.top,
            width=torch.full_like(camera.width, self.width),
            height=torch.full_like(camera.height, self.height),
            camera_type=camera.camera_type,
        )
        part.metadata = {**(camera.metadata or {}), "crop": self}
        return part


def random_crop(width: int, height: int, most_pixels: float, generator: torch.Generator) -> Crop | None:
    """A part of at most so many pixels, of the photograph's proportions; None if the whole has no more.

    It is any tile, each as likely, of a grid that lies at random: so every pixel comes up equally often, also at the
    border.
    """
    if width * height <= most_pixels:
        return None
    scale = math.sqrt(most_pixels / (width * height))
    sides = []
    for whole in (width, height):
        edge = min(max(int(scale * whole), 1), whole)
        first = (
            int(torch.randint(edge, (), generator=generator)) - edge + 1
        )  # of the grid's first tile, -edge < first <= 0
        tiles = -(-(whole - first) // edge)
        begin = first + edge * int(torch.randint(tiles, (), generator=generator))
        begin, end = max(begin, 0), min(begin + edge, whole)
        least = min(SMALLEST_EDGE, edge)
        if end - begin < least:
            begin = min(begin, whole - least)
            end = begin + least
        sides.append((begin, end - begin))
    (left, part_width), (top, part_height) = sides
    return Crop(left, top, part_width, part_height, width, height)
