"""Splats by themselves: what an export moves, thins out, renders and writes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from macro_splat.ops.rasterizer import rasterization
from macro_splat.runs import spherical_harmonics


@dataclass(frozen=True, eq=False)
class Gaussians:
    """N Gaussians on the processor, float32."""

    means: Tensor
    """Centres [N, 3], in the units of the frame."""
    quats: Tensor
    """Orientations [N, 4], wxyz, normalised."""
    scales: Tensor
    """Standard deviations along the three axes [N, 3], in the units of the frame."""
    opacities: Tensor
    """[N] in 0..1."""
    sh: Tensor
    """Coefficients of the colour's spherical harmonics [N, (degree + 1)², 3]."""

    @staticmethod
    @torch.no_grad()
    def of_model(model: Any) -> Gaussians:
        """Those of a `MacroSplatModel`, in the model's frame; what is not finite is left out."""
        dc = model.features_dc.detach().float().cpu()
        if model.config.sh_degree > 0:
            sh = torch.cat([dc[:, None], model.features_rest.detach().float().cpu()], dim=1)
        else:
            sh = ((dc.sigmoid() - 0.5) / spherical_harmonics.C0)[:, None]
        gaussians = Gaussians(
            means=model.means.detach().float().cpu(),
            quats=torch.nn.functional.normalize(model.quats.detach().float().cpu(), dim=1),
            scales=model.scales.detach().float().cpu().exp(),
            opacities=model.opacities.detach().float().cpu().sigmoid()[:, 0],
            sh=sh,
        )
        finite = torch.ones(len(gaussians), dtype=torch.bool)
        for values in gaussians._tensors().values():
            finite &= values.flatten(1).isfinite().all(dim=1) if values.ndim > 1 else values.isfinite()
        return gaussians.select(finite)

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        return math.isqrt(self.sh.shape[1]) - 1

    def _tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, keep: Tensor) -> Gaussians:
        """Those of a mask [N] or of a list of indices."""
        return Gaussians(**{name: values[keep] for name, values in self._tensors().items()})

    def moved(self, scale: float, rotation: Tensor, translation: Tensor) -> Gaussians:
        """Return the same object under x' = scale · R x + translation, with its colours rotated, too.

        Args:
            scale: positive.
            rotation: R [3, 3], float64.
            translation: [3], float64.
        """
        means = scale * self.means.double() @ rotation.T + translation
        return Gaussians(
            means=means.float(),
            quats=_multiply(_quaternion(rotation), self.quats.double()).float(),
            scales=(scale * self.scales.double()).float(),
            opacities=self.opacities,
            sh=spherical_harmonics.rotate(self.sh, rotation),
        )

    @torch.no_grad()
    def render(
        self, world_to_camera: Tensor, intrinsics: Tensor, width: int, height: int, near: float, antialiased: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One view of the splats alone, before nothing.

        Args:
            world_to_camera: [4, 4], OpenCV axes. intrinsics: [3, 3], pixels. near: nearest depth that is shown.
            antialiased: render as Mip-Splatting does; must be as in training.

        Returns:
            premultiplied colour [H, W, 3], expected depth [H, W] along the axis in the frame's units, alpha [H, W].
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        picture, alpha, _ = rasterization(
            self.means.to(device),
            self.quats.to(device),
            self.scales.to(device),
            self.opacities.to(device),
            self.sh.to(device),
            viewmats=world_to_camera[None].float().to(device),
            Ks=intrinsics[None].float().to(device),
            width=width,
            height=height,
            near_plane=near,
            sh_degree=self.sh_degree,
            render_mode="RGB+ED",
            rasterize_mode="antialiased" if antialiased else "classic",
        )
        return picture[0, ..., :3].cpu(), picture[0, ..., 3].cpu(), alpha[0, ..., 0].cpu()


def _quaternion(rotation: Tensor) -> Tensor:
    """Of a rotation matrix: wxyz [4], as the eigenvector of Bar-Itzhack's symmetric matrix (J. Guidance 23, 2000)."""
    r = rotation.double()
    k = torch.empty(4, 4, dtype=torch.float64)
    k[0, 0] = r.trace()
    k[1:, 1:] = r + r.T - r.trace() * torch.eye(3, dtype=torch.float64)
    k[0, 1:] = k[1:, 0] = torch.stack([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    return torch.linalg.eigh(k / 3.0).eigenvectors[:, -1]


def _multiply(p: Tensor, q: Tensor) -> Tensor:
    """Hamilton's product of a quaternion [4] and quaternions [N, 4]: first q's rotation, then p's."""
    w, v = q[:, :1], q[:, 1:]
    real = p[0] * w - v @ p[1:, None]
    imaginary = p[0] * v + w * p[1:] + torch.linalg.cross(p[1:].expand_as(v), v)
    return torch.cat([real, imaginary], dim=1)
