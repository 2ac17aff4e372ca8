"""Blur models: what lies between the sharp model and a photograph. One class per way to model it, one interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from macro_splat.defocus.blur_net import BlurNet, pixel_positions
from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.image_blur import COVERED, defocus_picture, extend_radius
from macro_splat.defocus.kernel import Kernel, Shape, kernel_of_coc
from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.ops.blur.nearest import carry_to_nearest

CLARITY_SIGMA_PX = 0.7
"""Blur sigma τ at which the clarity has fallen to 61 %: such a blur takes the finest detail that pixels can hold."""


class BlurModel(nn.Module):
    """No blur at all: the photograph is taken for sharp. Others override what they change.

    All parameters of a blur model exist from construction on, so that optimizers see them.
    """

    lens: PerViewLens | None
    """The lens of every training view, where the blur model has one."""
    needs_depth = False
    """Whether `blur_picture` wants the rendered depth."""
    grow_gradient = 0.0008
    """Gradient on screen above which a Gaussian is split: splatfacto's, for absolute gradients."""
    sh_degree = 3
    """Degree of the spherical harmonics that goes with it."""
    uses_silhouette = False
    """Whether photographs' plain background tells the training where nothing is, see `DefocusConfig`."""

    renders_sharp = False
    """Whether the rendered opacity is that of the sharp picture, whose silhouettes are held crisp in training."""

    def __init__(self) -> None:
        super().__init__()
        self.lens = None

    def param_groups(self) -> dict[str, list[Parameter]]:
        """Return parameters by the name of their optimizer's settings."""
        return {}

    def blur_gaussians(self, view: int, gaussians: dict[str, Any], viewmat: Tensor, K: Tensor) -> dict[str, Any]:
        """Return the arguments of the rasterizer for this view.

        Args:
            view: index of the training view.
            gaussians: means [N, 3], quats [N, 4], scales [N, 3], opacities [N], colors, as the rasterizer takes them.
            viewmat: [4, 4] world to camera. K: [3, 3] in pixels of the picture to be rendered.
        """
        return gaussians

    def blur_picture(self, view: int, picture: Tensor, alpha: Tensor, depth: Tensor | None, focal_px: Tensor) -> Tensor:
        """Return the photograph that the lens would have taken of the rendered picture [H, W, 3], composited, sRGB.

        Args:
            alpha: [H, W, 1] opacity. depth: [H, W, 1] expected depth if `needs_depth`.
        """
        return picture

    def clarity(self, view: int, depth: Tensor | None, focal_px: Tensor) -> Tensor | None:
        """Return how much detail the lens let through at every pixel, 0..1, shape of the depth; None if of no use."""
        return None

    def losses(self) -> dict[str, Tensor]:
        """Return weighted terms of the training loss."""
        return {}

    def set_progress(self, fraction: float) -> None:
        """Take the share of the training that is done, 0..1, before each training step."""


class LensBlurModel(BlurModel):
    """Blur models that follow the thin-lens law."""

    lens: PerViewLens
    takes_blur_net = False
    """Whether `DefocusConfig.blur_net` means anything to it."""
    kernel_shape: Shape = "gaussian"

    def __init__(self, config: DefocusConfig, num_views: int, stacks: Tensor | None) -> None:
        """``stacks``: [V] equal for views that share an aperture, see `PerViewLens`."""
        super().__init__()
        self.config = config
        self.lens = PerViewLens(num_views, stacks)
        self.blur_net = BlurNet(num_views) if config.blur_net and self.takes_blur_net else None

    def param_groups(self) -> dict[str, list[Parameter]]:
        """Return the lens's parameters, and the network's if there is one."""
        groups = {
            "lens_focus": [self.lens.focus_offset_px],
            "lens_aperture": [self.lens.log_aperture_shared, self.lens.log_aperture_residual],
        }
        return groups if self.blur_net is None else {**groups, "blur_net": list(self.blur_net.parameters())}

    def losses(self) -> dict[str, Tensor]:
        """Return the priors that one lens took all photographs, and that it is a thin one."""
        config = self.config
        losses = {"lens_prior": config.residual_weight * self.lens.residual_penalty()}
        if self.blur_net is not None:
            losses["blur_net_prior"] = config.blur_net_weight * self.blur_net.penalty()
        return losses

    def coc_radius(self, view: int, depth: Tensor, focal_px: Tensor) -> Tensor:
        """Return the signed radius of the circle of confusion [H, W, 1] in pixels, at the rendered depth [H, W, 1]."""
        return self.lens.coc_radius(view, depth, focal_px)

    @torch.no_grad()
    def kernel_at(self, view: int, depth: Tensor, alpha: Tensor, focal_px: Tensor, x: int, y: int) -> Kernel:
        """Return the kernel of one pixel.

        Args:
            view: index of the training view.
            depth, alpha: [H, W, 1] of the sharp render of that view.
            focal_px: in its pixels.
            x, y: column and row.
        """
        coc_radius = float(self.coc_radius(view, depth, focal_px)[y, x])
        return kernel_of_coc(2.0 * coc_radius, self.kernel_shape, float(depth[y, x]))


class SplatBlurModel(LensBlurModel):
    """Every Gaussian is widened by the circle of confusion at its depth."""

    grow_gradient = 0.0002
    sh_degree = 2
    uses_silhouette = True
    takes_blur_net = True

    def blur_gaussians(self, view: int, gaussians: dict[str, Any], viewmat: Tensor, K: Tensor) -> dict[str, Any]:
        """Add `blur_variance`."""
        means = gaussians["means"]
        depth = means @ viewmat[2, :3] + viewmat[2, 3]
        variance = self.lens.blur_variance(view, depth, K[0, 0])
        if self.blur_net is not None:
            with torch.no_grad():
                centre = K[:2, 2]
                on_sensor = (means @ viewmat[:2, :3].T + viewmat[:2, 3]) / depth[:, None] * K.diagonal()[:2]
                position = on_sensor / centre.norm()
                relative_depth = self.lens.relative_depth(view, depth)
            variance = variance * self.blur_net.at_points(view, position, relative_depth).square()
        return {**gaussians, "blur_variance": variance[None]}

    def coc_radius(self, view: int, depth: Tensor, focal_px: Tensor) -> Tensor:
        """Return the radius for a Gaussian that lies there."""
        coc_radius = super().coc_radius(view, depth, focal_px)
        if self.blur_net is None:
            return coc_radius
        position = pixel_positions(*depth.shape[:2]).to(depth).reshape(-1, 2)
        relative_depth = self.lens.relative_depth(view, depth).reshape(-1)
        return coc_radius * self.blur_net.at_points(view, position, relative_depth).reshape(coc_radius.shape)


class ImageBlurModel(LensBlurModel):
    """Every pixel of the picture gathers its circle of confusion."""

    needs_depth = True
    renders_sharp = True
    grow_gradient = 0.0001
    sh_degree = 2
    uses_silhouette = True
    takes_blur_net = True
    kernel_shape: Shape = "disc"

    def blur_picture(self, view: int, picture: Tensor, alpha: Tensor, depth: Tensor | None, focal_px: Tensor) -> Tensor:
        """Blur by `defocus_picture`."""
        assert depth is not None
        coc_radius = self.coc_radius(view, depth, focal_px)
        config = self.config
        return defocus_picture(
            picture, coc_radius, alpha, linear_light=config.linear_light, depth_edges=config.depth_edges
        )

    def coc_radius(self, view: int, depth: Tensor, focal_px: Tensor) -> Tensor:
        """Return the parent's, scaled by the network."""
        coc_radius = super().coc_radius(view, depth, focal_px)
        if self.blur_net is None:
            return coc_radius
        relative_depth = self.lens.relative_depth(view, depth)[..., 0]
        return coc_radius * self.blur_net.on_picture(view, relative_depth, depth[..., 0] > 0)[..., None]

    def losses(self) -> dict[str, Tensor]:
        """Return the parent's terms, and the priors that the lens is as given."""
        return {
            **super().losses(),
            "lens_given": self.config.given_weight * self.lens.given_penalty(),
            "lens_estimated": self.config.estimate_weight * self.lens.estimated_penalty(),
        }

    @torch.no_grad()
    def clarity(self, view: int, depth: Tensor | None, focal_px: Tensor) -> Tensor | None:
        """Return exp(−σ²/2τ²), where the loss weighs by it."""
        if self.config.blurred_weight >= 1.0:
            return None
        assert depth is not None
        sigma = 0.5 * self.coc_radius(view, depth, focal_px).abs()
        return torch.exp(-0.5 * (sigma / CLARITY_SIGMA_PX) ** 2)

    @torch.no_grad()
    def kernel_at(self, view: int, depth: Tensor, alpha: Tensor, focal_px: Tensor, x: int, y: int) -> Kernel:
        """Return the parent's. Beside the object it is the object's, as far as that reaches.

        At the edge of one surface before another, where a pixel is made of two layers, it is that of its own.
        """
        coc_radius, opacity = self.coc_radius(view, depth, focal_px)[..., 0], alpha[..., 0]
        own, carried = (float(share[y, x]) for share in extend_radius(coc_radius.abs(), opacity))
        radius = own * abs(float(coc_radius[y, x])) + (1 - own) * carried
        signed, _ = carry_to_nearest(coc_radius, opacity >= COVERED)
        sign = -1.0 if signed[y, x] < 0 else 1.0
        return kernel_of_coc(2.0 * sign * radius, self.kernel_shape, float(depth[y, x]))
