"""Files of splats, read back by readers of their own, and drawn."""

from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData

from macro_splat.errors import MacroSplatError
from macro_splat.export.formats import write_splats
from macro_splat.runs.gaussians import Gaussians
from tests.end_to_end.outputs import psnr, read_splats
from tests.runs.splats import looking_at_origin, random_splats

C0 = 0.28209479177387814


def picture(gaussians: Gaussians) -> np.ndarray:
    view = looking_at_origin(torch.tensor([2.0, 1.5, 0.5]), 70.0, 64)
    return gaussians.render(view.world_to_camera, view.intrinsics, 64, 64, 0.01, antialiased=False)[0].numpy()


def read_spz(path: Path) -> Gaussians:
    """By the description of nianticlabs/spz, version 2: quantities one after the other, each for all splats."""
    data = gzip.decompress(path.read_bytes())
    magic, version, count, degree, bits, _, _ = struct.unpack_from("<IIIBBBB", data)
    assert (magic, version) == (0x5053474E, 2)
    rest = (degree + 1) ** 2 - 1
    sizes = np.array([9, 1, 3, 3, 3, 3 * rest]) * count
    assert len(data) == 16 + sizes.sum()
    offsets = 16 + np.concatenate([[0], np.cumsum(sizes)])
    parts = [np.frombuffer(data[a:b], np.uint8) for a, b in itertools.pairwise(offsets)]
    position, alpha, color, scale, rotation, sh = (part.reshape(count, -1).astype(np.float64) for part in parts)
    coordinates = position.reshape(count, 3, 3) @ [1.0, 256.0, 65536.0]
    coordinates = np.where(coordinates >= 2**23, coordinates - 2**24, coordinates) / 2**bits
    xyz = rotation / 127.5 - 1
    w = np.sqrt(np.maximum(0, 1 - np.square(xyz).sum(1, keepdims=True)))
    dc = (color / 255 - 0.5) / 0.15
    coefficients = np.concatenate([dc[:, None], (sh.reshape(count, rest, 3) - 128) / 128], axis=1)
    values = coordinates, np.concatenate([w, xyz], axis=1), np.exp(scale / 16 - 10), alpha[:, 0] / 255, coefficients
    return Gaussians(*(torch.from_numpy(value).float() for value in values))


def read_splat(path: Path) -> Gaussians:
    """By the description of antimatter15/splat: 32 bytes for each."""
    rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 32)
    floats = rows[:, :24].copy().view("<f4")
    rgba, quats = rows[:, 24:28] / 255, (rows[:, 28:32].astype(float) - 128) / 128
    values = floats[:, :3], quats, floats[:, 3:], rgba[:, 3], ((rgba[:, :3] - 0.5) / C0)[:, None]
    return Gaussians(*(torch.from_numpy(np.ascontiguousarray(value)).float() for value in values))


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_ply(tmp_path: Path, degree: int) -> None:
    gaussians = random_splats(degree=degree)
    write_splats(tmp_path / "x.ply", gaussians, comments=["units: mm"])
    values = read_splats(tmp_path / "x.ply")
    back = Gaussians(values["means"], values["quats"], values["scales"], values["opacities"], values["colors"])
    assert psnr(picture(back), picture(gaussians)) > 80
    ply = PlyData.read(str(tmp_path / "x.ply"))
    assert ply.comments == ["units: mm"]
    names = [p.name for p in ply["vertex"].properties]
    assert names[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]  # as ns-export and 3DGS
    assert names[-8:-3] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0"]


@pytest.mark.parametrize(("degree", "least_db"), [(0, 32), (1, 30), (3, 24)])
def test_spz(tmp_path: Path, degree: int, least_db: float) -> None:
    """The higher harmonics have four or five bits."""
    gaussians = random_splats(degree=degree)
    write_splats(tmp_path / "x.spz", gaussians)
    back = read_spz(tmp_path / "x.spz")
    np.testing.assert_allclose(back.means, gaussians.means, atol=2e-6)
    np.testing.assert_allclose(back.scales, gaussians.scales, rtol=0.035)  # sixteenths of a natural logarithm
    np.testing.assert_allclose(back.opacities, gaussians.opacities, atol=0.003)
    assert psnr(picture(back), picture(gaussians)) > least_db
    write_splats(tmp_path / "y.spz", gaussians)
    assert (tmp_path / "x.spz").read_bytes() == (tmp_path / "y.spz").read_bytes()


def test_spz_has_the_precision_that_the_extent_allows(tmp_path: Path) -> None:
    far = random_splats().moved(1.0, torch.eye(3).double(), torch.tensor([30_000.0, 0, 0]).double())
    write_splats(tmp_path / "x.spz", far)
    np.testing.assert_allclose(read_spz(tmp_path / "x.spz").means, far.means, atol=0.003)
    beyond = random_splats().moved(1.0, torch.eye(3).double(), torch.tensor([1e8, 0, 0]).double())
    with pytest.raises(MacroSplatError, match=r"\.spz holds no coordinates beyond"):
        write_splats(tmp_path / "beyond.spz", beyond)
    assert not (tmp_path / "beyond.spz").exists()


def test_splat(tmp_path: Path) -> None:
    gaussians = random_splats(degree=0)
    gaussians = Gaussians(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh.clamp(-1.7, 1.7)
    )
    write_splats(tmp_path / "x.splat", gaussians)
    back = read_splat(tmp_path / "x.splat")
    assert len(back) == len(gaussians)
    assert psnr(picture(back), picture(gaussians)) > 33
    weight = back.scales.prod(1) * back.opacities
    assert weight[0] > 100 * weight[-1]


def test_refusals(tmp_path: Path) -> None:
    gaussians = random_splats(3)
    with pytest.raises(MacroSplatError, match=r"x\.glb: no format for splats; .* \.ply, \.splat, \.spz"):
        write_splats(tmp_path / "x.glb", gaussians)
    with pytest.raises(MacroSplatError, match="no splats are left"):
        write_splats(tmp_path / "x.ply", gaussians.select(torch.zeros(3, dtype=torch.bool)))
    assert list(tmp_path.iterdir()) == []
