"""Splat files that other programs open: .ply, .splat and .spz."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement

from macro_splat.errors import MacroSplatError
from macro_splat.runs.gaussians import Gaussians
from macro_splat.runs.spherical_harmonics import C0
from macro_splat.utils.atomic import atomic_write

SPZ_MAGIC = 0x5053474E
SPZ_VERSION = 2
SPZ_COLOR_SCALE = 0.15
_SPZ_MAX_COORDINATE = (1 << 23) - 1


def write_splats(path: Path, gaussians: Gaussians, *, comments: Sequence[str] = (), antialiased: bool = False) -> None:
    """Write a file of the format that its ending names, whole or not at all.

    Args:
        path: ends in .ply, .splat or .spz; its folder must exist.
        gaussians: at least one.
        comments: lines for the head of a .ply; the others have no place for them.
        antialiased: noted in an .spz: how it was trained, for viewers that can do both.

    Raises:
        MacroSplatError: another ending, or nothing to write.
    """
    ending = path.suffix.lower()
    if ending not in WRITERS:
        raise MacroSplatError(f"{path}: no format for splats; the file must end in {', '.join(WRITERS)}")
    if len(gaussians) == 0:
        raise MacroSplatError(f"{path}: no splats are left to write; choose wider limits or a larger crop")
    with atomic_write(path) as file:
        WRITERS[ending](file, gaussians, comments, antialiased)


def _write_ply(file: IO, gaussians: Gaussians, comments: Sequence[str], antialiased: bool) -> None:
    """Write the attributes of the original 3D Gaussian splatting, in its order: logits, logarithms, wxyz.

    In f_rest all coefficients of red come first, then those of green, then of blue.
    """
    n, coefficients = len(gaussians), gaussians.sh.shape[1]
    opacities = gaussians.opacities.double().clamp(1e-6, 1 - 1e-6).logit()
    blocks = {
        ("x", "y", "z"): gaussians.means,
        ("nx", "ny", "nz"): torch.zeros(n, 3),
        tuple(f"f_dc_{i}" for i in range(3)): gaussians.sh[:, 0],
        tuple(f"f_rest_{i}" for i in range(3 * (coefficients - 1))): gaussians.sh[:, 1:].transpose(1, 2).flatten(1),
        ("opacity",): opacities[:, None],
        tuple(f"scale_{i}" for i in range(3)): gaussians.scales.clamp(min=1e-30).log(),
        tuple(f"rot_{i}" for i in range(4)): gaussians.quats,
    }
    names = [name for block in blocks for name in block]
    values = np.concatenate([block.numpy() for block in blocks.values()], axis=1).astype("<f4")
    vertices = np.ascontiguousarray(values).view([(name, "<f4") for name in names])[:, 0]
    PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<", comments=list(comments)).write(file)


def _write_splat(file: IO, gaussians: Gaussians, comments: Sequence[str], antialiased: bool) -> None:
    """32 bytes each: position and standard deviations as float32, RGBA and wxyz as bytes; the weightiest first, so that
    a viewer has something to show while it loads (the format of antimatter15/splat). View-dependent colour is lost.
    """
    order = (gaussians.scales.prod(dim=1) * gaussians.opacities).argsort(descending=True)
    g = gaussians.select(order)
    record = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
    records = np.empty(len(g), record)
    records["mean"], records["scale"] = g.means.numpy(), g.scales.numpy()
    rgba = torch.cat([0.5 + C0 * g.sh[:, 0], g.opacities[:, None]], dim=1)
    records["rgba"] = _bytes(255 * rgba.numpy())
    records["quat"] = _bytes(128 * g.quats.numpy() + 128)
    file.write(records.tobytes())


def _write_spz(file: IO, gaussians: Gaussians, comments: Sequence[str], antialiased: bool) -> None:
    """Version 2 of nianticlabs/spz, the one that most viewers read: 11 % of a .ply of degree 2.

    Positions are fixed-point numbers of 24 bits, whose fraction is as fine as the object's extent allows; everything
    else is bytes. Axes are left as they are.
    """
    extent = float(gaussians.means.abs().max())
    bits = min(23, math.floor(math.log2(_SPZ_MAX_COORDINATE / max(extent, 1e-6))))
    if bits < 0:
        raise MacroSplatError(f".spz holds no coordinates beyond 8388607, and there is one of {extent:.6g}: crop it")
    degree = gaussians.sh_degree
    head = struct.pack("<IIIBBBB", SPZ_MAGIC, SPZ_VERSION, len(gaussians), degree, bits, int(antialiased), 0)
    fixed = np.round(gaussians.means.double().numpy() * 2**bits).astype("<i4")
    positions = np.ascontiguousarray(fixed)[..., None].view(np.uint8)[..., :3]
    quats = gaussians.quats.numpy()
    quats = np.where(quats[:, :1] < 0, -quats, quats)[:, 1:]
    parts = [
        positions,
        _bytes(255 * gaussians.opacities.numpy()),
        _bytes(255 * (SPZ_COLOR_SCALE * gaussians.sh[:, 0].numpy() + 0.5)),
        _bytes(16 * (gaussians.scales.clamp(min=1e-30).log().numpy() + 10)),
        _bytes(127.5 * quats + 127.5),
        _quantise_harmonics(gaussians.sh[:, 1:].numpy()),
    ]
    # No time in the head: the same model gives the same file.
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        for part in (head, *(np.ascontiguousarray(part).tobytes() for part in parts)):
            packed.write(part)


def _quantise_harmonics(sh: NDArray) -> NDArray:
    """Coefficients in -1..1 as bytes, rounded to 5 bits in degree 1 and to 4 above, which compresses better."""
    steps = np.where(np.arange(sh.shape[1]) < 3, 8, 16)[None, :, None]
    values = np.round(sh * 128) + 128
    return _bytes(np.floor((values + steps / 2) / steps) * steps)


def _bytes(values: NDArray) -> NDArray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


WRITERS: dict[str, Callable[[IO, Gaussians, Sequence[str], bool], None]] = {
    ".ply": _write_ply,
    ".splat": _write_splat,
    ".spz": _write_spz,
}
"""By the ending of a file."""
