"""What the report shows of every focus stack: all of it in one picture, and which slice is the sharpest where."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.photographs.load import load_photograph
from macro_splat.process.stacks.alignment import align_stack
from macro_splat.process.stacks.fusion import fuse_stack, register, sharpest_slice
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace, fingerprint, key_of
from macro_splat.utils.atomic import atomic_write

VERSION = 1
"""Counts changes of what is kept, so that results of older versions are made anew."""
EDGE = 480
"""Longest edge of the pictures."""
BYTES_PER_PIXEL = 6
"""At the peak: a photograph that is being decoded. What is fused is small."""
SPECKS_PX = 7
"""Wrong choices smaller than about half of this are taken out of the map."""


def preview_stacks(stacks: Sequence[Stack], workspace: Workspace) -> None:
    """Make what is missing of `previews/ID.jpg` and `previews/ID.png`, the place of the sharpest slice as grey values.

    Stacks of one photograph, or of photographs of several sizes, have none.
    """

    def preview(stack: Stack) -> None:
        fused, chosen = (workspace.folder / "previews" / f"{stack.id}{suffix}" for suffix in (".jpg", ".png"))

        def make() -> bool:
            picture, sharpest = fuse([load_photograph(photograph, EDGE) for photograph in stack.photographs])
            fused.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(fused) as file:
                Image.fromarray(picture).save(file, "JPEG", quality=85)
            with atomic_write(chosen) as file:
                Image.fromarray(sharpest).save(file, "PNG")
            return True

        key = key_of(VERSION, [fingerprint(photograph) for photograph in stack.photographs])
        workspace.cached("previews", stack.id, key, make, lambda _: fused.is_file() and chosen.is_file())

    wanted = [stack for stack in stacks if len(stack.photographs) > 1 and stack.of_one_size]
    if wanted:
        workspace.for_each(wanted, preview, what="Stacks", bytes_per_pixel=BYTES_PER_PIXEL)


def fuse(pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the slices [H, W, 3] of one stack, registered, as one picture [H, W, 3], and the map [H, W]."""
    alignments = align_stack(pictures)
    slices = [
        register(picture.astype(np.float32) / 255, alignment)
        for picture, alignment in zip(pictures, alignments, strict=True)
    ]
    sharpest = sharpest_slice(slices)
    fused = np.round(255 * fuse_stack(slices, sharpest)).astype(np.uint8)
    return fused, np.asarray(cv2.medianBlur(np.minimum(sharpest, 255).astype(np.uint8), SPECKS_PX))
