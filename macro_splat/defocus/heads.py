"""What lies between the sharp model and a photograph: one head per way to model the blur, all with one interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.lens import LensBank

CLARITY_SIGMA_PX = 0.7
"""Blur sigma τ at which the clarity has fallen to 61 %: such a blur takes the finest detail that pixels can hold."""


class Head(nn.Module):
    """No blur at all: the photograph is taken for sharp. Others override what they change.

    All parameters of a head exist from construction on, so that optimizers see them.
    """

    lens: LensBank | None
    """The lens of every training view, where the head has one."""
    needs_depth = False
    """Whether `blur_picture` wants the rendered depth."""
    grow_gradient = 0.0008
    """Gradient on screen above which a Gaussian is split: splatfacto's, for absolute gradients."""
    uses_silhouette = False
    """Whether photographs' plain background tells the training where nothing is, see `DefocusConfig`."""

    def __init__(self) -> None:
        super().__init__()
        self.lens = None

    def param_groups(self) -> dict[str, list[Parameter]]:
        """Parameters by the name of their optimizer's settings."""
        return {}

    def blur_gaussians(self, view: int, gaussians: dict[str, Any], viewmat: Tensor, focal_px: Tensor) -> dict[str, Any]:
        """The arguments of the rasterizer for this view.

        Args:
            view: index of the training view.
            gaussians: means [N, 3], quats [N, 4], scales [N, 3], opacities [N], colors, as the rasterizer takes them.
            viewmat: [4, 4] world to camera. focal_px: in pixels of the picture to be rendered.
        """
        return gaussians

    def blur_picture(self, view: int, picture: Tensor, alpha: Tensor, depth: Tensor | None, focal_px: Tensor) -> Tensor:
        """The photograph that the lens would have taken of the rendered picture [H, W, 3], composited, sRGB.

        Args:
            alpha: [H, W, 1] opacity. depth: [H, W, 1] expected depth if `needs_depth`.
        """
        return picture

    def clarity(self, view: int, depth: Tensor | None, focal_px: Tensor) -> Tensor | None:
        """How much of the detail the lens let through at every pixel, 0..1, shape of the depth; None if unknown."""
        return None

    def losses(self) -> dict[str, Tensor]:
        """Weighted terms of the training loss."""
        return {}

    def set_progress(self, fraction: float) -> None:
        """Called before each training step with the share of the training that is done, 0..1."""


class LensHead(Head):
    """Heads whose blur follows the thin-lens law."""

    lens: LensBank

    def __init__(self, config: DefocusConfig, num_views: int, stacks: Tensor | None) -> None:
        """``stacks``: [V] equal for views that share an aperture, see `LensBank`."""
        super().__init__()
        self.config = config
        self.lens = LensBank(num_views, stacks)

    def param_groups(self) -> dict[str, list[Parameter]]:
        """The lens's."""
        return {
            "lens_focus": [self.lens.focus_offset_px],
            "lens_aperture": [self.lens.log_aperture_shared, self.lens.log_aperture_residual],
        }

    def losses(self) -> dict[str, Tensor]:
        """The prior that one lens took all photographs."""
        return {"lens_prior": self.config.residual_weight * self.lens.residual_penalty()}


class SplatHead(LensHead):
    """Every Gaussian is widened by the circle of confusion at its depth."""

    grow_gradient = 0.0002
    uses_silhouette = True

    def blur_gaussians(self, view: int, gaussians: dict[str, Any], viewmat: Tensor, focal_px: Tensor) -> dict[str, Any]:
        """With `blur_variance`."""
        depth = gaussians["means"] @ viewmat[2, :3] + viewmat[2, 3]
        return {**gaussians, "blur_variance": self.lens.blur_variance(view, depth, focal_px)[None]}


class ImageHead(LensHead):
    """Every pixel of the picture gathers its circle of confusion."""

    needs_depth = True
    grow_gradient = 0.0002
    uses_silhouette = True

    def blur_picture(self, view: int, picture: Tensor, alpha: Tensor, depth: Tensor | None, focal_px: Tensor) -> Tensor:
        """As `defocus_picture`."""
        assert depth is not None
        circle = self.lens.signed_radius(view, depth, focal_px)
        return defocus_picture(picture, circle, alpha, linear_light=self.config.linear_light)

    @torch.no_grad()
    def clarity(self, view: int, depth: Tensor | None, focal_px: Tensor) -> Tensor | None:
        """exp(−σ²/2τ²)"""
        assert depth is not None
        sigma = 0.5 * self.lens.blur_radius(view, depth, focal_px)
        return torch.exp(-0.5 * (sigma / CLARITY_SIGMA_PX) ** 2)


def make_head(config: DefocusConfig, num_views: int, stacks: Tensor | None = None) -> Head:
    """The head of a mode.

    Args:
        config: with the mode.
        num_views: of the training.
        stacks: [V] equal for views that share an aperture.
    """
    if config.mode == "off":
        return Head()
    heads: dict[str, type[LensHead]] = {"splat": SplatHead, "image": ImageHead}
    if config.mode in heads:
        return heads[config.mode](config, num_views, stacks)
    from macro_splat.rivals import make_rival  # imports this module

    return make_rival(config, num_views, stacks)


__all__ = ["Head", "ImageHead", "LensHead", "SplatHead", "make_head"]
