"""What a sharp render is turned into: lazily, by the right lens, and never in the way of `rgb`."""

import gc
import math
import weakref
from pathlib import Path

import pytest
import torch

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.virtual_lens import VirtualLens
from macro_splat.errors import MacroSplatError
from macro_splat.model.outputs import LazyOutputs, sharp_outputs
from tests.captures import write_capture
from tests.model.trainers import begin, build_trainer, make_crisp, render_as_trained, render_sharp, training_view

NAMES = ["rgb", "depth", "accumulation", "background", "coc", "coc_px", "clarity", "focus_peaking", "rgb_blurred"]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory):
    capture = write_capture(tmp_path_factory.mktemp("ball"), views=5, width=64, height=48, f_number=1.4)
    trainer = build_trainer(capture, tmp_path_factory.mktemp("outputs"), mode="image")
    make_crisp(begin(trainer))
    return trainer


@pytest.fixture
def model(trainer):
    model = trainer.pipeline.model
    yield model
    model.virtual_lens = None
    model.train()


def viewers_camera(camera, view: int):
    """As nerfstudio's viewer makes it: `cam_idx` is what was clicked last, wherever the camera has gone since."""
    moved = camera[0:1]
    moved.metadata = {"cam_idx": view}
    return moved


# -- the lazy mapping ----------------------------------------------------------------------------------------------


def test_an_output_is_made_once_and_only_when_read() -> None:
    calls = []
    outputs = LazyOutputs(rgb=1)
    outputs.add("late", lambda _: calls.append(1) or torch.ones(1))
    assert list(outputs) == ["rgb", "late"]
    assert len(outputs) == 2
    assert "late" in outputs
    assert set(outputs.keys()) == {"rgb", "late"}
    assert calls == []
    assert float(outputs["late"]) == float(outputs["late"]) == 1.0
    assert calls == [1]


def test_what_is_set_later_stands_before_what_is_promised() -> None:
    outputs = LazyOutputs(rgb=1)
    outputs.add("late", lambda _: torch.ones(1))
    outputs["depth of the viewer's own"] = 2
    assert list(outputs) == ["rgb", "depth of the viewer's own", "late"]
    del outputs["late"]
    assert list(outputs) == ["rgb", "depth of the viewer's own"]


def test_pictures_go_as_soon_as_nobody_has_them(trainer, model) -> None:
    """No circle of references waits for Python's collector: a viewer makes many pictures between two of its rounds."""
    camera, _ = training_view(trainer, 1)
    gc.collect()
    gc.disable()
    try:
        outputs = render_sharp(model, camera)
        outputs["focus_peaking"]
        gone = weakref.ref(outputs)
        del outputs
        assert gone() is None
    finally:
        gc.enable()


def test_an_interrupted_output_is_made_again() -> None:
    attempts = []

    def make(_: LazyOutputs) -> torch.Tensor:
        attempts.append(1)
        if len(attempts) == 1:
            raise KeyboardInterrupt
        return torch.zeros(1)

    outputs = LazyOutputs()
    outputs.add("late", make)
    with pytest.raises(KeyboardInterrupt):
        outputs["late"]
    assert float(outputs["late"]) == 0.0


def test_outputs_can_be_set_and_deleted_like_a_dictionary() -> None:
    outputs = LazyOutputs(a=1)
    outputs.add("b", lambda _: torch.ones(1))
    outputs["b"] = 2
    outputs["c"] = 3
    del outputs["a"]
    assert {**outputs} == {"b": 2, "c": 3}
    assert outputs.get("a") is None
    with pytest.raises(KeyError):
        outputs["a"]


def test_depth_beside_the_object_is_the_farthest() -> None:
    alpha = torch.tensor([[[1.0], [0.0]]])
    outputs = sharp_outputs(torch.full((1, 2, 3), 2.0), torch.tensor([[[3.0], [0.0]]]), alpha, torch.zeros(3))
    assert outputs["depth"].flatten().tolist() == [3.0, 3.0]
    assert float(outputs["rgb"].max()) == 1.0


# -- of the model --------------------------------------------------------------------------------------------------


def test_names_and_shapes(trainer, model) -> None:
    camera, _ = training_view(trainer, 1)
    outputs = render_sharp(model, camera)
    assert list(outputs) == NAMES
    for name in NAMES:
        value = outputs[name]
        assert value.shape[:2] == (48, 64)
        assert value.isfinite().all()
        if name not in ("depth", "coc_px"):
            assert 0 <= float(value.min()) <= float(value.max()) <= 1


def test_blurred_is_the_picture_that_training_compares_with_the_photograph(trainer, model) -> None:
    camera, _ = training_view(trainer, 2)
    trained = render_as_trained(model, camera)["rgb"].detach()
    seen = render_sharp(model, camera)
    torch.testing.assert_close(seen["rgb_blurred"], trained, atol=1e-5, rtol=0)
    assert float((seen["rgb"] - trained).abs().max()) > 0.05


def test_circle_follows_the_law(trainer, model) -> None:
    camera, _ = training_view(trainer, 0)
    outputs, lens = render_sharp(model, camera), model.lens_of_view(0)
    solid = outputs["accumulation"] > 0.5
    depth, circle = outputs["depth"][solid], outputs["coc_px"][solid]
    expected = 2 * lens.aperture_radius * camera.fx * (1 / lens.focus_distance - 1 / depth)
    torch.testing.assert_close(circle, expected.flatten(), atol=1e-3, rtol=1e-3)
    assert float(circle.min()) < 0 < float(circle.max())


def test_clarity_is_that_of_the_training(trainer, model, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, _ = training_view(trainer, 0)
    outputs = render_sharp(model, camera)
    depth = torch.where(outputs["accumulation"] > 0, outputs["depth"], 0.0)
    monkeypatch.setattr(model.blur_model.config, "blurred_weight", 0.5)  # at 1 the loss does not ask for it
    expected = model.blur_model.clarity(0, depth, camera.fx[0, 0]) * outputs["accumulation"]
    torch.testing.assert_close(outputs["clarity"], expected, atol=1e-4, rtol=0)
    assert float(outputs["clarity"][outputs["accumulation"] > 0.5].min()) < 0.9
    empty = outputs["accumulation"] == 0
    assert empty.any()
    assert float(outputs["clarity"][empty].max()) == 0.0


def test_virtual_lens_takes_the_place_of_the_views(trainer, model) -> None:
    camera, _ = training_view(trainer, 0)
    own = render_sharp(model, camera)
    model.virtual_lens = VirtualLens(model.lens_of_view(0).focus_distance, 0.0)
    pinhole = render_sharp(model, camera)
    torch.testing.assert_close(pinhole["rgb_blurred"], pinhole["rgb"], atol=1e-4, rtol=0)
    assert torch.equal(pinhole["rgb"], own["rgb"])
    model.virtual_lens = lens = VirtualLens(0.9 * model.lens_of_view(0).focus_distance, 0.03)
    outputs = render_sharp(model, camera)
    depth = torch.where(outputs["accumulation"] > 0, outputs["depth"], 0.0)
    circle = lens.coc_radius(depth, camera.fx[0, 0])
    expected = defocus_picture(outputs["rgb"], circle, outputs["accumulation"]).clamp(0, 1)
    torch.testing.assert_close(outputs["rgb_blurred"], expected, atol=1e-4, rtol=0)


def test_lens_of_a_held_out_view_is_a_typical_one_whatever_its_index(trainer, model) -> None:
    camera, _ = trainer.pipeline.datamanager.eval_view(1)
    camera.metadata["cam_idx"] = 1  # an index of its own split, as some of nerfstudio's commands set it
    assert model.lens_seen_through(camera) == model.typical_lens(camera)


def test_viewers_camera_is_a_view_only_where_that_was_taken(trainer, model) -> None:
    camera, _ = training_view(trainer, 3)
    there = viewers_camera(camera, 3)
    assert model.lens_seen_through(there) == model.lens_of_view(3)
    assert model.training_views.index_of(viewers_camera(camera, 99)) is None
    elsewhere = viewers_camera(training_view(trainer, 1)[0], 3)
    assert model.training_views.index_of(elsewhere) is None


def test_typical_lens_focuses_on_the_same_place_from_farther_away(trainer, model) -> None:
    camera, _ = training_view(trainer, 0)
    focuses = []
    for times in (1.0, 2.0):
        moved = viewers_camera(camera, 99)
        centre = model.training_views.centre
        pose = camera.camera_to_worlds.clone()
        pose[0, :3, 3] = centre + times * (pose[0, :3, 3] - centre)
        moved.camera_to_worlds = pose
        focuses.append(model.typical_lens(moved).focus_distance)
    assert focuses[1] == pytest.approx(2 * focuses[0], rel=1e-4)
    given = [model.lens_of_view(view).focus_distance for view in range(5)]
    assert min(given) <= focuses[0] <= max(given)


def test_focus_at_infinity_stays_there(trainer, model) -> None:
    camera, _ = training_view(trainer, 0)
    lens = model.lens
    before = lens.focus_offset_px.detach().clone()
    with torch.no_grad():
        for view in range(lens.num_views):
            lens.set_inverse_focus_distance(view, -0.1)
    try:
        assert model.typical_lens(camera).focus_distance == math.inf
        assert model.lens_of_view(0).focus_distance == math.inf
        assert render_sharp(model, camera)["rgb_blurred"].isfinite().all()
    finally:
        lens.focus_offset_px.data.copy_(before)


def test_views_that_are_none_are_refused(model) -> None:
    for view in (-1, 5):
        with pytest.raises(MacroSplatError, match=f"view {view}: .* 0 to 4"):
            model.lens_of_view(view)


def test_without_a_lens_there_is_only_the_sharp_picture_unless_one_is_given(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    trainer = build_trainer(write_capture(tmp_path / "ball", views=3), tmp_path / "out", mode="off")
    model = begin(trainer)
    camera, _ = training_view(trainer, 0)
    assert list(render_sharp(model, camera)) == NAMES[:4]
    with pytest.raises(MacroSplatError, match="mode off"):
        model.lens_of_view(0)
    with pytest.raises(MacroSplatError, match="mode off"):
        model.typical_lens(camera)
    model.virtual_lens = VirtualLens(1.0, 0.05)
    assert list(render_sharp(model, camera)) == NAMES


def test_training_makes_none_of_it(trainer, model) -> None:
    camera, _ = training_view(trainer, 0)
    outputs = render_as_trained(model, camera)
    assert type(outputs) is dict
    assert not {"coc", "coc_px", "focus_peaking", "rgb_blurred"} & set(outputs)
