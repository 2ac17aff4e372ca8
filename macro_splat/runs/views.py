"""What a trained model shows of its training views, beside their photographs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from macro_splat.capture.coverage import object_centre
from macro_splat.data.datamanager import undistorted
from macro_splat.errors import MacroSplatError

if TYPE_CHECKING:
    from macro_splat.runs.load import Run


@dataclass(frozen=True, eq=False)
class RenderedView:
    """A training view as the model shows it; everything on the CPU."""

    index: int
    name: str
    focal_px: float
    rgb: Tensor
    """[H, W, 3] sharp."""
    depth: Tensor
    """[H, W, 1] in model units, 0 where nothing is."""
    alpha: Tensor
    """[H, W, 1]."""
    background: Tensor
    """[3] or [H, W, 3]."""
    outputs: Mapping[str, Any]
    """All of the model's, on its device."""


@torch.no_grad()
def render_view(run: Run, view: int, size: tuple[int, int] | None = None) -> RenderedView:
    """Return a training view from its refined pose; ``size``: width and height, else the photograph's."""
    undistort(run)
    camera = run.camera(view)
    if size is not None and size != (int(camera.width), int(camera.height)):
        # Not from the reduced camera, whose size was rounded.
        camera = fit_camera(full_size(run, view)[0].to(run.model.device), *size)
        camera.metadata = {"cam_idx": view}
    outputs = run.model.render_training_view(camera, view)
    alpha = outputs["accumulation"].cpu()
    return RenderedView(
        index=view,
        name=run.names[view],
        focal_px=float(camera.fx.reshape(-1)[0]),
        rgb=outputs["rgb"].cpu(),
        depth=torch.where(alpha > 0, outputs["depth"].cpu(), 0.0),
        alpha=alpha,
        background=outputs["background"].cpu(),
        outputs=outputs,
    )


def undistort(run: Run) -> None:
    """Load the photographs if their lens distorts: taking that out makes other cameras of theirs."""
    distortion = run.datamanager.train_dataset.cameras.distortion_params
    if distortion is not None and bool(distortion.any()):
        _ = run.datamanager.cached_train


@torch.no_grad()
def photograph_of(run: Run, view: RenderedView) -> tuple[Tensor, Tensor | None]:
    """Return the photograph of a view [H, W, 3] in 0..1, as it is compared with renders, and its mask [H, W, 1] bool.

    Where the view was rendered at another size than was trained on, the photograph as it was taken is scaled to that;
    what is beside it is background.
    """
    batch = run.datamanager.cached_train[view.index]
    photograph, mask = batch["image"].cpu(), batch["mask"].cpu().bool() if "mask" in batch else None
    height, width = view.rgb.shape[:2]
    if photograph.shape[:2] != (height, width):
        photograph, mask = full_size(run, view.index)[1], None
    photograph = photograph.float() / 255 if photograph.dtype == torch.uint8 else photograph
    if photograph.shape[:2] != (height, width):
        photograph = _placed(photograph, (width, height))
    if photograph.shape[-1] == 4:
        photograph = photograph[..., 3:] * photograph[..., :3] + (1 - photograph[..., 3:]) * view.background
    return photograph, mask


def full_size(run: Run, view: int) -> tuple[Cameras, Tensor]:
    """Return a training photograph [H, W, 3 or 4] uint8 at its full size, without distortion, and its camera [1]."""
    datamanager = run.datamanager
    dataset = datamanager.dataset_type(datamanager.train_dataparser_outputs, scale_factor=1.0)
    photograph = undistorted(dataset.get_data(view, image_type="uint8"), dataset.cameras, view)["image"]
    return dataset.cameras[view : view + 1], photograph.cpu()


def _placed(photograph: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the photograph [h, w, 4] as a camera of `fit_camera` for this size sees it; transparent beside it."""
    picture = Image.fromarray((255 * _opaque(photograph)).round().byte().numpy())
    scale = min(size[0] / picture.width, size[1] / picture.height)
    scaled = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    canvas = Image.new("RGBA", size)
    place = (size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2
    canvas.paste(picture.resize(scaled, Image.Resampling.LANCZOS), place)
    return torch.from_numpy(np.array(canvas, dtype=np.float32) / 255)


def _opaque(photograph: Tensor) -> Tensor:
    if photograph.shape[-1] == 4:
        return photograph
    return torch.cat([photograph, torch.ones_like(photograph[..., :1])], dim=-1)


def fit_camera(camera: Cameras, width: int, height: int) -> Cameras:
    """Return the same camera for pictures of another size: all that it saw before is seen, in the middle."""
    scale = min(width / int(camera.width), height / int(camera.height))
    return Cameras(
        camera_to_worlds=camera.camera_to_worlds.reshape(1, 3, 4).clone(),
        fx=float(camera.fx) * scale,
        fy=float(camera.fy) * scale,
        cx=float(camera.cx) * scale + (width - int(camera.width) * scale) / 2,
        cy=float(camera.cy) * scale + (height - int(camera.height) * scale) / 2,
        width=width,
        height=height,
        camera_type=CameraType.PERSPECTIVE,
    )


def object_middle(model: Any, poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3], model units: where the cameras look at, or if they look past each other, the middle of the splats."""
    centre = object_centre(poses, None)
    return np.median(model.means.detach().cpu().numpy().astype(np.float64), axis=0) if centre is None else centre


def spread_views(metadata: dict[str, Any], views: int, count: int) -> list[int]:
    """``count`` views at evenly spread poses, or all poses if there are fewer; of a focus stack the middle slice."""
    stack_id = metadata.get("stack_id")
    groups: dict[int, list[int]] = {}
    for view in range(views):
        groups.setdefault(view if stack_id is None else int(stack_id[view, 0]), []).append(view)
    middles = [members[len(members) // 2] for members in groups.values()]
    count = min(count, len(middles))
    return [middles[int((k + 0.5) * len(middles) / count)] for k in range(count)]


def find_view(names: Sequence[str], wanted: str) -> int:
    """Return the view that an index or (a part of) a photograph's name means.

    Raises:
        MacroSplatError: there is none, or several.
    """
    if re.fullmatch(r"\d+", wanted) and int(wanted) < len(names):
        return int(wanted)
    found = [view for view, name in enumerate(names) if wanted == name] or [
        view for view, name in enumerate(names) if wanted in name
    ]
    if len(found) != 1:
        what = f"{len(found)} photographs have that in their name" if found else "no such training photograph"
        raise MacroSplatError(
            f"--view {wanted}: {what}; give an index of 0 to {len(names) - 1} or a name like {names[0]}"
        )
    return found[0]


def depth_range(view: RenderedView) -> tuple[float, float] | None:
    """Nearest and farthest depth of what a view shows, but for the outermost 2 %, model units; None if it is empty."""
    depths = view.depth[(view.alpha > 0.5) & (view.depth > 0)]
    if depths.numel() == 0:
        return None
    near, far = np.quantile(depths.numpy(), (0.02, 0.98))
    return float(near), float(far)
