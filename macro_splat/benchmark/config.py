"""The options of `macro-splat benchmark`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from macro_splat.errors import MacroSplatError


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is compared, and how long each training is."""

    captures: Positional[tuple[Path, ...]]
    """folders with a transforms.json."""
    modes: tuple[str, ...] = ("off", "splat", "image", "pixel-kernel", "covariance", "coc", "fuse", "oracle")
    """off = plain splats; splat, image = ours; pixel-kernel = a free kernel per pixel (BAGS); covariance = Gaussians
    widened by a network (Deblurring-3DGS); coc = a Gaussian circle of confusion per pixel (DoF-Gaussian); fuse = focus
    stacks fused first; oracle = plain splats on the all-in-focus photographs."""
    variants: tuple[str, ...] = ("given",)
    """given = the lens as the capture gives it; unknown = nothing known of the lens; noisy = poses of
    transforms_noisy.json, refined."""
    iterations: int = 3000
    """of each training."""
    output: Path = Path("benchmark")
    """folder for runs and tables."""
    seed: int = 42
    """of all random numbers; one seed gives one result."""
    ablation: bool = False
    """also train our image mode with each of its parts taken away in turn."""
    resume: bool = True
    """read finished runs instead of doing them again."""

    def check(self) -> None:
        """Refuse values that no benchmark can have.

        Raises:
            MacroSplatError: the first one.
        """
        if not self.captures:
            raise MacroSplatError("no capture given; name the folders of one or more captures")
        if self.iterations < 1:
            raise MacroSplatError(f"--iterations {self.iterations}: must be at least 1")
