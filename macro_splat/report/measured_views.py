"""What a run shows at its views, and how well that agrees with the photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macro_splat.evaluation import compare_pictures
from macro_splat.runs.cameras import short_names
from macro_splat.runs.views import photograph_of, render_view, spread_views
from macro_splat.utils.progress import ProgressCallback

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

MAX_MEASURED_VIEWS = 24
"""Of training views and of held-out ones each."""
MAX_SHOWN_TRAINING_VIEWS, MAX_SHOWN_HELD_OUT_VIEWS = 6, 2
PHOTOGRAPH, TRUTH, SHARP, REBLURRED = "photograph", "all in focus", "sharp", "re-blurred"


@dataclass(frozen=True, eq=False)
class MeasuredView:
    """One view with its figures, PSNR in dB and SSIM, by what is compared with what."""

    name: str
    index: int | None
    """Of the training view; None: held out from training."""
    figures: dict[str, float]
    """`sharp_psnr`, `sharp_ssim`: of the sharp render against the photograph. `blurred_psnr`, `blurred_ssim`: of the
    re-blurred one against it. `truth_psnr`, `truth_ssim`: of the sharp render against an all-in-focus photograph of
    the same pose, where the capture has one."""
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """[H, W, 3] by what they are; none of a view that is only measured."""
    coc_px: NDArray[np.float32] | None = None
    """[H, W] signed diameter of the circle of confusion in pixels, NaN where nothing is."""


def mean_figures(views: Sequence[MeasuredView]) -> dict[str, float]:
    """Return means over views by `held_out_` or `training_` and the names of `MeasuredView.figures`."""
    values: dict[str, list[float]] = {}
    for view in views:
        where = "held_out" if view.index is None else "training"
        for name, value in view.figures.items():
            values.setdefault(f"{where}_{name}", []).append(value)
    return {name: fmean(of) for name, of in values.items()}


@torch.no_grad()
def measure_views(run: Run, progress: ProgressCallback) -> list[MeasuredView]:
    """Measure training views, evenly spread, and after them those held out."""
    views = spread_views(run.metadata, len(run.names), MAX_MEASURED_VIEWS)
    shown = set(_spread(views, MAX_SHOWN_TRAINING_VIEWS))
    held_out = _held_out(run)
    pictured = set(_spread(held_out, MAX_SHOWN_HELD_OUT_VIEWS))
    total = len(views) + len(held_out)
    measured = []
    with _photographs_own_lens(run):
        for view in views:
            measured.append(_training_view(run, view, view in shown))
            progress("views", len(measured), total)
        for index in held_out:
            measured.append(_held_out_view(run, index, index in pictured))
            progress("views", len(measured), total)
    return measured


def _training_view(run: Run, index: int, pictured: bool) -> MeasuredView:
    view = render_view(run, index)
    photograph, mask = photograph_of(run, view)
    pictures = {PHOTOGRAPH: photograph, SHARP: view.rgb}
    figures = _compare("sharp", view.rgb, photograph, mask)
    coc_px = None
    if "rgb_blurred" in view.outputs:
        pictures[REBLURRED] = view.outputs["rgb_blurred"].cpu()
        figures |= _compare("blurred", pictures[REBLURRED], photograph, mask)
        if pictured:
            coc_px = torch.where(view.alpha > 0.5, view.outputs["coc_px"].cpu(), torch.nan)[..., 0].numpy()
    return MeasuredView(short_names(run.names)[index], index, figures, _as_bytes(pictures) if pictured else {}, coc_px)


def _held_out_view(run: Run, index: int, pictured: bool) -> MeasuredView:
    camera, batch = run.datamanager.eval_view(index)
    outputs, model = run.model.get_outputs_for_camera(camera), run.model
    rgb, background = outputs["rgb"].cpu(), outputs["background"].cpu()
    mask = batch["mask"].cpu().bool() if "mask" in batch else None

    def composited(image: Tensor) -> Tensor:
        return model.composite_with_background(model.get_gt_img(image).cpu(), background)

    pictures: dict[str, Tensor] = {SHARP: rgb}
    figures: dict[str, float] = {}
    for prefix, label, key in (("sharp", PHOTOGRAPH, "image"), ("truth", TRUTH, "sharp_image")):
        if key in batch:
            pictures[label] = composited(batch[key])
            figures |= _compare(prefix, rgb, pictures[label], mask)
    if TRUTH in pictures and torch.equal(pictures[TRUTH], pictures[PHOTOGRAPH]):
        del pictures[PHOTOGRAPH]  # it was taken with a pinhole
    name = Path(run.datamanager.eval_dataset.image_filenames[index]).name
    return MeasuredView(name, None, figures, _as_bytes(pictures) if pictured else {})


def _held_out(run: Run) -> list[int]:
    """Return held-out views, evenly spread; none if evaluation uses the training photographs."""
    dataset = run.datamanager.eval_dataset
    if set(dataset.image_filenames) & set(run.datamanager.train_dataset.image_filenames):
        return []
    return _spread(list(range(len(dataset))), MAX_MEASURED_VIEWS)


def _spread(values: list[int], count: int) -> list[int]:
    count = min(count, len(values))
    return [values[int((k + 0.5) * len(values) / count)] for k in range(count)]


def _compare(prefix: str, picture: Tensor, truth: Tensor, mask: Tensor | None) -> dict[str, float]:
    figures = compare_pictures(picture, truth, mask=mask)
    return {f"{prefix}_{name}": figures[name] for name in ("psnr", "ssim")}


def _as_bytes(pictures: dict[str, Tensor]) -> dict[str, NDArray[np.uint8]]:
    return {name: (255 * image.clamp(0, 1)).round().byte().numpy() for name, image in pictures.items()}


@contextmanager
def _photographs_own_lens(run: Run) -> Iterator[None]:
    """Take away the lens that somebody looks through in the viewer meanwhile."""
    lens, run.model.virtual_lens = run.model.virtual_lens, None
    try:
        yield
    finally:
        run.model.virtual_lens = lens
