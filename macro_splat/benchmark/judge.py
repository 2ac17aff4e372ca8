"""Judges a trained model: sharp renders at held-out views, depth, and the lens, against what the capture knows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from torch import Tensor

from macro_splat.capture import Capture, Frame, read_capture
from macro_splat.compat.viewmat import get_viewmat
from macro_splat.evaluation import (
    Similarity,
    align_cameras,
    coc_radius_error,
    compare_pictures,
    fit_lens,
    focus_distance_errors,
    median_depth_error,
)
from macro_splat.runs.views import spread_views

SHOWN_TRAINING_VIEWS = 3


@dataclass(frozen=True)
class _JudgedView:
    """A view as the model shows it, and what is known of it."""

    picture: Tensor
    depth: Tensor
    alpha: Tensor
    focal_px: float
    photograph: Tensor
    sharp: Tensor | None
    mask: Tensor | None
    depth_truth: Tensor | None


class Judge:
    """Of one trained pipeline (a `VanillaPipeline` whose datamanager and model are ours).

    Args:
        pipeline: trained.
        reference: description of the capture that poses and optics are taken from.
    """

    def __init__(self, pipeline: Any, reference: Path) -> None:
        self.model, self.data = pipeline.model, pipeline.datamanager
        self.held_out: list[tuple[Cameras, dict]] = self.data.fixed_indices_eval_dataloader
        self.capture: Capture = read_capture(reference)
        self.frames: dict[Path, Frame] = {}
        for frame in self.capture.frames:
            self.frames[frame.image] = frame
            if frame.sharp is not None:
                self.frames.setdefault(frame.sharp, frame)
        metadata = self.data.train_dataset.metadata
        self.scale: float = metadata["dataparser_scale"]
        self.transform: np.ndarray = metadata["dataparser_transform"].numpy()
        self.poses_optimised = self.model.camera_optimizer.config.mode != "off"
        self.drift = self._drift()

    def figures(self) -> dict[str, Any]:
        """Return every figure by name: means over the held-out views, medians over the training views' lenses.

        Lengths are in scene units. What the capture has no truth for is left out.
        """
        views = [self._held_out(i) for i in range(len(self.held_out))]
        by_view = [self._figures_of(view) for view in views]
        judged_on = "sharp" if views[0].sharp is not None else "reblurred"
        means = {
            name: fmean(view[name] for view in by_view if name in view)
            for name in dict.fromkeys(name for view in by_view for name in view)
        }
        return {
            "judged_on": judged_on,
            "poses_optimised": self.poses_optimised,
            "held_out_views": len(views),
            "gaussians": int(self.model.num_points),
            **means,
            **self._lens_figures(),
            "by_view": by_view,
        }

    def save_pictures(self, folder: Path) -> None:
        """Write renders, photographs, truths and masks as PNG, `<split>-<name>.<render|photograph|truth|mask>.png`.

        All held-out views, and some training views, where the photograph is blurred.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(len(self.held_out)):
            self._save(folder / f"test-{_label(self._frame(self.data.eval_dataset, i))}", self._held_out(i))
        dataset = self.data.train_dataset
        for i in spread_views(dataset.metadata, len(dataset), SHOWN_TRAINING_VIEWS):
            self._save(folder / f"train-{_label(self._frame(dataset, i))}", self._training(i))

    # -- views ---------------------------------------------------------------------------------------------------

    def _held_out(self, index: int) -> _JudgedView:
        camera, batch = self.held_out[index]
        frame = self._frame(self.data.eval_dataset, index)
        camera.camera_to_worlds = self.drift.move_camera(self._true_pose(frame))[None].to(self.model.device)
        truth = batch.get("sharp_image")
        return self._view(camera, batch["image"], truth, batch.get("mask"), batch.get("depth_truth"))

    def _training(self, index: int) -> _JudgedView:
        dataset = self.data.train_dataset
        camera = dataset.cameras[index : index + 1].to(self.model.device)
        camera.camera_to_worlds = self._optimised_pose(index)[None]
        truth = dataset.get_truth(index)
        data = dataset.get_data(index, "uint8")
        return self._view(camera, data["image"], truth.get("sharp_image"), data.get("mask"), truth.get("depth_truth"))

    @torch.no_grad()
    def _view(
        self, camera: Cameras, photograph: Tensor, sharp: Tensor | None, mask: Tensor | None, depth: Tensor | None
    ) -> _JudgedView:
        training = self.model.training
        self.model.eval()
        outputs = self.model.get_outputs_for_camera(camera)
        self.model.train(training)
        model, background = self.model, outputs["background"].cpu()

        def composited(image: Tensor) -> Tensor:
            return model.composite_with_background(model.get_gt_img(image).cpu(), background)

        return _JudgedView(
            picture=outputs["rgb"].cpu(),
            # The drift's scale is the model's alone.
            depth=outputs["depth"].cpu() / self.drift.scale,
            alpha=outputs["accumulation"].cpu(),
            focal_px=float(camera.fx),
            photograph=composited(photograph),
            sharp=None if sharp is None else composited(sharp),
            mask=None if mask is None else mask.cpu().bool(),
            depth_truth=None if depth is None else depth.cpu(),
        )

    def _frame(self, dataset: Any, index: int) -> Frame:
        return self.frames[Path(dataset.image_filenames[index])]

    def _true_pose(self, frame: Frame) -> Tensor:
        """Return the pose [3, 4] in model units, before any drift."""
        pose = self.transform[:, :3] @ frame.camera_to_world[:3]
        pose[:, 3] = self.scale * (pose[:, 3] + self.transform[:, 3])
        return torch.from_numpy(pose).float()

    def _optimised_pose(self, index: int) -> Tensor:
        """Return the pose [3, 4] of a training view, as the training left it."""
        camera = self.data.train_dataset.cameras[index : index + 1].to(self.model.device)
        camera.metadata = {"cam_idx": index}
        with torch.no_grad():
            return self.model.camera_optimizer.apply_to_camera(camera)[0]

    def _drift(self) -> Similarity:
        """Return the common drift of the scene and all training poses, where these could move."""
        still = Similarity(1.0, torch.eye(3), torch.zeros(3))
        dataset = self.data.train_dataset
        indices = range(len(dataset))
        true = torch.stack([self._true_pose(self._frame(dataset, i)) for i in indices])
        now = torch.stack([self._optimised_pose(i) for i in indices]).cpu()
        if not self.poses_optimised and torch.allclose(true, now, atol=1e-5):
            return still
        points = dataset.metadata.get("points3D_xyz")
        if points is None:
            points = self.model.means.detach()
        return align_cameras(get_viewmat(now), get_viewmat(true), points.cpu(), dataset.cameras.fx.reshape(-1).cpu())

    # -- figures -------------------------------------------------------------------------------------------------

    def _figures_of(self, view: _JudgedView) -> dict[str, float]:
        picture, truth = view.picture, view.sharp
        figures: dict[str, float] = {}
        if truth is None:
            truth = view.photograph
            lens = fit_lens(picture, view.depth, view.alpha, truth, view.focal_px, mask=view.mask)
            figures["sharp_gradient_ratio"] = compare_pictures(picture, truth, mask=view.mask)["sharpness_ratio"]
            picture = lens.picture
        object_mask = None if view.depth_truth is None else view.depth_truth > 0
        figures |= compare_pictures(picture, truth, mask=view.mask, object_mask=object_mask, lpips=self.model.lpips)
        if view.depth_truth is not None:
            error = median_depth_error(view.depth, view.depth_truth, view.alpha)
            if error is not None:
                figures["depth_error"] = error / self.scale
        return figures

    def _lens_figures(self) -> dict[str, float]:
        """Return errors of the lenses that were learnt, against the capture's optics keys."""
        lens, dataset = self.model.lens, self.data.train_dataset
        if lens is None:
            return {}
        optics = [self._frame(dataset, i).optics for i in range(len(dataset))]
        focus = lens.focus_distance().detach().cpu() / self.scale
        aperture = lens.aperture_radius().detach().cpu() / self.scale
        true_focus = torch.tensor([math.nan if o.focus_distance is None else o.focus_distance for o in optics])
        errors = focus_distance_errors(focus, true_focus)
        if errors is None:
            return {}
        figures = {"focus_error": errors[0], "focus_error_relative": errors[1]}
        radii = []
        for i, o in enumerate(optics):
            depth = dataset.get_truth(i).get("depth_truth")
            if depth is None or o.focus_distance is None or o.aperture_radius is None:
                continue
            learnt, true = (float(focus[i]), float(aperture[i])), (o.focus_distance, o.aperture_radius)
            error = coc_radius_error(depth / self.scale, float(dataset.cameras.fx[i]), learnt, true)
            radii += [] if error is None else [error]
        if radii:
            figures["coc_radius_error_px"] = float(np.median(radii))
        return figures

    def _save(self, stem: Path, view: _JudgedView) -> None:
        for name, image in self._pictures(view):
            pixels = (255.0 * image.clamp(0.0, 1.0)).round().byte().numpy()
            Image.fromarray(pixels).save(stem.with_name(f"{stem.name}.{name}.png"))

    def _pictures(self, view: _JudgedView) -> Iterator[tuple[str, Tensor]]:
        yield "render", view.picture
        yield "photograph", view.photograph
        if view.sharp is not None:
            yield "truth", view.sharp
        if view.mask is not None:
            yield "mask", view.mask.float().expand(-1, -1, 3)


def _label(frame: Frame) -> str:
    return Path(frame.name).with_suffix("").as_posix().replace("/", "_")
