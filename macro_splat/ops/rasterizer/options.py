"""What a rasterizer is given: its tensors, and everything else as `RasterizeOptions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor

RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]
RasterizeMode = Literal["classic", "antialiased"]

MAX_SH_DEGREE = 3
TILE_SIZE = 16


@dataclass(frozen=True, eq=False)
class RasterizeInputs:
    """The tensors of `rasterization`, which says what they mean: N Gaussians, C cameras."""

    means: Tensor
    """[N, 3]"""
    quats: Tensor
    """[N, 4]"""
    scales: Tensor
    """[N, 3]"""
    opacities: Tensor
    """[N]"""
    colors: Tensor
    """[N, D] or [C, N, D]; [N, K, 3] with spherical harmonics"""
    viewmats: Tensor
    """[C, 4, 4]"""
    Ks: Tensor
    """[C, 3, 3]"""
    backgrounds: Tensor | None = None
    """[C, D]"""
    blur_variance: Tensor | None = None
    """[C, N]"""


@dataclass(frozen=True)
class RasterizeOptions:
    """What a rasterizer is told besides its tensors; the names and defaults are gsplat's.

    Raises:
        ValueError: a value that does not exist; the message names the option.
    """

    width: int
    """Of the images, pixels."""
    height: int
    """Of the images, pixels."""
    near_plane: float = 0.01
    """Gaussians with their centre nearer than this are left out, world units."""
    far_plane: float = 1e10
    """Gaussians with their centre farther than this are left out, world units."""
    radius_clip: float = 0.0
    """Gaussians whose radius on the image is at most this are left out, pixels."""
    eps2d: float = 0.3
    """Added to the diagonal of each projected covariance, pixels²."""
    sh_degree: int | None = None
    """How many bands of spherical harmonics to use, 0 to 3; None where the colours are plain features."""
    render_mode: RenderMode = "RGB"
    """"RGB" gives the features, "D" the accumulated depth, "ED" the expected depth (D / alpha), "RGB+D" and "RGB+ED"
    both, depth last."""
    absgrad: bool = False
    """Let `backward` set `info["means2d"].absgrad` [C, N, 2] to the sum over pixels of |∂L/∂means2d| (AbsGS,
    arXiv:2404.10484)."""
    rasterize_mode: RasterizeMode = "classic"
    """"antialiased" scales opacities by √(det Σ / det (Σ + eps2d·I)) (Mip-Splatting, arXiv:2311.16493)."""
    channel_chunk: int = 32
    """The most channels that gsplat renders at once on CUDA; the result does not depend on it."""

    def __post_init__(self) -> None:
        for name in ("width", "height", "channel_chunk"):
            size = getattr(self, name)
            if int(size) != size or size < 1:
                raise ValueError(f"rasterization: {name} is {size!r}, it must be a whole number of at least 1")
        if self.sh_degree is not None and self.sh_degree not in range(MAX_SH_DEGREE + 1):
            raise ValueError(f"rasterization: sh_degree is {self.sh_degree!r}, it must be None or 0 to {MAX_SH_DEGREE}")
        for name, choices in (("render_mode", get_args(RenderMode)), ("rasterize_mode", get_args(RasterizeMode))):
            if getattr(self, name) not in choices:
                raise ValueError(f"rasterization: {name} is {getattr(self, name)!r}, it must be one of {choices}")

    @property
    def with_colors(self) -> bool:
        return self.render_mode not in ("D", "ED")

    @property
    def with_depth(self) -> bool:
        return self.render_mode != "RGB"

    @property
    def expected_depth(self) -> bool:
        """Whether the depth is divided by alpha."""
        return self.render_mode in ("ED", "RGB+ED")

    @property
    def antialiased(self) -> bool:
        return self.rasterize_mode == "antialiased"

    @property
    def tile_rows(self) -> int:
        return -(-self.height // TILE_SIZE)

    @property
    def tile_columns(self) -> int:
        return -(-self.width // TILE_SIZE)

    def info(self, n_cameras: int, **tensors: Tensor) -> dict[str, Any]:
        """Return the dict that a rasterizer gives beside its images: these tensors and the sizes."""
        return {
            "camera_ids": None,
            "gaussian_ids": None,
            **tensors,
            "width": self.width,
            "height": self.height,
            "tile_size": TILE_SIZE,
            "tile_width": self.tile_columns,
            "tile_height": self.tile_rows,
            "n_cameras": n_cameras,
        }
