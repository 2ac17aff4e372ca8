"""A focus stack as one picture: all in focus, and which slice is the sharpest where.

Each pixel is taken from the slice that is sharpest around it, by the local energy of its Laplacian (Nayar & Nakagawa,
Shape from Focus, PAMI 1994). Choices are blended in a Laplacian pyramid (Burt & Adelson, 1983), so that no seams
appear where neighbouring pixels come from different slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from macro_splat.process.stacks.alignment import SliceAlignment

Picture = NDArray[Any]
"""[H, W] or [H, W, C] float32"""

ENERGY_SIGMA_PX = 3.0
"""Width of the Gaussian that gathers the energy around a pixel."""
NOISE_SIGMA_PX = 1.0
"""Width of the smoothing before the Laplacian, which would answer to sensor noise."""
LEVELS = 3


def sharpest_slice(slices: Sequence[Picture]) -> NDArray[np.intp]:
    """[H, W] the place, in the stack, of the slice that is sharpest around each pixel; `slices` as of `fuse_stack`."""
    return np.asarray(np.argmax([sharpness_energy(picture) for picture in slices], axis=0))


def fuse_stack(slices: Sequence[Picture], sharpest: NDArray[np.intp] | None = None) -> Picture:
    """One all-in-focus picture of a stack.

    Args:
        slices: [H, W, C] each, values in 0..1, of one pose.
        sharpest: [H, W] as `sharpest_slice` gives it, where that is known already.

    Returns:
        [H, W, C] in 0..1.
    """
    if len(slices) == 1:
        return slices[0]
    sharpest = sharpest_slice(slices) if sharpest is None else sharpest
    levels = min(LEVELS, int(np.log2(min(slices[0].shape[:2]))) - 1)
    fused: list[Any] = [0.0] * (levels + 1)
    for i, picture in enumerate(slices):
        chosen = _gaussian_pyramid((sharpest == i).astype(np.float32), levels)
        for level, (band, weight) in enumerate(zip(_laplacian_pyramid(picture, levels), chosen, strict=True)):
            fused[level] = fused[level] + band * weight[..., None]
    result = fused[-1]
    for band in reversed(fused[:-1]):
        result = band + _enlarged(result, band)
    return np.clip(result, 0.0, 1.0)


def register(picture: Picture, alignment: SliceAlignment) -> Picture:
    """Return a slice as the reference of its stack would show it: what moved with the focus is put back.

    Args:
        picture: [H, W, C]. alignment: of a picture of this size. Beyond its edge it is continued by mirroring.
    """
    height, width = picture.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre + np.array(alignment.shift_px) - alignment.scale * centre
    return magnified(picture, alignment.scale, offset, (width, height))


def magnified(picture: Picture, scale: float, offset: Sequence[float] | NDArray[Any], size: tuple[int, int]) -> Picture:
    """Return a picture of another width and height that shows at x what the given one shows at scale · x + offset.

    Beyond the edge it is continued by mirroring. Pixels are counted from their centres, as OpenCV does.
    """
    matrix = np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101))


def sharpness_energy(picture: Picture, sigma_px: float = ENERGY_SIGMA_PX) -> Picture:
    """[H, W] energy of the Laplacian around every pixel of a picture [H, W, C], gathered by a Gaussian."""
    grey = cv2.GaussianBlur(picture[..., :3].mean(axis=-1), (0, 0), NOISE_SIGMA_PX)
    return cv2.GaussianBlur(cv2.Laplacian(grey, cv2.CV_32F) ** 2, (0, 0), sigma_px)


def _gaussian_pyramid(picture: Picture, levels: int) -> list[Picture]:
    pyramid = [picture]
    for _ in range(levels):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _laplacian_pyramid(picture: Picture, levels: int) -> list[Picture]:
    """Band-passes from fine to coarse, and what is left."""
    smooth = _gaussian_pyramid(picture, levels)
    return [fine - _enlarged(coarse, fine) for fine, coarse in itertools.pairwise(smooth)] + [smooth[-1]]


def _enlarged(coarse: Picture, like: Picture) -> Picture:
    return cv2.pyrUp(coarse, dstsize=(like.shape[1], like.shape[0]))
