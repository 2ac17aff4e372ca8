"""Deals out whole photographs with their cameras, each pose equally often, in an order that can be resumed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.full_images_datamanager import (
    FullImageDatamanager,
    FullImageDatamanagerConfig,
    _undistort_image,
)
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from macro_splat.data.dataparser import MacroRigDataParserConfig
from macro_splat.data.dataset import MacroRigDataset
from macro_splat.data.sampler import PoseSampler

CPU_IMAGE_EDGE = 800
"""The cost of a step grows with the pixels, and photographs that are mostly out of focus hold little more detail."""
GPU_IMAGE_EDGE = 1600
"""As nerfstudio reduces photographs."""


@dataclass
class MacroRigDataManagerConfig(FullImageDatamanagerConfig):
    """Full photographs of a macro capture."""

    _target: type = field(default_factory=lambda: MacroRigDataManager)
    """target class to instantiate"""
    dataparser: AnnotatedDataParserUnion = field(default_factory=MacroRigDataParserConfig)
    """how the capture is read"""
    cache_images: Literal["cpu", "gpu"] = "gpu"
    """Where photographs are kept: "gpu" means the training device, whatever it is."""
    cache_images_type: Literal["uint8", "float32"] = "uint8"
    """How they are kept: uint8 takes a quarter of the memory and is made float view by view."""
    max_image_edge: int | None = None
    """Reduce photographs on loading so that the longer side has at most this many pixels; 0 = as they are; None = what
    the machine masters: 1600 with a GPU, 800 without."""


class MacroRigDataManager(FullImageDatamanager[MacroRigDataset]):
    """nerfstudio's full-image datamanager for captures.

    Cameras carry the parser's `lens` values in `metadata`, [1, 1] each. A training camera also carries `cam_idx`, an
    evaluation camera `eval_idx` instead (index in its own split), so that neither can be taken for the other.
    Evaluation batches carry the truths of `MacroRigDataset.get_truth`, `sharp_image` as float32 in 0..1.
    """

    config: MacroRigDataManagerConfig
    train_dataset: MacroRigDataset
    eval_dataset: MacroRigDataset

    def create_train_dataset(self) -> MacroRigDataset:
        """The training split, reduced to `max_image_edge`."""
        dataset = self._create_dataset(self.train_dataparser_outputs)
        if dataset.scale_factor < 1.0:
            width, height = int(dataset.cameras.width[0]), int(dataset.cameras.height[0])
            CONSOLE.log(f"Photographs are reduced to {width} x {height} pixels (max_image_edge changes that).")
        return dataset

    def create_eval_dataset(self) -> MacroRigDataset:
        """The evaluation split, reduced alike."""
        return self._create_dataset(self.dataparser.get_dataparser_outputs(split=self.test_split))

    def _create_dataset(self, outputs: DataparserOutputs) -> MacroRigDataset:
        # One factor for all views: pixels of different size would make blur of different size.
        cameras = self.train_dataparser_outputs.cameras
        edge = int(torch.maximum(cameras.width, cameras.height).max())
        limit = self.config.max_image_edge
        if limit is None:
            limit = GPU_IMAGE_EDGE if torch.device(self.device).type == "cuda" else CPU_IMAGE_EDGE
        reduction = min(1.0, limit / edge) if limit > 0 else 1.0
        return self.dataset_type(outputs, scale_factor=self.config.camera_res_scale_factor * reduction)

    # ---- training ------------------------------------------------------------------------------------------------

    def sample_train_cameras(self) -> list[int]:
        """One round of training views: every pose once. (Farthest point sampling remains nerfstudio's.)"""
        if self.config.train_cameras_sampling_strategy != "random":
            return super().sample_train_cameras()
        return self._sampler.next_round()

    @cached_property
    def _sampler(self) -> PoseSampler:
        # Made on first use, because the base class samples in its constructor. Other parsers know no stacks.
        lens = self.train_dataset.metadata.get("lens")
        poses = range(len(self.train_dataset)) if lens is None else lens["stack_id"][:, 0].tolist()
        return PoseSampler(poses, self.config.train_cameras_sampling_seed)

    def sampler_state(self) -> dict[str, Tensor]:
        """All that decides which views come next, as tensors for a checkpoint."""
        queue = torch.tensor(self.train_unseen_cameras, dtype=torch.int64)
        return {"queue": queue, **self._sampler.state()}

    def restore_sampler_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the sequence that was interrupted when `sampler_state` was taken.

        Raises:
            ValueError: the state belongs to a capture with other photographs.
        """
        queue = state["queue"].tolist()
        if any(not 0 <= i < len(self.train_dataset) for i in queue):
            raise ValueError("the sampler's state belongs to a capture with other photographs")
        self._sampler.restore(state)
        self.train_unseen_cameras = queue

    # ---- evaluation ----------------------------------------------------------------------------------------------

    @property
    def fixed_indices_eval_dataloader(self) -> list[tuple[Cameras, dict]]:
        """All evaluation views in order, as (camera, batch)."""
        return [self._eval_view(i) for i in range(len(self.eval_dataset))]

    def next_eval_image(self, step: int) -> tuple[Cameras, dict]:
        """The evaluation views in turn."""
        index = self.eval_unseen_cameras.pop(0)
        if not self.eval_unseen_cameras:
            self.eval_unseen_cameras = list(range(len(self.eval_dataset)))
        return self._eval_view(index)

    def _eval_view(self, index: int) -> tuple[Cameras, dict]:
        batch = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in self.cached_eval[index].items()}
        if "sharp_image" in batch:
            batch["sharp_image"] = batch["sharp_image"].float() / 255
        camera = self.eval_dataset.cameras[index : index + 1].to(self.device)
        camera.metadata = {**(camera.metadata or {}), "eval_idx": index}
        return camera, batch

    # ---- loading -------------------------------------------------------------------------------------------------

    def _load_images(
        self, split: Literal["train", "eval"], cache_images_device: Literal["cpu", "gpu"]
    ) -> list[dict[str, Tensor]]:
        if not torch.cuda.is_available():
            cache_images_device = "gpu"  # "cpu" pins memory, which needs CUDA; "gpu" means self.device
        if split == "train":
            return super()._load_images(split, cache_images_device)
        cameras = deepcopy(self.eval_dataset.cameras)  # undistortion changes the dataset's
        truths = [self.eval_dataset.get_truth(i) for i in range(len(self.eval_dataset))]
        cached = super()._load_images(split, cache_images_device)
        return [
            {**view, **_undistorted(truth, cameras[i])}
            for i, (view, truth) in enumerate(zip(cached, truths, strict=True))
        ]


def _undistorted(truth: dict[str, Tensor], camera: Cameras) -> dict[str, Tensor]:
    """The truth as seen through the camera that nerfstudio makes of a distorted one.

    Depth is left out then: it cannot be interpolated across an object's edge.
    """
    distortion = camera.distortion_params
    if distortion is None or not distortion.any() or "sharp_image" not in truth:
        return truth
    camera = camera.reshape(())
    intrinsics = camera.get_intrinsics_matrices().numpy()
    _, sharp, _ = _undistort_image(camera, distortion.numpy(), {}, truth["sharp_image"].numpy(), intrinsics)
    return {"sharp_image": torch.from_numpy(sharp)}
