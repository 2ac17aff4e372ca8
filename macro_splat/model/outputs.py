"""What a sharp render is turned into for evaluation, viewer and videos, each value only when somebody reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor

from macro_splat.defocus.blur_models import CLARITY_SIGMA_PX
from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.ops.color_maps import coc_colors, focus_peaking


class LazyOutputs(MutableMapping[str, Any]):
    """Outputs by name, made on first reading: the viewer, an evaluation and a video each want few of them.

    nerfstudio reads them by their names alone. What is made late must stand on tensors of this render only: the viewer
    reads after it has let go of the training's lock.
    """

    def __init__(self, **ready: Any) -> None:
        self._values: dict[str, Any] = ready
        self._makers: dict[str, Callable[[LazyOutputs], Tensor]] = {}
        self._promised: dict[str, None] = {}
        self.blurred_by: Callable[[Tensor], Tensor] | None = None
        """Makes the picture [H, W, 3] that a lens of other circles [H, W, 1] takes, see `add_lens_outputs`."""

    def add(self, name: str, make: Callable[[LazyOutputs], Tensor]) -> None:
        """Promise an output, listed after those that are there, also after those set later.

        Args:
            name: of the output.
            make: makes it from the others. It must not hold them itself: pictures in a circle of references would stay
                until Python looks for such, hundreds of megabytes later.
        """
        self._values[name] = None
        self._makers[name] = make
        self._promised[name] = None

    def __getitem__(self, name: str) -> Any:
        make = self._makers.get(name)
        if make is not None:
            with torch.no_grad():
                self._values[name] = make(self)
            # Only now: an interrupted render leaves the promise.
            self._makers.pop(name, None)
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._makers.pop(name, None)
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name]
        self._makers.pop(name, None)
        self._promised.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        # The viewer sets a depth of its own, and its split view begins with the last: that is to be a promised one.
        return iter([name for name in self._values if name not in self._promised] + [*self._promised])

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values  # the mixin's would make it


def sharp_outputs(picture: Tensor, depth: Tensor, alpha: Tensor, background: Tensor) -> LazyOutputs:
    """`rgb`, `depth`, `accumulation`, `background`.

    Args:
        picture: [H, W, 3] composited, unclamped. depth, alpha: [H, W, 1] as rendered. background: [3].
    """
    height, width = picture.shape[:2]
    return LazyOutputs(
        rgb=picture.clamp(0.0, 1.0),
        depth=torch.where(alpha > 0, depth, depth.max()),
        accumulation=alpha,
        background=background.expand(height, width, 3),
    )


def add_lens_outputs(
    outputs: LazyOutputs,
    picture: Tensor,
    alpha: Tensor,
    circle: Callable[[], Tensor],
    *,
    linear_light: bool,
    depth_edges: bool,
) -> None:
    """Promise what a lens makes of a sharp render:

    * `coc`: [H, W, 3] the signed circle of confusion in colours, see `coc_colors`; `coc_px`: [H, W, 1] its diameter
      in pixels, negative before the plane of focus;
    * `clarity`: [H, W, 1] how much of the finest detail the lens lets through, exp(−σ²/2τ²), 0 where nothing is;
    * `focus_peaking`: [H, W, 3] as the next, the edges in focus marked;
    * `rgb_blurred`: [H, W, 3] the photograph. It comes last: the viewer's split view shows the first and the last.

    `outputs.blurred_by` then makes `rgb_blurred` of any other lens.

    Args:
        outputs: of `sharp_outputs`.
        picture: [H, W, 3] composited, unclamped: highlights are brighter than white.
        alpha: [H, W, 1] opacity.
        circle: makes the signed radius [H, W, 1] in pixels, 0 where nothing is.
        linear_light, depth_edges: see `defocus_picture`.
    """
    radius = LazyOutputs()
    radius.add("radius", lambda _: circle())

    def blurred_by(radius: Tensor) -> Tensor:
        light = {"linear_light": linear_light, "depth_edges": depth_edges}
        return defocus_picture(picture, radius, alpha, **light).clamp(0.0, 1.0)

    def clarity(_: LazyOutputs) -> Tensor:
        sigma = 0.5 * radius["radius"]
        return torch.exp(-0.5 * (sigma / CLARITY_SIGMA_PX) ** 2) * alpha

    def peaking(others: LazyOutputs) -> Tensor:
        return focus_peaking(others["rgb"], others["rgb_blurred"], radius["radius"], alpha)

    outputs.add("coc", lambda _: coc_colors(radius["radius"], alpha))
    outputs.add("coc_px", lambda _: 2.0 * radius["radius"])
    outputs.add("clarity", clarity)
    outputs.add("focus_peaking", peaking)
    outputs.add("rgb_blurred", lambda _: blurred_by(radius["radius"]))
    outputs.blurred_by = blurred_by
