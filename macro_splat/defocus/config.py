"""Settings of the defocus model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "splat", "image", "pixel-kernel", "covariance", "coc"]


@dataclass
class DefocusConfig:
    """How the blur of the lens is modelled."""

    mode: Mode = "image"
    """image: every pixel of the rendered picture gathers its circle of confusion. splat: every Gaussian is widened by
    the circle of confusion at its depth. off: plain splats, which learn the blur into the model. The others are known
    methods to compare with, see macro_splat/defocus/baselines/."""
    linear_light: bool = True
    """image: add up light as a sensor does, not the values of the sRGB curve."""
    depth_edges: bool = True
    """image: at the edge of a surface in front of another one, blur each by itself. False: every pixel gathers over its
    own circle alone, and what is sharp in front bleeds into the blur behind it."""
    lens_search: bool = True
    """image, splat: try out the focus and aperture that the capture does not tell on the model in training, a few
    times. False: they are only learnt, from what the photographs show at the start."""
    residual_weight: float = 0.1
    """Weight of the prior that the same lens at the same aperture took all photographs."""
    given_weight: float = 0.5
    """image: weight of the prior that focus distances and apertures are as the capture gives them. Without it noise in
    the photographs, which a smaller aperture fits better, draws the aperture down. The other operators are not exact
    enough to be held to a true lens."""
    estimate_weight: float = 0.02
    """image: weight of the prior that apertures are not smaller than estimated from the photographs, which is a lower
    bound. It counts while the model is too coarse to tell, and a smaller blur always seems to fit better."""
    silhouette_weight: float = 0.1
    """Weight of the opacity where the photographs show nothing but a plain background."""
    sensor_noise: bool = True
    """Of a black or white background: tell the picture how much brighter or darker the sensor's noise, clipped there,
    makes it on average, before it is compared with the photograph. False: silhouettes grow by that light."""
    blurred_weight: float = 1.0
    """image: weight in the loss of a pixel that is far out of focus, against 1 for one in focus."""
    binarization_weight: float = 1.0
    """image: weight of half-transparency in the sharp picture, which real surfaces do not have."""
    blur_net: bool = False
    """image, splat: a small network scales the blur by place, depth and view, between 0.67 and 1.49 times."""
    blur_net_weight: float = 0.01
    """Weight of the prior that it leaves the blur as it is."""
