"""The panel "Macro lens" of nerfstudio's viewer: look at the model through any lens."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import viser.transforms as vtf
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.utils import get_camera
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import (
    ViewerButton,
    ViewerCheckbox,
    ViewerClick,
    ViewerControl,
    ViewerDropdown,
    ViewerElement,
    ViewerSlider,
    ViewerText,
)
from numpy.typing import NDArray
from torch import Tensor, nn

from macro_splat.defocus.blur_models import LensBlurModel
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.model.macro_splat_model import MacroSplatModel
from macro_splat.model.outputs import LazyOutputs
from macro_splat.ops.color_maps import difference_colors
from macro_splat.viewer.lens_units import LensUnits, focus_range, on_steps, slider_range
from macro_splat.viewer.photograph import photograph_seen_by

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer
    from viser import ViserServer

SHARP, PHOTOGRAPHED, VIRTUAL = "sharp", "as photographed", "virtual lens"
LEAST_STOPS, MOST_STOPS = -1.0, 10.0
"""Of the aperture's slider: f/0.7 and f/32."""
MARKED_F_NUMBERS = (1, 2, 4, 8, 16, 32)
CLICK_HEIGHT = 240
"""Rows of the picture in which a click is looked up."""
CLICK_REACH = 2
"""Pixels around a click within which something must be hit: the median of their depths counts."""


class StopsSlider(ViewerSlider[float]):
    """An aperture on the photographers' logarithmic scale, with f-numbers below its track.

    Args:
        name: of the slider. f_number: to begin with.
    """

    def __init__(self, name: str, f_number: float) -> None:
        step = 0.1
        stops = on_steps(2.0 * math.log2(f_number), LEAST_STOPS, MOST_STOPS, step)
        super().__init__(name, stops, LEAST_STOPS, MOST_STOPS, step)
        self.hint = "From f/1, each halves the light: 2 are f/2, 4 are f/4, 6 are f/8."

    def _create_gui_handle(self, viser_server: ViserServer) -> None:
        marks = tuple((2.0 * math.log2(number), str(number)) for number in MARKED_F_NUMBERS)
        self.gui_handle = viser_server.gui.add_slider(
            self.name, self.min, self.max, self.step, self.default_value, marks=marks, hint=self.hint
        )


class MacroLensPanel(nn.Module):
    """Elements and what they do. A module without parameters, for nerfstudio looks for elements in modules.

    The elements' attributes are numbered: nerfstudio sorts by name. It calls what they do with the training's lock
    held, and draws anew afterwards. Outputs follow `model.virtual_lens`, which is all that is changed in the model.
    """

    title = "Macro lens"

    def __init__(self, model: MacroSplatModel, photographs: Callable[[], Sequence[NDArray]]) -> None:
        """Build the elements.

        Args:
            model: with a lens.
            photographs: of the training views [H, W, 3 or 4] each, uint8 or float in 0..1.
        """
        super().__init__()
        self._reference = weakref.ref(model)  # a plain attribute would make it a part of this module
        self._photographs = photographs
        views, metadata = self._model.training_views, self._model.kwargs["metadata"]
        self._units = LensUnits.of(metadata)
        depths = focus_range(metadata, views.poses, views.centre_depth(views.poses))
        near, far, step = slider_range(*(depth * self._units.length for depth in depths))
        self._virtual: VirtualLens | None = None
        """The virtual lens, once there is one. The sliders show it as near as their steps and ends allow."""
        self._click_awaited = False
        unit, count = self._units.name, len(views.poses)

        self._mode = ViewerDropdown(
            "Show",
            SHARP,
            [SHARP, PHOTOGRAPHED, VIRTUAL],
            cb_hook=lambda _: self._mode_chosen(),
            hint="sharp: all in focus. as photographed: the lens of the training view, or a typical one elsewhere.",
        )
        if self._units.knows_f_numbers:
            self._aperture: ViewerSlider[float] = StopsSlider("Aperture, stops", self._units.typical_f_number)
        else:
            self._aperture = ViewerSlider("Blur strength", 1.0, 0.0, 4.0, 0.05)
            self._aperture.hint = "Pupil of the virtual lens over that of the photographs."
        self._aperture.cb_hook = lambda _: self._slider_moved()
        self._focus: ViewerSlider[float] = ViewerSlider(
            f"Focus, {unit}",
            on_steps(0.5 * (near + far), near, far, step),
            near,
            far,
            step,
            cb_hook=lambda _: self._slider_moved(),
        )
        self._here = ViewerButton("Focus here (then click)", lambda _: self._await_click())
        self._view = ViewerSlider("Training view", 0, 0, max(count - 1, 1), 1, cb_hook=lambda _: None)
        self._take = ViewerButton("Take its lens", lambda _: self._take_lens())
        self._go = ViewerButton("Go there", lambda _: self._go_to_view())
        self._peaking = ViewerCheckbox(
            "Focus peaking", False, cb_hook=lambda _: self._choose_output(), hint="Marks edges in focus red."
        )
        self._says = ViewerText("Lens", "", disabled=True)
        self._sharp_zone = ViewerText(
            "Sharp from", "", disabled=True, hint="Depths at which a point is at most 2 pixels of a photograph wide."
        )
        rows = (
            self._mode, self._aperture, self._focus, self._here, self._view, self._take, self._go, self._peaking,
            self._says, self._sharp_zone,
        )  # fmt: skip
        for number, element in enumerate(rows):
            setattr(self, f"row_{number}", element)
        self.control = ViewerControl()
        self._know()

    @property
    def _model(self) -> MacroSplatModel:
        model = self._reference()
        assert model is not None
        return model

    @property
    def _viewer(self) -> Viewer | None:
        """The viewer that shows the panel, if one does."""
        return getattr(self.control, "viewer", None)

    # -- what the elements do --------------------------------------------------------------------------------------

    def _mode_chosen(self) -> None:
        if self._mode.value == VIRTUAL and self._virtual is None:
            self._set_lens(self._lens_here())
        self._update()

    def _slider_moved(self) -> None:
        aperture, focus = self._aperture.value, self._focus.value
        if (aperture, focus) == self._known:  # not by hand
            return
        moved_aperture, moved_focus = aperture != self._known[0], focus != self._known[1]
        lens = self._virtual
        if lens is None:  # the other slider stands anywhere
            lens = self._lens_here()
            self._put_sliders(lens, aperture=not moved_aperture, focus=not moved_focus)
        if moved_aperture:
            lens = replace(lens, aperture_radius=self._aperture_radius(aperture))
        if moved_focus:
            lens = replace(lens, focus_distance=focus / self._units.length)
        self._virtual = lens
        self._know()
        _set(self._mode, VIRTUAL)
        self._update()

    def _take_lens(self) -> None:
        self._set_lens(self._model.lens_of_view(self._chosen_view()))
        _set(self._mode, VIRTUAL)
        self._update()

    def _go_to_view(self) -> None:
        viewer, view = self._viewer, self._chosen_view()
        if viewer is None:
            return
        camera = self._training_camera(view)
        pose = camera.camera_to_worlds[0].detach().cpu().numpy()
        # nerfstudio's cameras look along -z, viser's along z.
        turn = vtf.SO3.from_matrix(pose[:3, :3].astype(np.float64)) @ vtf.SO3.from_x_radians(np.pi)
        viewer.current_camera_idx = view
        if viewer.hide_images.visible:  # as that button does: the view's own photograph would cover the render
            viewer.set_camera_visibility(False)
            viewer.toggle_cameravis_button()
        for client in viewer.viser_server.get_clients().values():
            with client.atomic():
                client.camera.wxyz = turn.wxyz
                client.camera.position = pose[:3, 3] * VISER_NERFSTUDIO_SCALE_RATIO
                client.camera.fov = float(2 * torch.atan(camera.height / 2 / camera.fy))

    def _await_click(self) -> None:
        if self._viewer is None:
            return
        self._click_awaited = True
        self.control.register_pointer_cb("click", self._focus_at)
        self._tell("click into the picture")

    def _focus_at(self, click: ViewerClick) -> None:
        """On a click, outside the training's lock."""
        viewer = self._viewer
        if viewer is None or not self._click_awaited:
            return
        self._click_awaited = False
        self.control.unregister_pointer_cb()
        depth = self._depth_at(viewer, click)
        if depth is None:
            self._tell("nothing there to focus on")
            return
        with _lock(viewer):
            self._set_lens(replace(self._virtual or self._lens_here(), focus_distance=depth))
            _set(self._mode, VIRTUAL)
            self._update()

    def _depth_at(self, viewer: Viewer, click: ViewerClick) -> float | None:
        """Depth along the axis of the camera that was clicked in, model units; None where nothing is."""
        clients = viewer.viser_server.get_clients().values()
        origin = np.asarray(click.origin) * VISER_NERFSTUDIO_SCALE_RATIO
        client = min(clients, key=lambda c: float(np.linalg.norm(c.camera.position - origin)), default=None)
        if client is None:
            return None
        camera = get_camera(viewer.get_camera_state(client), CLICK_HEIGHT, int(CLICK_HEIGHT * client.camera.aspect))
        panel, model = viewer.control_panel, self._model
        with _lock(viewer), torch.no_grad():
            training = model.training
            model.eval()
            try:
                box = panel.crop_obb if panel.crop_viewport else None
                outputs = model.get_outputs_for_camera(camera, obb_box=box)
            finally:
                model.train(training)
        return depth_around(outputs["depth"], outputs["accumulation"], *click.screen_pos)

    # -- what follows ----------------------------------------------------------------------------------------------

    def _set_lens(self, lens: VirtualLens) -> None:
        """Look through this lens, exactly, and put the sliders as near to it as they go."""
        self._virtual = lens
        self._put_sliders(lens)
        self._know()

    def _put_sliders(self, lens: VirtualLens, *, aperture: bool = True, focus: bool = True) -> None:
        if aperture:
            _slide(self._aperture, self._aperture_shown(lens.aperture_radius))
        if focus:
            _slide(self._focus, lens.focus_distance * self._units.length)

    def _know(self) -> None:
        """Remember where the sliders were put: their callbacks come late, and by whom they were moved is not told."""
        self._known = (self._aperture.value, self._focus.value)

    def _aperture_shown(self, radius: float) -> float:
        """What the slider says of a pupil in model units."""
        if self._units.knows_f_numbers:
            return self._units.stops(radius)
        typical = self._typical_aperture()
        return radius / typical if typical > 0 else 0.0

    def _aperture_radius(self, shown: float) -> float:
        """The pupil, in model units, at which the slider says so."""
        if self._units.knows_f_numbers:
            return self._units.aperture_radius(2.0 ** (0.5 * shown))
        return shown * self._typical_aperture()

    def _typical_aperture(self) -> float:
        lens = self._model.lens
        assert lens is not None
        return float(lens.aperture_radius().detach().median())

    def _lens_here(self) -> VirtualLens:
        """The lens that is looked through now."""
        viewer = self._viewer
        camera = None if viewer is None else self.control.get_camera(CLICK_HEIGHT, CLICK_HEIGHT)
        if viewer is None or camera is None:
            return self._model.lens_of_view(0)
        camera.metadata = {"cam_idx": viewer.current_camera_idx}
        lens = self._model.lens_seen_through(camera)
        assert lens is not None
        return lens

    def _chosen_view(self) -> int:
        """The training view that the slider names; a slider has two ends even where there is but one view."""
        return min(int(self._view.value), len(self._model.training_views.poses) - 1)

    def _update(self) -> None:
        model = self._model
        model.virtual_lens = lens = self._virtual if self._mode.value == VIRTUAL else None
        focal_px = float(model.kwargs["metadata"]["cameras"].fx.median())
        self._tell("" if lens is None else self._units.describe(lens))
        _set(self._sharp_zone, "" if lens is None else self._units.sharp_zone(lens, focal_px))
        self._choose_output()

    def _choose_output(self) -> None:
        """Have the viewer show what the mode is about, unless another map, as `coc`, or the split view is shown."""
        viewer = self._viewer
        if viewer is None:
            return
        panel = viewer.control_panel
        seen = "focus_peaking" if self._peaking.value else "rgb_blurred"
        left, right = panel._output_render, panel._split_output_render
        pictures = ("rgb", "rgb_blurred", "focus_peaking")
        if panel.split:
            if panel.split_output_render in pictures:
                _set(right, seen)
        elif panel.output_render in pictures:
            _set(left, seen if self._mode.value != SHARP or self._peaking.value else "rgb")

    def _tell(self, text: str) -> None:
        _set(self._says, text)

    # -- outputs ---------------------------------------------------------------------------------------------------

    def add_photograph(self, outputs: LazyOutputs, camera: Cameras) -> None:
        """In the viewer, promise the photograph of the training view that was clicked last, and what it lacks.

        `photo`: [H, W, 3] as this camera would see it; `difference`: [H, W, 3] in colours, from the render as the
        view's own lens sees it, whatever lens is looked through. Both are empty once the camera has left the place of
        the view.
        """
        viewer, metadata = self._viewer, camera.metadata or {}
        if viewer is None or "train_idx" in metadata or "cam_idx" not in metadata:
            return
        view, focal_px = self._model.training_views.index_of(camera), camera.fx[0, 0].to(self._model.device)

        def photograph(others: LazyOutputs) -> tuple[Tensor, Tensor]:
            if view is None:
                empty = torch.zeros_like(others["rgb"])
                return empty, empty[..., :1].bool()
            image = torch.from_numpy(self._photographs()[view])[..., :3]
            image = (image.float() / 255.0 if image.dtype == torch.uint8 else image).to(others["rgb"])
            return photograph_seen_by(camera, image, self._training_camera(view))

        def difference(others: LazyOutputs) -> Tensor:
            picture, inside = photograph(others)
            if view is None or others.blurred_by is None:
                return torch.zeros_like(picture)
            depth = torch.where(others["accumulation"] > 0, others["depth"], 0.0)
            seen = others.blurred_by(self._own_circle(view, depth, focal_px))
            return difference_colors(torch.where(inside, picture, seen), seen)

        outputs.add("photo", lambda others: photograph(others)[0])
        outputs.add("difference", difference)

    def _own_circle(self, view: int, depth: Tensor, focal_px: Tensor) -> Tensor:
        """Return the signed radius [H, W, 1] in pixels by a view's own lens, with what the blur model adds to that."""
        blur_model = self._model.blur_model
        assert isinstance(blur_model, LensBlurModel)  # only with a lens there is a panel
        return blur_model.coc_radius(view, depth, focal_px)

    @torch.no_grad()
    def _training_camera(self, view: int) -> Cameras:
        """With its refined pose."""
        model = self._model
        camera = model.kwargs["metadata"]["cameras"][view : view + 1].to(model.device)
        camera.metadata = {"cam_idx": view}
        camera.camera_to_worlds = model.camera_optimizer.apply_to_camera(camera)
        return camera


def depth_around(depth: Tensor, alpha: Tensor, x: float, y: float) -> float | None:
    """Median depth of what is seen around a place of the picture; None if nothing is.

    Args:
        depth, alpha: [H, W, 1] of a render.
        x, y: place in 0..1 of its width and height.
    """
    height, width = depth.shape[:2]
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    around = tuple(slice(max(0, i - CLICK_REACH), i + CLICK_REACH + 1) for i in (row, column))
    seen = depth[around][alpha[around] > 0.5]
    return float(seen.median()) if len(seen) else None


def _lock(viewer: Viewer) -> AbstractContextManager[Any]:
    """The training's, which viewers without a training have too."""
    return nullcontext() if viewer.train_lock is None else viewer.train_lock


def _set(element: ViewerElement[Any], value: Any) -> None:
    """Change what an element shows, if that is another value: every change draws anew."""
    if element.value != value:  # type: ignore[attr-defined]
        element.value = value  # type: ignore[attr-defined]


def _slide(slider: ViewerSlider[float], value: float) -> None:
    """Put a slider on its step that is nearest to a value."""
    _set(slider, on_steps(value, slider.min, slider.max, slider.step))
