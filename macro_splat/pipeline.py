"""What a training's photographs and its model have to do with each other, beyond dealing out views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from torch.nn.functional import interpolate

from macro_splat.compat.old_runs import with_new_parameter_names
from macro_splat.data.datamanager import MacroDataManager, MacroDataManagerConfig
from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.search import SharpView
from macro_splat.model.background import plain_background
from macro_splat.model.crops import check_crops
from macro_splat.model.initialization import find_silhouettes
from macro_splat.model.lens_initialization import initialize_lens, report_lens
from macro_splat.model.lens_search import search_lens
from macro_splat.model.macro_splat_model import MacroSplatModel, MacroSplatModelConfig
from macro_splat.model.schedule import Schedule, choose_iterations, choose_max_gaussians
from macro_splat.model.sensor_noise import SensorNoise
from macro_splat.ops.resize import look_reduction
from macro_splat.viewer.panel import MacroLensPanel


@dataclass
class MacroSplatPipelineConfig(VanillaPipelineConfig):
    """Macro photographs and the model that is trained on them."""

    _target: type = field(default_factory=lambda: MacroSplatPipeline)
    """target class to instantiate"""
    datamanager: MacroDataManagerConfig = field(default_factory=MacroDataManagerConfig)
    """how photographs are dealt out"""
    model: MacroSplatModelConfig = field(default_factory=MacroSplatModelConfig)
    """the sharp splats and their lens"""


class MacroSplatPipeline(VanillaPipeline):
    """nerfstudio's pipeline, with what needs both the photographs and the model:

    * before the first step the model's background, lens and silhouettes are found in the photographs;
    * the schedule follows from the number and size of the photographs;
    * an unknown lens is tried out on the model while it is trained;
    * the viewer's panel, where the model has a lens.
    """

    config: MacroSplatPipelineConfig
    datamanager: MacroDataManager

    def __init__(self, config: MacroSplatPipelineConfig, device: str, **kwargs: Any) -> None:
        super().__init__(config, device, **kwargs)
        self._initialized = False
        if self.model.lens is not None:
            panel = MacroLensPanel(self.model, self.datamanager.photographs)
            self.add_module(panel.title, panel)  # where nerfstudio's viewer looks for it, by the name that it shows
            self.model.add_outputs = panel.add_photograph

    @property
    def model(self) -> MacroSplatModel:  # type: ignore[override]  # the parent's knows no kinds of models
        """The model itself, also where it is trained on several GPUs."""
        return super().model

    # -- the schedule --------------------------------------------------------------------------------------------

    def suggested_iterations(self) -> int:
        """Return the iterations that bring this capture near its end quality on this machine."""
        return choose_iterations(len(self.datamanager.train_dataset), self._pixels_per_view(), self._on_gpu)

    def fit_schedule(self, iterations: int) -> None:
        """Fit everything that counts steps, or Gaussians, to a training of so many iterations."""
        max_gaussians = choose_max_gaussians(self._pixels_per_view(), self._on_gpu)
        means = self.model.means.detach().cpu()
        radius = float((means - means.median(dim=0).values).norm(dim=1).quantile(0.9))
        self.model.set_schedule(Schedule(iterations, max_gaussians), scene_scale=radius)

    def pixel_size(self) -> float:
        """Return the size of a photograph's pixel at the object, in model units: the median over the views."""
        cameras = self.datamanager.train_dataset.cameras
        centre = self.model.means.detach().cpu().median(dim=0).values
        distance = (cameras.camera_to_worlds[:, :3, 3].cpu() - centre).norm(dim=1)
        return float((distance / cameras.fx.reshape(-1).cpu()).median())

    def _pixels_per_view(self) -> float:
        cameras = self.datamanager.train_dataset.cameras
        return float((cameras.width * cameras.height).float().mean())

    @property
    def _on_gpu(self) -> bool:
        return torch.device(self.device).type == "cuda"

    # -- before each step ----------------------------------------------------------------------------------------

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Return the parent's, after one that looks at the photographs before the first step, and searches the lens."""
        first = TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], self._before_step)
        return [first, *super().get_training_callbacks(training_callback_attributes)]

    def _before_step(self, step: int) -> None:
        if not self._initialized:
            self.initialize_from_photos(resumed=step > 0)
            self._initialized = True
        schedule = self.model.schedule
        if schedule is None:
            return
        self.model.blur_model.set_progress(step / schedule.iterations)
        if self.model.config.defocus.lens_search and step in schedule.lens_searches:
            self.search_lens()

    def initialize_from_photos(self, resumed: bool) -> None:
        """Set the model's background and lens, and the empty pixels of the photographs.

        Args:
            resumed: the training goes on from a checkpoint, which knows the background and the lens.

        Raises:
            MacroSplatError: the photographs are too large for the model, see `check_crops`.
        """
        model, dataset, photographs = self.model, self.datamanager.train_dataset, self.datamanager.photographs()
        cameras, metadata = dataset.cameras, dataset.metadata
        points, measured = metadata.get("points3D_xyz"), metadata.get("points3D_measured", True)
        if float((cameras.width * cameras.height).max()) > self.datamanager.step_pixels:
            check_crops(model.config.defocus, model.config.num_downscales)
        finds_background = model.config.background_color == "auto"
        if not resumed:
            if finds_background:
                model.background.copy_(torch.from_numpy(plain_background(photographs)))
            if model.lens is not None:
                given = self.datamanager.train_lens
                report_lens(model.lens, initialize_lens(model.lens, given, photographs, cameras, points, measured))
        if not (model.blur_model.uses_silhouette and finds_background):
            return
        background = model.background.cpu().numpy()
        surfaces = points.cpu().double().numpy() if points is not None and measured else None
        found = find_silhouettes(photographs, cameras, background, surfaces, self.datamanager.set_empty_mask)
        model.cluttered = not found.plain
        if model.config.defocus.sensor_noise and len(found.samples):
            model.sensor_noise = SensorNoise.of_background(found.samples, background, model.device)

    def search_lens(self) -> None:
        """Try out, on the model as it is now, the lens of the views whose capture does not tell it."""
        if self.model.lens is not None:
            given = self.datamanager.train_lens
            unknown_focus = given.focus_distance.reshape(-1).isnan()
            unknown_aperture = given.aperture_radius.reshape(-1).isnan()
            search_lens(self.model.lens, unknown_focus, unknown_aperture, self._sharp_view)

    def _sharp_view(self, view: int) -> tuple[SharpView, float]:
        """Return what the model shows of a view, reduced if it is large, and its focal length in pixels."""
        model = self.model
        camera = self.datamanager.train_dataset.cameras[view : view + 1].to(model.device)
        reduction = look_reduction(max(int(camera.width), int(camera.height)))
        if reduction > 1:
            camera.rescale_output_resolution(1 / reduction)
        outputs = model.render_training_view(camera, view)
        image = torch.from_numpy(self.datamanager.photographs()[view])
        photograph = model.composite_with_background(model.get_gt_img(image), model.background)
        size = int(camera.height), int(camera.width)
        if photograph.shape[:2] != size:
            photograph = interpolate(photograph.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
        blur = partial(defocus_picture, outputs["rgb"], alpha=outputs["accumulation"])
        depth = outputs["depth"].clamp(min=1e-6)
        return SharpView(photograph, depth, outputs["accumulation"], blur), float(camera.fx[0, 0])

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def load_pipeline(self, loaded_state: Mapping[str, Any], step: int) -> None:
        """Load a checkpoint, also one of a version that had other names."""
        super().load_pipeline(with_new_parameter_names(loaded_state), step)
