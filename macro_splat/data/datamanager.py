"""Deals out whole photographs with their cameras, each pose equally often, in an order that can be resumed."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
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
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from macro_splat.data.cache import (
    GIB,
    SHARE_OF_FREE_MEMORY,
    CachedView,
    Photographs,
    TensorStore,
    free_memory,
    spill_folder,
)
from macro_splat.data.crops import random_crop
from macro_splat.data.dataparser import MacroDataParserConfig
from macro_splat.data.dataset import MacroDataset
from macro_splat.data.lens import Lens
from macro_splat.data.sampler import PoseSampler, order_by_gain
from macro_splat.photographs.sharpness import sharpness_map

CPU_STEP_PIXELS, GPU_STEP_PIXELS = 600_000, 4_000_000
"""Of one training step, unless told: photographs that are reduced as they are by default are trained on whole."""
CPU_IMAGE_EDGE = 800
"""The cost of a step grows with the pixels, and photographs that are mostly out of focus hold little more detail."""
GPU_IMAGE_EDGE = 1600
"""As nerfstudio reduces photographs."""
DECODING_BYTES = 12
"""Memory that a decoder takes for each pixel of a photograph of full size: four bytes in it, and two copies."""


@dataclass
class MacroDataManagerConfig(FullImageDatamanagerConfig):
    """Full photographs of a macro capture."""

    _target: type = field(default_factory=lambda: MacroDataManager)
    """target class to instantiate"""
    dataparser: AnnotatedDataParserUnion = field(default_factory=MacroDataParserConfig)
    """how the capture is read"""
    cache_images: Literal["cpu", "gpu"] = "gpu"
    """Where photographs are kept: "gpu" means the training device, whatever it is."""
    cache_images_type: Literal["uint8", "float32"] = "uint8"
    """How they are kept: uint8 takes a quarter of the memory and is made float view by view."""
    max_image_edge: int | None = None
    """Reduce photographs on loading so that the longer side has at most this many pixels; 0 = as they are; None = what
    the machine masters: 1600 with a GPU, 800 without."""
    step_megapixels: float | None = None
    """Larger photographs are trained on by random crops of so many megapixels, around which as much more is rendered as
    blur brings in; 0 = always whole; None = 4 with a GPU, 0.6 without. It matters where `max_image_edge` is raised."""
    memory_budget: float | None = None
    """GiB for photographs where they are kept, decoding included; what exceeds it goes to a file on the disk, decoded
    and reduced. None = half of what is free; 0 = all on the disk."""
    cache_folder: Path | None = None
    """Folder for that file, which vanishes with the process; None = what TMPDIR names, or /var/tmp."""


class MacroDataManager(FullImageDatamanager[MacroDataset]):
    """nerfstudio's full-image datamanager for captures.

    Cameras carry the parser's `lens` in `metadata`, and `cam_idx`, the index in their own split. An
    evaluation camera also carries `eval_idx`, and always `train_idx`, -1 where it is no training view: so none is taken
    for the training view that has its index.
    Evaluation batches carry the truths of `MacroDataset.get_truth`, `sharp_image` as float32 in 0..1.
    """

    config: MacroDataManagerConfig
    train_dataset: MacroDataset
    eval_dataset: MacroDataset

    def create_train_dataset(self) -> MacroDataset:
        """The training split, reduced to `max_image_edge`."""
        dataset = self._create_dataset(self.train_dataparser_outputs)
        if dataset.scale_factor < 1.0:
            width, height = int(dataset.cameras.width[0]), int(dataset.cameras.height[0])
            CONSOLE.log(f"Photographs are reduced to {width} x {height} pixels (max_image_edge changes that).")
        return dataset

    def create_eval_dataset(self) -> MacroDataset:
        """The evaluation split, reduced alike."""
        return self._create_dataset(self.dataparser.get_dataparser_outputs(split=self.test_split))

    def _create_dataset(self, outputs: DataparserOutputs) -> MacroDataset:
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
    def _first_round(self) -> list[int]:
        """What the constructor of the base class dealt out, before photographs were looked at."""
        return PoseSampler(self._poses, self.config.train_cameras_sampling_seed).next_round()

    @cached_property
    def _poses(self) -> list[int]:
        """The pose of each training view; other parsers know no stacks."""
        stack_id = self.train_dataset.metadata.get("stack_id")
        return list(range(len(self.train_dataset))) if stack_id is None else stack_id[:, 0].tolist()

    @cached_property
    def _sampler(self) -> PoseSampler:
        # Made on first use, because the base class samples in its constructor.
        return PoseSampler(self._poses, self.config.train_cameras_sampling_seed)

    def _start_sharp(self, sharpness: Mapping[int, NDArray[np.float32]]) -> None:
        """Deal out the slices of each stack in the order in which they add sharp detail, the first time.

        Args:
            sharpness: maps of the views that belong to stacks.
        """
        stacks: dict[int, list[int]] = {}
        for index in sorted(sharpness):
            stacks.setdefault(self._poses[index], []).append(index)
        first = {
            pose: [views[i] for i in order_by_gain([sharpness[view] for view in views])]
            for pose, views in stacks.items()
        }
        self._sampler = PoseSampler(self._poses, self.config.train_cameras_sampling_seed, first)
        self.train_unseen_cameras = self.sample_train_cameras()

    def sampler_state(self) -> dict[str, Tensor]:
        """All that decides which views come next, as tensors for a checkpoint."""
        queue = torch.tensor(self.train_unseen_cameras, dtype=torch.int64)
        return {"queue": queue, "crops": self._crop_generator.get_state(), **self._sampler.state()}

    def restore_sampler_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the sequence that was interrupted when `sampler_state` was taken.

        Raises:
            ValueError: the state belongs to a capture with other photographs.
        """
        queue = state["queue"].tolist()
        if any(not 0 <= i < len(self.train_dataset) for i in queue):
            raise ValueError("the sampler's state belongs to a capture with other photographs")
        self._sampler.restore(state)
        if "crops" in state:  # older checkpoints know no crops
            self._crop_generator.set_state(state["crops"].cpu())
        self.train_unseen_cameras = queue

    @cached_property
    def _crop_generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.train_cameras_sampling_seed)

    @cached_property
    def step_pixels(self) -> float:
        """The most pixels of a photograph that a training step looks at."""
        megapixels = self.config.step_megapixels
        if megapixels is None:
            return GPU_STEP_PIXELS if torch.device(self.device).type == "cuda" else CPU_STEP_PIXELS
        return megapixels * 1e6 if megapixels > 0 else math.inf

    def next_train(self, step: int) -> tuple[Cameras, dict]:
        """The next training view, or a part of it, on the training device.

        Of a part the camera's metadata has the `crop`, and the batch holds that part alone.
        """
        views = self.cached_train  # before the queue is looked at: loading may set its order
        index = self.train_unseen_cameras.pop(0)
        if not self.train_unseen_cameras:
            self.train_unseen_cameras = self.sample_train_cameras()
        views[self.train_unseen_cameras[0]].prefetch()
        camera = self.train_cameras[index : index + 1]
        camera.metadata = {**(camera.metadata or {}), "cam_idx": index}
        size = int(camera.width), int(camera.height)
        crop = random_crop(*size, self.step_pixels, self._crop_generator)
        if crop is None:
            return camera, self._on_device(views[index])
        part = {
            name: crop.of(value) if isinstance(value, Tensor) and tuple(value.shape[1::-1]) == size else value
            for name, value in views[index].items()
        }
        return crop.camera(camera), self._on_device(part)

    @cached_property
    def train_cameras(self) -> Cameras:  # type: ignore[override]  # an attribute of the parent's
        """The training cameras on the training device, as loading the photographs leaves them."""
        return self.train_dataset.cameras.to(self.device)

    def _on_device(self, view: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in view.items()}

    def photographs(self) -> Photographs:
        """Return the training photographs as they are kept, undistorted; none is held."""
        return Photographs(self.cached_train)

    def set_empty_mask(self, view: int, mask: NDArray[np.bool_]) -> None:
        """Have batches of a training view carry `empty` [H, W, 1]: the pixels [H, W] at which nothing is."""
        self.cached_train[view]["empty"] = torch.from_numpy(mask)[..., None]

    @property
    def train_lens(self) -> Lens:
        """What the capture tells of the lens of the training views."""
        lens = self.train_dataset.metadata.get("lens")
        return Lens.unknown(len(self.train_dataset)) if lens is None else lens

    # ---- evaluation ----------------------------------------------------------------------------------------------

    @property
    def fixed_indices_eval_dataloader(self) -> Sequence[tuple[Cameras, dict]]:  # type: ignore[override]  # no list
        """All evaluation views in order, as (camera, batch), each made when it is asked for."""
        return _EvalViews(self)

    def next_eval_image(self, step: int) -> tuple[Cameras, dict]:
        """The evaluation views in turn."""
        index = self.eval_unseen_cameras.pop(0)
        if not self.eval_unseen_cameras:
            self.eval_unseen_cameras = list(range(len(self.eval_dataset)))
        return self.eval_view(index)

    def eval_view(self, index: int) -> tuple[Cameras, dict]:
        """Camera and batch of one evaluation view, on the training device."""
        batch = self._on_device(self.cached_eval[index])
        if "sharp_image" in batch:
            batch["sharp_image"] = batch["sharp_image"].float() / 255
        camera = self.eval_dataset.cameras[index : index + 1].to(self.device)
        # Parsers other than ours tell no `train_idx`; without it `cam_idx` would be taken for a training view's.
        unknown = torch.full((1, 1), -1, device=self.device)
        camera.metadata = {"train_idx": unknown, **(camera.metadata or {}), "cam_idx": index, "eval_idx": index}
        return camera, batch

    # ---- loading -------------------------------------------------------------------------------------------------

    @cached_property
    def cached_train(self) -> Sequence[CachedView]:  # type: ignore[override]  # views are no plain dictionaries
        """The training photographs, loaded and undistorted on first use.

        They decide in which order the slices of a stack come up first, unless views have been dealt out already.
        """
        sizes = Counter(self._poses)
        slices = {i for i, pose in enumerate(self._poses) if sizes[pose] > 1}
        fresh = self.train_unseen_cameras == self._first_round
        if not slices or not fresh or self.config.train_cameras_sampling_strategy != "random":
            slices = set()
        sharpness: dict[int, NDArray[np.float32]] = {}

        def look(index: int, data: Mapping[str, Any]) -> None:
            if index in slices:
                sharpness[index] = sharpness_map(_as_uint8(data["image"][..., :3]))

        views = self._load_views(self.train_dataset, "training", truths=False, look=look)
        if sharpness:
            self._start_sharp(sharpness)
        return views

    @cached_property
    def cached_eval(self) -> Sequence[CachedView]:  # type: ignore[override]  # as above
        """The evaluation photographs and their truths, likewise."""
        return self._load_views(self.eval_dataset, "evaluation", truths=True)

    @cached_property
    def _decoding_bytes(self) -> int:
        cameras = self.train_dataparser_outputs.cameras  # before they were reduced
        return DECODING_BYTES * int((cameras.width * cameras.height).max())

    @cached_property
    def _decoders(self) -> int:
        """Photographs that are decoded at a time: no more than take half of the budget."""
        most = self.config.max_thread_workers or min(os.cpu_count() or 1, 8)
        return max(1, min(most, self._budget // 2 // self._decoding_bytes))

    @cached_property
    def _budget(self) -> int:
        if self.config.memory_budget is not None:
            return int(self.config.memory_budget * GIB)
        return int(SHARE_OF_FREE_MEMORY * free_memory(self._memory))

    @property
    def _memory(self) -> torch.device:
        """Where photographs are kept."""
        return torch.device(self.device if self.config.cache_images == "gpu" else "cpu")

    @cached_property
    def _store(self) -> TensorStore:
        """What the photographs of both splits share."""
        if self._memory.type != "cpu":
            return TensorStore(self._budget, self.config.cache_folder, lambda tensor: tensor.to(self._memory))
        # Pinned memory is copied to a GPU faster; pinning needs one.
        pin = torch.device(self.device).type == "cuda"
        left = max(0, self._budget - self._decoders * self._decoding_bytes)
        return TensorStore(left, self.config.cache_folder, Tensor.pin_memory if pin else lambda tensor: tensor)

    def _load_views(
        self,
        dataset: MacroDataset,
        name: str,
        truths: bool,
        look: Callable[[int, Mapping[str, Any]], None] = lambda index, data: None,
    ) -> list[CachedView]:
        def load(index: int) -> CachedView:
            data = dataset.get_data(index, image_type=self.config.cache_images_type)
            if truths:
                data |= dataset.get_truth(index)
            data = undistorted(data, dataset.cameras, index)
            look(index, data)
            return CachedView(self._store, data)

        before = self._store.bytes_on_disk
        with ThreadPoolExecutor(self._decoders) as executor:
            views = executor.map(load, range(len(dataset)))
            description = f"Loading the {name} photographs"
            loaded = list(track(views, description, len(dataset), console=CONSOLE, transient=True))
        spilled = self._store.bytes_on_disk - before
        if spilled > 0:
            CONSOLE.log(
                f"{spilled / GIB:.1f} GiB of the {name} photographs exceed the memory budget of "
                f"{self._budget / GIB:.1f} GiB and lie in {spill_folder(self.config.cache_folder)} meanwhile."
            )
        return loaded


def _as_uint8(image: Tensor) -> NDArray[np.uint8]:
    picture = image if image.dtype == torch.uint8 else (image * 255).round().to(torch.uint8)
    return np.ascontiguousarray(picture.numpy())


class _EvalViews(Sequence[tuple[Cameras, dict]]):
    """The evaluation views of a datamanager; none is held."""

    def __init__(self, datamanager: MacroDataManager):
        self._datamanager = datamanager

    def __len__(self) -> int:
        return len(self._datamanager.eval_dataset)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return self._datamanager.eval_view(range(len(self))[index])


def undistorted(data: dict[str, Any], cameras: Cameras, index: int) -> dict[str, Any]:
    """The pictures as seen through the camera that nerfstudio makes of a distorted one; it becomes `cameras[index]`.

    True depth is left out then: it cannot be interpolated across an object's edge.
    """
    camera = cameras[index].reshape(())
    distortion = camera.distortion_params
    if distortion is None or not distortion.any():
        return data

    def undistort(picture: Tensor, others: dict) -> tuple[Any, Tensor, Tensor | None]:
        intrinsics = camera.get_intrinsics_matrices().numpy()  # anew: they are changed in place
        k, straight, mask = _undistort_image(camera, distortion.numpy(), others, picture.numpy(), intrinsics)
        return k, torch.from_numpy(straight).contiguous(), mask

    k, image, mask = undistort(data["image"], data)
    result = {name: value for name, value in data.items() if name != "depth_truth"} | {"image": image}
    if mask is not None:
        result["mask"] = mask
    if "sharp_image" in data:
        result["sharp_image"] = undistort(data["sharp_image"], {})[1]
    for values, value in zip(
        (cameras.fx, cameras.fy, cameras.cx, cameras.cy), k[(0, 1, 0, 1), (0, 1, 2, 2)], strict=True
    ):
        values[index] = float(value)
    cameras.width[index], cameras.height[index] = result["image"].shape[1], result["image"].shape[0]
    return result
