"""What nerfstudio's commands leave on disk, read back independently of the code that wrote it, and checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from plyfile import PlyData
from torch import Tensor

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.ops.rasterizer import rasterization

RENDERED_BACK_DB = 45.0
"""An exported file has to give the model's own picture: what is left out are Gaussians of opacity below 1/255."""
PLAIN = 2.0
"""Standard deviation of a picture, in 8-bit levels, below which it shows nothing."""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two pictures in 0..1."""
    error = float(np.square(a.astype(np.float64) - b.astype(np.float64)).mean())
    return 10 * math.log10(1 / max(error, 1e-12))


def read_picture(path: Path) -> np.ndarray:
    """[H, W, 3] float in 0..1."""
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB")) / 255


def render(model: Any, camera: Cameras) -> np.ndarray:
    """The model's own picture of one camera, as its evaluation sees it: [H, W, 3] in 0..1."""
    with torch.no_grad():
        return model.get_outputs_for_camera(camera)["rgb"].cpu().numpy()


# -- splats ------------------------------------------------------------------------------------------------------------


def read_splats(path: Path) -> dict[str, Any]:
    """A 3DGS file as the arguments of the rasterizer, by the convention of the original 3D Gaussian splatting.

    Opacities are logits, scales logarithms, quaternions wxyz; `f_rest_*` holds all coefficients of red, then green,
    then blue (graphdeco-inria/gaussian-splatting, `save_ply`).

    Raises:
        AssertionError: a property is missing or not finite everywhere.
    """
    vertex = PlyData.read(str(path))["vertex"]
    names = [p.name for p in vertex.properties]
    rest_count = sum(name.startswith("f_rest_") for name in names)

    def columns(*wanted: str) -> Tensor:
        missing = [name for name in wanted if name not in names]
        assert not missing, f"{path.name}: no property {', '.join(missing)}"
        values = np.stack([np.asarray(vertex[name], dtype=np.float32) for name in wanted], axis=1)
        bad = [name for name, column in zip(wanted, values.T, strict=True) if not np.isfinite(column).all()]
        assert not bad, f"{path.name}: {', '.join(bad)} not finite everywhere"
        return torch.from_numpy(values)

    def numbered(name: str, count: int) -> Tensor:
        return columns(*(f"{name}_{i}" for i in range(count)))

    assert vertex.count > 0, f"{path.name}: no splats"
    assert rest_count in (0, 9, 24, 45), f"{path.name}: {rest_count} properties f_rest_*, no whole degree has these"
    colors = numbered("f_dc", 3)[:, None]
    if rest_count:
        rest = numbered("f_rest", rest_count).reshape(-1, 3, rest_count // 3)
        colors = torch.cat([colors, rest.transpose(1, 2)], dim=1)
    return {
        "means": columns("x", "y", "z"),
        "quats": torch.nn.functional.normalize(numbered("rot", 4), dim=1),
        "scales": numbered("scale", 3).exp(),
        "opacities": columns("opacity")[:, 0].sigmoid(),
        "colors": colors,
    }


def render_splats(splats: dict[str, Any], camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied picture [H, W, 3] and coverage [H, W, 1] of splats alone, without any model."""
    degree = math.isqrt(splats["colors"].shape[1]) - 1
    width, height = int(camera.width.item()), int(camera.height.item())
    picture, alpha, _ = rasterization(
        **splats,
        viewmats=get_viewmat(camera.camera_to_worlds.cpu()),
        Ks=camera.get_intrinsics_matrices().cpu(),
        width=width,
        height=height,
        sh_degree=degree,
    )
    return picture[0].numpy(), alpha[0].numpy()


def check_splats(path: Path, model: Any, camera: Cameras) -> None:
    """The exported file renders to the model's own picture, laid over the model's background."""
    picture, alpha = render_splats(read_splats(path), camera)
    with torch.no_grad():
        own = model.get_outputs_for_camera(camera)
    composite = np.clip(picture + (1 - alpha) * own["background"].cpu().numpy(), 0, 1)
    likeness = psnr(composite, own["rgb"].cpu().numpy())
    assert likeness > RENDERED_BACK_DB, f"{path.name}: rendered back it has {likeness:.1f} dB of the model's picture"


# -- evaluation --------------------------------------------------------------------------------------------------------


def evaluated_pairs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The (truth, picture) that `ns-eval --render-output-path` put side by side, in the order of the views."""
    both = [read_picture(path) for path in sorted(folder.glob("*img_*.png"))]
    return [(pair[:, : pair.shape[1] // 2], pair[:, pair.shape[1] // 2 :]) for pair in both]


def check_evaluation(report: Path, pictures: Path, views: int) -> dict[str, float]:
    """The report's figures, which must be those of the pictures written beside it, one for each held-out view."""
    results = json.loads(report.read_text(encoding="utf-8"))["results"]
    assert {"psnr", "ssim"} <= results.keys(), f"{report.name}: only {', '.join(results)}"
    # The deviation over a single view is undefined.
    bad = [key for key, value in results.items() if not math.isfinite(value) and not key.endswith("_std")]
    assert not bad, f"{report.name}: {', '.join(bad)} not finite"
    assert 0 < results["ssim"] <= 1, f"{report.name}: SSIM {results['ssim']}"
    pairs = evaluated_pairs(pictures)
    assert len(pairs) == views, f"{len(pairs)} views evaluated of {views}"
    of_pictures = float(np.mean([psnr(truth, picture) for truth, picture in pairs]))
    assert abs(of_pictures - results["psnr"]) < 0.1, (
        f"{report.name}: PSNR {results['psnr']:.2f} dB, its pictures have {of_pictures:.2f} dB"
    )
    return results


# -- pictures and videos -----------------------------------------------------------------------------------------------


def read_video(path: Path) -> np.ndarray:
    """All frames, [F, H, W, 3] uint8."""
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def check_video(path: Path, frames: int, size: tuple[int, int], every: int = 1) -> None:
    """A readable mp4 with this many frames of (width, height); of those that count, one in `every`, none is plain."""
    assert path.is_file(), f"{path.name}: not written"
    _check_frames(path.name, list(read_video(path)), frames, size, every)


def check_pictures(folder: Path, frames: int, size: tuple[int, int], every: int = 1) -> None:
    """So many pictures of (width, height) in the folder and those below; one in `every` counts, and is not plain."""
    found = [255 * read_picture(path) for path in list_pictures(folder)]
    _check_frames(folder.name, found, frames, size, every)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder and of those below, sorted. nerfstudio calls a dataset's only one FOLDER.jpg itself."""
    kinds = {".jpg", ".png"}
    return sorted(p for p in [*folder.parent.glob(f"{folder.name}.*"), *folder.rglob("*")] if p.suffix in kinds)


def _check_frames(name: str, found: list[np.ndarray], frames: int, size: tuple[int, int], every: int) -> None:
    assert len(found) == frames, f"{name}: {len(found)} frames, expected {frames}"
    for i, frame in enumerate(found):
        assert frame.shape == (size[1], size[0], 3), f"{name}: frame {i} is {frame.shape[1]}x{frame.shape[0]}"
        assert i % every or frame.std() > PLAIN, f"{name}: frame {i} is plain"
