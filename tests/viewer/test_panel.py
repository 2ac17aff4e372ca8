"""The panel without a browser: what its elements do to the model; a viewer beside a training changes nothing of it."""

import math
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.viewer.utils import CameraState, get_camera, parse_object
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement

from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.viewer.panel import PHOTOGRAPHED, SHARP, VIRTUAL, MacroLensPanel, depth_around
from tests.captures import write_capture
from tests.model.trainers import begin, build_trainer, do_step, training_view


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory):
    capture = write_capture(tmp_path_factory.mktemp("ball"), views=5)
    trainer = build_trainer(capture, tmp_path_factory.mktemp("outputs"), mode="image")
    begin(trainer)
    return trainer


def panel_of(trainer) -> MacroLensPanel:
    panel = getattr(trainer.pipeline, MacroLensPanel.title)
    assert isinstance(panel, MacroLensPanel)
    return panel


def by_hand(element, value) -> None:
    element.value = value
    element.cb_hook(element)


def test_viewer_finds_the_elements_in_their_order(trainer) -> None:
    found = parse_object(trainer.pipeline, ViewerElement, "Custom Elements")
    ours = [element.name for path, element in found if f"/{MacroLensPanel.title}/" in path]
    assert ours == [
        "Show",
        "Aperture, stops",
        "Focus, mm",
        "Focus here (then click)",
        "Training view",
        "Take its lens",
        "Go there",
        "Focus peaking",
        "Lens",
        "Sharp from",
    ]
    assert len(parse_object(trainer.pipeline, ViewerControl, "Custom Elements")) == 1


def test_panel_is_no_part_of_checkpoints(trainer) -> None:
    assert not any(MacroLensPanel.title in name for name in trainer.pipeline.state_dict())


def test_modes_and_sliders_choose_the_lens(trainer) -> None:
    model, panel = trainer.pipeline.model, panel_of(trainer)
    assert model.virtual_lens is None
    by_hand(panel._mode, VIRTUAL)  # begins with the lens that is there: the first view's
    start, first = model.virtual_lens, model.lens_of_view(0)
    assert start.focus_distance == pytest.approx(first.focus_distance)
    assert start.aperture_radius == pytest.approx(first.aperture_radius)
    by_hand(panel._aperture, 2.0)  # stops from f/1: f/2
    by_hand(panel._focus, 115.0)
    scale = model.kwargs["metadata"]["dataparser_scale"]
    assert model.virtual_lens.focus_distance == pytest.approx(115.0 * scale)
    assert model.virtual_lens.aperture_radius == pytest.approx(50.0 / 2.0 / 2.0 * scale)
    # 2 px wide at |1/115 - 1/z| = 2 / (2 * 12.5 mm * 155.52 px).
    assert panel._says.value == "f/2, focus 115 mm"
    assert panel._sharp_zone.value == "109 to 122 mm"
    for mode in (SHARP, PHOTOGRAPHED):
        by_hand(panel._mode, mode)
        assert model.virtual_lens is None
        assert panel._says.value == panel._sharp_zone.value == ""
    by_hand(panel._focus, 116.0)  # moving a slider is asking for the virtual lens
    assert panel._mode.value == VIRTUAL
    assert model.virtual_lens.focus_distance == pytest.approx(116.0 * scale)


def test_late_callback_of_the_panels_own_change_changes_no_mode(trainer) -> None:
    panel = panel_of(trainer)
    panel._set_lens(trainer.pipeline.model.lens_of_view(1))
    by_hand(panel._mode, SHARP)
    panel._focus.cb_hook(panel._focus)
    assert panel._mode.value == SHARP


def test_a_views_lens_is_taken(trainer) -> None:
    model, panel = trainer.pipeline.model, panel_of(trainer)
    by_hand(panel._view, 2)
    panel._take.cb_hook(panel._take)
    lens, scale = model.lens_of_view(2), model.kwargs["metadata"]["dataparser_scale"]
    assert model.virtual_lens.focus_distance == pytest.approx(lens.focus_distance)
    assert model.virtual_lens.aperture_radius == pytest.approx(lens.aperture_radius)
    # The sliders show it rounded to their steps; moving one of them leaves the other value exact.
    assert (panel._aperture.value, panel._focus.value) == (4.0, round(lens.focus_distance / scale, 1))
    by_hand(panel._aperture, 3.0)
    assert model.virtual_lens.focus_distance == lens.focus_distance


def test_a_lens_beyond_the_sliders_goes_to_their_ends(trainer) -> None:
    panel = panel_of(trainer)
    panel._set_lens(VirtualLens(math.inf, 0.0))
    assert panel._focus.value == panel._focus.max
    assert panel._aperture.value == panel._aperture.max  # the smallest opening


def test_without_units_the_aperture_is_relative(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "ball", views=3, scene_unit=None, optics=False)
    trainer = build_trainer(capture, tmp_path / "out", mode="image")
    model, panel = begin(trainer), panel_of(trainer)
    assert panel._aperture.name == "Blur strength"
    assert panel._focus.name == "Focus, units"
    by_hand(panel._mode, VIRTUAL)
    before = model.virtual_lens.aperture_radius
    by_hand(panel._aperture, 2.0)
    assert model.virtual_lens.aperture_radius == pytest.approx(2.0 * float(model.lens.aperture_radius().median()))
    assert model.virtual_lens.aperture_radius > before


def test_difference_uses_the_views_own_lens_whatever_is_shown(trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    model, panel = trainer.pipeline.model, panel_of(trainer)
    monkeypatch.setattr(panel.control, "viewer", SimpleNamespace(pipeline=trainer.pipeline), raising=False)
    model.eval()

    def difference(view: int) -> torch.Tensor:
        camera, _ = training_view(trainer, 1)
        camera.metadata = {"cam_idx": view}  # as the viewer's
        with torch.no_grad():
            return model.get_outputs_for_camera(camera)["difference"]

    try:
        model.virtual_lens = None
        own, elsewhere = difference(1), difference(2)
        lens = model.lens_of_view(1)
        model.virtual_lens = VirtualLens(lens.focus_distance, 10 * lens.aperture_radius)
        torch.testing.assert_close(difference(1), own)
    finally:
        model.virtual_lens = None
        model.train()
    assert float(own.mean()) > 0.01
    assert float(elsewhere.max()) == 0.0


def test_depth_under_a_click_is_the_median_of_what_is_hit() -> None:
    depth, alpha = torch.full((40, 60, 1), 5.0), torch.zeros(40, 60, 1)
    depth[10:13, 30:33], alpha[10:13, 30:33] = 2.0, 1.0
    assert depth_around(depth, alpha, 31 / 60, 11 / 40) == 2.0
    assert depth_around(depth, alpha, 0.99, 0.99) is None
    assert depth_around(depth, torch.ones(40, 60, 1), 1.0, 1.0) == 5.0


@pytest.mark.slow
def test_training_is_the_same_with_a_viewer_that_always_renders(tmp_path: Path) -> None:
    """Bit by bit: rendering holds the training's lock, and what is made late stands on tensors of its own."""
    capture = write_capture(tmp_path / "ball", views=4)

    def train(name: str, watched: bool) -> tuple[list[float], int]:
        trainer = build_trainer(capture, tmp_path / name, mode="image")
        model, rendered, done, failed = trainer.pipeline.model, 0, threading.Event(), []
        camera, _ = training_view(trainer, 1)
        trainer.pipeline.datamanager.train_unseen_cameras = [0, 1, 2, 3] * 20
        state = CameraState(0.2, 4 / 3, camera.camera_to_worlds[0], camera.camera_type, idx=1)

        def view() -> None:
            nonlocal rendered
            while not done.is_set():
                try:
                    with trainer.train_lock, torch.no_grad():  # as nerfstudio's viewer does it
                        training = model.training
                        model.eval()
                        try:
                            outputs = model.get_outputs_for_camera(get_camera(state, 24, 32))
                        finally:
                            model.train(training)
                    assert all(bool(outputs[key].isfinite().all()) for key in outputs)
                    rendered += 1
                except Exception as error:
                    failed.append(error)
                    return

        viewer = threading.Thread(target=view, daemon=True)
        if watched:
            viewer.start()
        losses = []
        for step in range(40):
            before = rendered
            with trainer.train_lock:
                losses.append(do_step(trainer, step))
            while watched and rendered == before and not failed:
                done.wait(0.001)
        done.set()
        if watched:
            viewer.join(30)
        assert failed == []
        return losses, rendered

    alone, _ = train("alone", watched=False)
    beside, rendered = train("beside", watched=True)
    assert rendered >= 40
    assert beside == alone
