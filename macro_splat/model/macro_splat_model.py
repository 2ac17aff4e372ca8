"""MacroSplatModel: splatfacto whose photographs are blurred by a lens, and whose own picture is sharp."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any, Literal

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.models.splatfacto import RGB2SH, SplatfactoModel, SplatfactoModelConfig
from torch import Tensor
from torch.nn import Parameter
from tyro.conf import arg

from macro_splat.compat.lpips import optional_lpips
from macro_splat.compat.malloc_arenas import limit_arenas
from macro_splat.compat.viewmat import get_viewmat
from macro_splat.data.crops import Crop
from macro_splat.defocus.blur_models import BlurModel, ImageBlurModel, LensBlurModel
from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.kernel import Kernel
from macro_splat.defocus.modes import make_blur_model
from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.model.crops import blur_margin, composited, seen_part
from macro_splat.model.densify import BudgetStrategy
from macro_splat.model.initial_points import densify_initial_points
from macro_splat.model.losses import anisotropy_penalty, opacity_binarization, photometric_loss
from macro_splat.model.outputs import LazyOutputs, add_lens_outputs, sharp_outputs
from macro_splat.model.schedule import Schedule
from macro_splat.model.sensor_noise import SensorNoise
from macro_splat.model.training_views import TrainingViews
from macro_splat.ops.rasterizer import rasterization

ALL_DONE = 30_000
"""A step at which every schedule has come to its end, for models that are only looked at."""
NEAR_PLANE = 0.01
"""In the model's units, as splatfacto has it; nerfstudio's cameras are scaled to lie within about 1."""


@dataclass
class MacroSplatModelConfig(SplatfactoModelConfig):
    """Sharp Gaussian splats from defocused photographs.

    Step counts of splatfacto that are negative here are chosen from the number of iterations.
    """

    _target: type = field(default_factory=lambda: MacroSplatModel)
    defocus: DefocusConfig = field(default_factory=DefocusConfig)
    """The model of the lens's blur."""
    num_init_gaussians: Annotated[int, arg(aliases=("--pipeline.model.num-seeds",))] = 12_000  # its name in 0.1.0
    """Gaussians to start from: the capture's sparse points, made denser between neighbours up to this number."""
    background_color: Literal["auto", "random", "black", "white"] = "auto"  # type: ignore[assignment]
    """auto: the plain colour that surrounds the object in the photographs if there is one, else black."""
    num_downscales: int = 0
    """Training starts at 1/2^d of the resolution. 0: the blur itself is a coarse-to-fine schedule already."""
    warmup_length: int = -1
    """Steps before Gaussians are added and removed; negative: chosen from the number of iterations."""
    sh_degree: int = -1
    """Degree of the spherical harmonics of a colour; negative: 2 where a lens is learnt, whose blur a colour that may
    change freely from view to view would explain away, else splatfacto's 3. For what does not shine at all, 1 is a
    little better."""
    densify_grad_thresh: float = -1.0
    """Gradient on screen above which a Gaussian is split; negative: chosen by the defocus mode, for gradients that come
    back through a blur are weaker."""
    max_gaussians: int = 0
    """None are added beyond this number; 0: chosen from the size of the photographs and the machine."""
    refine_every: int = 100
    """Steps between two rounds of adding and removing Gaussians."""
    stop_split_at: int = -1
    """Step at which that ends; negative: chosen from the number of iterations."""
    stop_screen_size_at: int = -1
    """Step at which Gaussians stop being split and removed for their size on screen; negative: never done."""
    sh_degree_interval: int = -1
    """Steps after which the next degree of spherical harmonics is learnt; negative: chosen from the iterations."""
    reset_alpha_every: int = -1
    """Refinement rounds between two resets of the opacities; negative: never, short trainings do not recover."""
    cull_alpha_thresh: float = 0.005
    """Gaussians of less opacity are removed."""


class MacroSplatModel(SplatfactoModel):
    """Splatfacto with a lens for every training view.

    In training, the picture compared with a photograph is rendered as its lens saw it. In evaluation, the viewer,
    exports and videos the picture is sharp.
    """

    config: MacroSplatModelConfig
    background: Tensor
    blur_model: BlurModel
    cluttered: bool
    """Whether no photograph shows a plain background."""
    sensor_noise: SensorNoise | None
    """Of the photographs' background."""
    virtual_lens: VirtualLens | None
    """The lens that `rgb_blurred` and its like show; None: that of the camera, see `lens_seen_through`."""
    add_outputs: Callable[[LazyOutputs, Cameras], None] | None
    """Adds to the outputs of an evaluation where there is a lens, as the viewer's panel does."""

    def populate_modules(self) -> None:
        """Build the Gaussians, the lens and the metrics; every parameter exists from here on.

        Raises:
            MacroSplatError: an option of splatfacto's is asked for that this model does not have.
        """
        limit_arenas()
        for option in ("use_bilateral_grid", "color_corrected_metrics"):
            if getattr(self.config, option):
                flag = option.replace("_", "-")
                raise MacroSplatError(f"--pipeline.model.{flag} True: macro-splat has no such thing; leave it out")
        # Made first: what is chosen by the mode is needed for the Gaussians.
        blur_model = make_blur_model(self.config.defocus, self.num_train_data, self._stack_groups())
        if self.config.sh_degree < 0:
            self.config.sh_degree = blur_model.sh_degree
        points, colors = self._initial_points()
        # Without colours the parent takes its only branch that does not call .cuda(); they are set below.
        self.seed_points = None if points is None else (points, torch.zeros(0, 3))
        chosen = self.config.background_color
        if chosen == "auto":  # unknown to the parent
            self.config.background_color = "black"
        with optional_lpips():
            super().populate_modules()
        self.config.background_color = chosen
        if colors is not None:
            colors = colors / 255.0
            start = RGB2SH(colors) if self.config.sh_degree > 0 else torch.logit(colors, eps=1e-3)
            self.gauss_params["features_dc"] = Parameter(start)
            self.gauss_params["features_rest"] = Parameter(torch.zeros_like(self.features_rest))
        self.blur_model = blur_model
        self.register_buffer("background", torch.zeros(3))
        self.cluttered = False
        self.sensor_noise = None
        self.schedule: Schedule | None = None
        self.virtual_lens = None
        self.add_outputs = None

    @property
    def lens(self) -> PerViewLens | None:
        """The lens of every training view, where the blur is modelled by one."""
        return self.blur_model.lens

    def _initial_points(self) -> tuple[Tensor | None, Tensor | None]:
        if self.seed_points is None or self.config.random_init:
            return None, None
        points, colors = (tensor.cpu().numpy() for tensor in self.seed_points)
        points, colors = densify_initial_points(points, colors.astype("float32"), self.config.num_init_gaussians)
        return torch.from_numpy(points), torch.from_numpy(colors)

    def _stack_groups(self) -> Tensor | None:
        """Which views share an aperture: the slices of one focus stack."""
        stack_id = (self.kwargs.get("metadata") or {}).get("stack_id")
        return None if stack_id is None else stack_id.reshape(-1).cpu()

    def load_state_dict(self, state, **kwargs):  # type: ignore[override]  # as splatfacto's
        """Load a checkpoint into the parameters that are there.

        The parent makes new ones, which the optimizers, built before, do not know: a resumed training would stand
        still.
        """
        self.step = ALL_DONE  # as the parent has it; a resumed training counts on from where it was
        for name, parameter in self.gauss_params.items():
            parameter.data = torch.zeros_like(state[f"gauss_params.{name}"], device=self.device)
        # A run's config may leave the degree to the mode, whose choice may have been another one in its version.
        self.config.sh_degree = math.isqrt(self.features_rest.shape[1] + 1) - 1
        return super(SplatfactoModel, self).load_state_dict(state, **kwargs)

    # -- training ------------------------------------------------------------------------------------------------

    def set_schedule(self, schedule: Schedule, scene_scale: float) -> None:
        """Fit everything that counts steps to the length of the training. ``scene_scale``: radius of the object."""
        config = self.config
        self.schedule = schedule
        never = schedule.iterations + 1
        self.strategy = BudgetStrategy(
            max_gaussians=config.max_gaussians if config.max_gaussians > 0 else schedule.max_gaussians,
            prune_opa=config.cull_alpha_thresh,
            grow_grad2d=config.densify_grad_thresh if config.densify_grad_thresh > 0 else self.blur_model.grow_gradient,
            grow_scale3d=config.densify_size_thresh,
            grow_scale2d=config.split_screen_size,
            prune_scale3d=config.cull_scale_thresh,
            prune_scale2d=config.cull_screen_size,
            refine_scale2d_stop_iter=max(config.stop_screen_size_at, 0),
            refine_start_iter=schedule.refine_start if config.warmup_length < 0 else config.warmup_length,
            refine_stop_iter=schedule.refine_stop if config.stop_split_at < 0 else config.stop_split_at,
            reset_every=never if config.reset_alpha_every <= 0 else config.reset_alpha_every * config.refine_every,
            refine_every=config.refine_every,
            pause_refine_after_reset=self.num_train_data + config.refine_every,
            absgrad=config.use_absgrad,
            revised_opacity=True,
            verbose=False,
        )
        self.strategy_state = self.strategy.initialize_state(scene_scale=scene_scale)

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """The parent's groups and those of the blur model."""
        return {**super().get_param_groups(), **self.blur_model.param_groups()}

    # -- rendering -----------------------------------------------------------------------------------------------

    def get_outputs(self, camera: Cameras) -> MutableMapping[str, Any]:  # type: ignore[override]  # as splatfacto's
        """Render one camera.

        In training: `rgb` as the view's lens saw it; of a crop (see `Crop`) that part alone. Otherwise `rgb` is sharp,
        `depth` is given too, and where there is a lens to look through (see `lens_seen_through`) what
        `add_lens_outputs` lists, each made when it is read.

        Args:
            camera: one camera; in training, its metadata has `cam_idx`.

        Returns:
            rgb [H, W, 3] in 0..1, depth [H, W, 1] or None, accumulation [H, W, 1], background [3] or [H, W, 3].
        """
        assert camera.shape[0] == 1, "one camera at a time"
        view = self._training_view(camera) if self.training else None
        refined = camera.camera_to_worlds if view is None else self.camera_optimizer.apply_to_camera(camera)
        viewmats = get_viewmat(refined)
        part = None if view is None else seen_part(camera, self._margin(camera, viewmats[0], view))
        if part is not None:
            crop, around = part
            camera = around.within(crop).camera(camera)
        scale = self._get_downscale_factor()
        camera.rescale_output_resolution(1 / scale)
        K = camera.get_intrinsics_matrices().to(self.device)
        width, height = int(camera.width.item()), int(camera.height.item())
        camera.rescale_output_resolution(scale)
        self.last_size = (height, width)

        background = self._get_background_color().to(self.device)
        gaussians = self._visible_gaussians()
        if gaussians is None:
            empty = torch.zeros(height, width, 1, device=self.device)
            return self._evaluation_outputs(camera, background.repeat(height, width, 1), empty, empty, background, K)
        if view is not None:
            gaussians = self.blur_model.blur_gaussians(view, gaussians, viewmats[0], K[0])
        blur_needs_depth = view is not None and self.blur_model.needs_depth
        with_depth = self.config.output_depth_during_training or not self.training or blur_needs_depth
        render, alpha, self.info = rasterization(
            **gaussians,
            viewmats=viewmats,
            Ks=K,
            width=width,
            height=height,
            near_plane=NEAR_PLANE,
            render_mode="RGB+ED" if with_depth else "RGB",
            sh_degree=self._sh_degree_now(),
            absgrad=self.training and self.strategy.absgrad,
            rasterize_mode=self.config.rasterize_mode,
        )
        if self.training:
            if part is not None:
                # The strategy takes the gradient of a mean over so many pixels for one over the photograph.
                share = crop.width * crop.height / (crop.full_width * crop.full_height)
                self.info |= {"width": crop.full_width * share, "height": crop.full_height * share}
            self.strategy.step_pre_backward(
                self.gauss_params, self.optimizers, self.strategy_state, self.step, self.info
            )
        photograph = None
        if part is not None and self.cluttered:
            photograph = Crop.whole(crop.full_width, crop.full_height).within(around)
        rgb = composited(render[0, ..., :3], alpha[0], background, photograph)
        if not self.training:
            return self._evaluation_outputs(camera, rgb, render[0, ..., 3:4], alpha[0], background, K)
        depth = render[0, ..., 3:4] if blur_needs_depth else None
        if view is not None:
            rgb = self.blur_model.blur_picture(view, rgb, alpha[0], depth, K[0, 0, 0])
        clarity = self.blur_model.clarity(view, depth, K[0, 0, 0]) if view is not None else None
        depth_image = None
        if self.config.output_depth_during_training:
            depth_image = render[0, ..., 3:4]
            depth_image = torch.where(alpha[0] > 0, depth_image, depth_image.detach().max())
        rgb = rgb.clamp(0.0, 1.0)
        outputs = {"rgb": rgb, "depth": depth_image, "accumulation": alpha[0], "background": background}
        if clarity is not None:
            outputs["clarity"] = clarity
        if part is not None:
            inner = crop.within(around)
            outputs = {k: inner.of(v) if v is not None and v.dim() == 3 else v for k, v in outputs.items()}
        return outputs

    def _margin(self, camera: Cameras, viewmat: Tensor, view: int) -> int:
        """Pixels that have to be rendered around a training photograph, or the part of it that the camera sees."""
        by_place = self.config.defocus.blur_net  # of the photograph as it is
        if not isinstance(self.blur_model, ImageBlurModel) or by_place or self._get_downscale_factor() > 1:
            return 0
        if not self.cluttered and "crop" not in (camera.metadata or {}):
            return 0  # a plain background is known to go on, and haze beside the photograph would be no one's loss
        radius = partial(self.blur_model.lens.blur_radius, view, focal_px=camera.fx[0, 0])
        return blur_margin(self.means, viewmat, camera, radius)

    def _evaluation_outputs(
        self, camera: Cameras, picture: Tensor, depth: Tensor, alpha: Tensor, background: Tensor, K: Tensor
    ) -> MutableMapping[str, Any]:
        outputs = sharp_outputs(picture, depth, alpha, background)
        lens, focal_px = self.lens_seen_through(camera), K[0, 0, 0]
        if lens is None:
            return outputs
        circle = partial(lens.coc_radius, depth, focal_px)
        if self.virtual_lens is None and isinstance(self.blur_model, LensBlurModel):
            view = self.training_views.index_of(camera)
            if view is not None:  # with what the blur model adds to the lens
                circle = partial(self.blur_model.coc_radius, view, depth, focal_px)
        if self.add_outputs is not None:
            self.add_outputs(outputs, camera)
        defocus = self.config.defocus
        light = {"linear_light": defocus.linear_light, "depth_edges": defocus.depth_edges}
        add_lens_outputs(outputs, picture, alpha, circle, **light)
        return outputs

    # -- the lens to look through ----------------------------------------------------------------------------------

    def lens_seen_through(self, camera: Cameras) -> VirtualLens | None:
        """`virtual_lens` if set, else the lens of the camera's training view, else a typical one; None without any."""
        if self.virtual_lens is not None or self.lens is None:
            return self.virtual_lens
        view = self.training_views.index_of(camera)
        return self.typical_lens(camera) if view is None else self.lens_of_view(view)

    @cached_property
    def training_views(self) -> TrainingViews:
        """Where they are."""
        return TrainingViews(self.kwargs["metadata"]["cameras"])

    @torch.no_grad()
    def lens_of_view(self, view: int) -> VirtualLens:
        """The lens of a training view as it is learnt so far.

        Raises:
            MacroSplatError: the mode has no lens; there is no such view.
        """
        lens = self._lens_or_complain()
        if not 0 <= view < lens.num_views:
            raise MacroSplatError(f"view {view}: there is none; the training views are 0 to {lens.num_views - 1}")
        return VirtualLens(float(lens.focus_distance()[view]), float(lens.aperture_radius()[view]))

    def typical_lens(self, camera: Cameras) -> VirtualLens:
        """A lens for any one camera: the median pupil, focused relative to the scene's centre as the median view is.

        Raises:
            MacroSplatError: the mode has no lens.
        """
        return self.training_views.typical_lens(self._lens_or_complain(), camera)

    def _lens_or_complain(self) -> PerViewLens:
        if self.lens is None:
            raise MacroSplatError(f"defocus mode {self.config.defocus.mode} knows no lens: train with another mode")
        return self.lens

    @torch.no_grad()
    def kernel_at(self, view: int, x: int, y: int) -> Kernel:
        """The defocus kernel of a pixel of a training photograph, as this mode makes it at the rendered depth.

        Args:
            view: index of the training view.
            x, y: column and row of the photograph as it is trained on (reduced, if it is: see `max_image_edge`).

        Raises:
            MacroSplatError: this mode has no lens; there is no such view or pixel.
        """
        if not isinstance(self.blur_model, LensBlurModel):
            raise MacroSplatError(f"defocus mode {self.config.defocus.mode} knows no lens: no kernel follows from it")
        cameras: Cameras = self.kwargs["metadata"]["cameras"]
        if not 0 <= view < len(cameras):
            raise MacroSplatError(f"view {view}: there is none; the training views are 0 to {len(cameras) - 1}")
        camera = cameras[view : view + 1].to(self.device)
        width, height = int(camera.width), int(camera.height)
        if not (0 <= x < width and 0 <= y < height):
            raise MacroSplatError(f"pixel ({x}, {y}): view {view} has {width} x {height} pixels, counted from 0")
        outputs = self.render_training_view(camera, view)
        depth = torch.where(outputs["accumulation"] > 0, outputs["depth"], 0.0)
        return self.blur_model.kernel_at(view, depth, outputs["accumulation"], camera.fx[0, 0], x, y)

    @torch.no_grad()
    def render_training_view(self, camera: Cameras, view: int) -> dict[str, Tensor]:
        """The sharp picture of a training view from its refined pose, as `get_outputs` gives it."""
        camera.metadata = {**(camera.metadata or {}), "cam_idx": view}
        camera.camera_to_worlds = self.camera_optimizer.apply_to_camera(camera)
        training = self.training
        self.eval()
        try:
            return self.get_outputs_for_camera(camera)
        finally:
            self.train(training)

    def _visible_gaussians(self) -> dict[str, Any] | None:
        """The Gaussians as the rasterizer takes them, within the viewer's crop box; None if that is empty."""
        keep: Any = slice(None)
        if self.crop_box is not None and not self.training:
            keep = self.crop_box.within(self.means).squeeze(-1)
            if not keep.any():
                return None
        colors = torch.cat((self.features_dc[keep, None, :], self.features_rest[keep]), dim=1)
        return {
            "means": self.means[keep],
            "quats": self.quats[keep],
            "scales": torch.exp(self.scales[keep]),
            "opacities": torch.sigmoid(self.opacities[keep]).squeeze(-1),
            "colors": colors if self.config.sh_degree > 0 else torch.sigmoid(colors).squeeze(1),
        }

    def _sh_degree_now(self) -> int | None:
        degree = self.config.sh_degree
        if degree == 0:
            return None
        interval = self.config.sh_degree_interval
        if interval < 0:
            interval = self.schedule.sh_interval if self.schedule is not None else 0
        return degree if interval == 0 else min(self.step // interval, degree)

    @staticmethod
    def _training_view(camera: Cameras) -> int | None:
        metadata = camera.metadata or {}
        held_out = int(metadata.get("train_idx", 0)) < 0  # whose `cam_idx` counts in another split
        return None if held_out or "cam_idx" not in metadata else int(metadata["cam_idx"])

    def _get_background_color(self) -> Tensor:
        if self.config.background_color == "auto":
            return self.background
        return super()._get_background_color()

    # -- losses and metrics --------------------------------------------------------------------------------------

    def get_loss_dict(self, outputs, batch, metrics_dict=None) -> dict[str, Tensor]:
        """Return the terms whose sum is the loss; in training the priors too.

        Args:
            outputs: of this model for a view.
            batch: what belongs to the view: `image`, and where there are any, `mask` and `empty`.
            metrics_dict: not used.
        """
        config, defocus = self.config, self.config.defocus
        picture, photograph, empty = self._compared(outputs, batch)
        weight = None
        if "clarity" in outputs and defocus.blurred_weight < 1.0:
            weight = defocus.blurred_weight + (1 - defocus.blurred_weight) * outputs["clarity"]
        terms = {"main_loss": photometric_loss(picture, photograph, config.ssim_lambda, weight)}
        if config.use_scale_regularization and self.step % 10 == 0:
            terms["scale_reg"] = 0.1 * anisotropy_penalty(self.scales, config.max_gauss_ratio)
        if self.training:
            if defocus.binarization_weight > 0 and self.blur_model.renders_sharp and self.schedule is not None:
                share = defocus.binarization_weight * self.schedule.binarization(self.step)
                terms["binarization"] = share * opacity_binarization(outputs["accumulation"])
            terms |= self.blur_model.losses()
            if empty is not None:
                terms["silhouette"] = defocus.silhouette_weight * (outputs["accumulation"] * empty).mean()
            self.camera_optimizer.get_loss_dict(terms)
        return terms

    def _compared(self, outputs, batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the picture and the photograph [H, W, 3] as they are compared, and the empty pixels [H, W, 1]."""
        photograph = self.composite_with_background(self.get_gt_img(batch["image"]), outputs["background"])
        picture, background = outputs["rgb"], self.background
        empty = self._downscale_if_required(batch["empty"].float()) > 0.5 if "empty" in batch else None
        if self.sensor_noise is not None:
            picture, background = self.sensor_noise.read(picture), self.sensor_noise.read(background)
        if empty is not None:
            photograph = torch.where(empty, background, photograph)  # without its noise
        if "mask" in batch:
            mask = self._downscale_if_required(batch["mask"]).to(self.device)
            photograph, picture = photograph * mask, picture * mask
        return picture, photograph, empty

    def get_metrics_dict(self, outputs, batch) -> dict[str, Tensor]:
        """PSNR against the photograph and the number of Gaussians."""
        photograph = self.composite_with_background(self.get_gt_img(batch["image"]), outputs["background"])
        error = (photograph - outputs["rgb"]).square().mean()
        metrics = {"psnr": -10.0 * torch.log10(error.clamp(min=1e-10)), "gaussian_count": torch.tensor(self.num_points)}
        self.camera_optimizer.get_metrics_dict(metrics)
        return metrics

    def get_image_metrics_and_images(self, outputs, batch) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR, SSIM and, where its weights are at hand, LPIPS of the sharp render.

        It is judged against the all-in-focus photograph if the capture has one of this view, else against the
        photograph as it is.
        """
        target = batch.get("sharp_image", batch["image"])
        truth = self.composite_with_background(self.get_gt_img(target), outputs["background"])
        picture = outputs["rgb"]
        images = {"img": torch.cat([truth, picture], dim=1)}
        truth, picture = (image.permute(2, 0, 1)[None] for image in (truth, picture))
        metrics = {"psnr": float(self.psnr(picture, truth)), "ssim": float(self.ssim(picture, truth))}
        if self.lpips is not None:
            metrics["lpips"] = float(self.lpips(picture, truth))
        return metrics, images
