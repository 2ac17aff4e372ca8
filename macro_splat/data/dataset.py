"""Photographs and, for evaluation, truths: loaded at the size that the cameras have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image
from torch import Tensor

from macro_splat.capture.files import load_depth
from macro_splat.utils.pictures import broken_picture, read_mask


class MacroDataset(InputDataset):
    """nerfstudio's dataset, except that

    - palette, grey-alpha and CMYK pictures become RGB(A), and a picture that breaks is named in one line;
    - reduced pictures have exactly the size of their cameras;
    - masks may be missing for some views (nothing is ignored there) and may have any number of channels.
    """

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        self.metadata["cameras"] = self.cameras  # the model gets the metadata alone
        none: list[Path | None] = [None] * len(dataparser_outputs.image_filenames)
        ours = "lens" in self.metadata  # another parser may be in use, with other conventions for depth
        self._sharp: list[Path | None] = self.metadata["sharp_filenames"] if ours else none
        self._depth: list[Path | None] = self.metadata["depth_filenames"] if ours else none
        self._masks: list[Path | None] = self.metadata["mask_filenames"] if ours else none
        if not ours and dataparser_outputs.mask_filenames is not None:
            self._masks = list(dataparser_outputs.mask_filenames)

    def get_numpy_image(self, image_idx: int) -> np.ndarray:
        """The photograph [H, W, 3 or 4] uint8."""
        return self._load(self.image_filenames[image_idx], image_idx)

    def get_data(self, image_idx: int, image_type: str = "float32") -> dict:
        """`image_idx`, `image` [H, W, 3 or 4], and `mask` [H, W, 1] bool if any view of the split has one."""
        image = self.get_image_uint8(image_idx) if image_type == "uint8" else self.get_image_float32(image_idx)
        data = {"image_idx": image_idx, "image": image}
        if any(mask is not None for mask in self._masks):
            data["mask"] = self._load_mask(image_idx)
        return data

    def get_truth(self, image_idx: int) -> dict[str, Tensor]:
        """What only evaluation may see, where all views of the split have it (metrics need the same keys each time).

        Returns:
            `sharp_image` [H, W, 3 or 4] uint8: the all-in-focus photograph of this pose, which is the
            photograph itself where the aperture is known to be 0; channels as in `image`.
            `depth_truth` [H, W, 1] float32: z along the axis in model units, 0 where there is nothing.
        """
        truth = {}
        sharp = self._sharp_filenames()
        if sharp is not None:
            truth["sharp_image"] = torch.from_numpy(self._load(sharp[image_idx], image_idx))
        depth = self._depth[image_idx]
        if depth is not None and None not in self._depth:
            z = torch.from_numpy(np.array(load_depth(depth), dtype=np.float32)) * self.metadata["dataparser_scale"]
            # Nearest, so that no depth is invented between an object and the nothing beside it.
            z = torch.nn.functional.interpolate(z[None, None], self._size(image_idx)[::-1], mode="nearest-exact")
            truth["depth_truth"] = z[0, 0, :, :, None]
        return truth

    def _sharp_filenames(self) -> list[Path] | None:
        apertures = self.metadata["lens"].aperture_radius[:, 0].tolist() if "lens" in self.metadata else []
        files = [
            image if radius == 0 else sharp
            for image, sharp, radius in zip(self.image_filenames, self._sharp, apertures, strict=False)
        ]
        return [f for f in files if f is not None] if files and None not in files else None

    def _size(self, image_idx: int) -> tuple[int, int]:
        """Width and height of the view's camera."""
        return int(self.cameras.width[image_idx]), int(self.cameras.height[image_idx])

    def _load(self, path: Path, image_idx: int) -> np.ndarray:
        size = self._size(image_idx)
        try:
            with Image.open(path) as file:
                # A JPEG need not be decoded beyond twice the size that is wanted: quicker, and in less memory.
                file.draft(None, (2 * size[0], 2 * size[1]))
                transparent = "A" in file.getbands() or "transparency" in file.info
                mode = "RGBA" if transparent else "RGB"
                picture = file if file.mode == mode else file.convert(mode)
                if picture.size != size:
                    picture = picture.resize(size, Image.Resampling.BILINEAR)
                return np.array(picture)
        except Exception as error:  # decoders raise many kinds of errors, and all of them mean that the file is broken
            raise broken_picture(path, error) from error

    def _load_mask(self, image_idx: int) -> Tensor:
        path, size = self._masks[image_idx], self._size(image_idx)
        if path is None:
            return torch.ones(size[1], size[0], 1, dtype=torch.bool)
        return torch.from_numpy(read_mask(path, size))[:, :, None]
