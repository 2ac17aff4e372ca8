"""Runs are found, checked and loaded, and everything wrong with one is told in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.utils.eval_utils import eval_setup

from macro_splat.errors import MacroSplatError
from macro_splat.runs.load import Run, find_run, load_run
from macro_splat.training.config_file import read_config
from tests.conftest import POD, TRAINED_ITERATIONS


@pytest.fixture(scope="module")
def loaded(trained_run: Path) -> Run:
    return load_run(trained_run)


@pytest.fixture
def copy(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def checkpoint_of(run: Path) -> Path:
    (checkpoint,) = (run / "nerfstudio_models").glob("*.ckpt")
    return checkpoint


def test_the_loaded_model_is_the_trained_one(loaded: Run, trained_run: Path) -> None:
    state = torch.load(checkpoint_of(trained_run), map_location="cpu", weights_only=True)["pipeline"]
    assert loaded.folder == trained_run
    assert loaded.step == TRAINED_ITERATIONS - 1
    assert loaded.names == [f"images/{i:03d}.jpg" for i in range(24)]
    assert loaded.metadata["mm_per_unit"] == 1.0
    assert not loaded.model.training
    assert torch.equal(loaded.model.means, state["_model.gauss_params.means"])
    lens = loaded.model.lens
    assert lens is not None
    assert torch.equal(lens.focus_offset_px, state["_model.blur_model.lens.focus_offset_px"])


def test_it_renders_what_nerfstudio_renders(loaded: Run, trained_run: Path) -> None:
    _, pipeline, _, _ = eval_setup(trained_run / "config.yml")
    camera, _ = loaded.datamanager.eval_view(2)
    with torch.no_grad():
        ours = loaded.model.get_outputs_for_camera(camera)["rgb"]
        theirs = pipeline.model.get_outputs_for_camera(camera)["rgb"]
    assert ours.std() > 0.05
    np.testing.assert_allclose(ours.cpu().numpy(), theirs.cpu().numpy(), atol=1e-6)


def test_loading_writes_nothing(trained_run: Path, copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(copy.rglob("*"))}
    load_run(copy)
    assert {path: path.stat().st_mtime_ns for path in sorted(copy.rglob("*"))} == before


def test_views_are_checked(loaded: Run) -> None:
    assert int(loaded.camera(5).metadata["cam_idx"]) == 5
    with pytest.raises(MacroSplatError, match="view 24: there is none; the training views are 0 to 23"):
        loaded.camera(24)


def test_a_run_is_found_from_anywhere_near_it(trained_run: Path, tmp_path: Path) -> None:
    config = trained_run / "config.yml"
    assert find_run(config) == find_run(trained_run) == find_run(trained_run.parents[2]) == config
    for time, name in enumerate(("b", "a")):
        folder = tmp_path / "experiment" / "macro-splat" / name
        folder.mkdir(parents=True)
        (folder / "config.yml").write_text("")
        os.utime(folder / "config.yml", (time, time))
    assert find_run(tmp_path).parent.name == "a"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("nowhere", "does not exist"), ("empty", "there is no run in it"), ("picture.png", "is no config.yml")],
)
def test_no_run(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(MacroSplatError, match=complaint):
        load_run(tmp_path / name)


def test_other_methods(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("!!python/object:some.plugin.NerfConfig\nmethod_name: splatfacto\n")
    with pytest.raises(MacroSplatError, match="belongs to the method splatfacto"):
        load_run(tmp_path)
    path.write_text("just: text\n")
    with pytest.raises(MacroSplatError, match="is no config of a training"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "hostile",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "!!python/object/apply:subprocess.check_output [[touch, '{marker}']]",
        "!!python/object/new:os.system ['touch {marker}']",
        '!!python/object/apply:builtins.exec [\'open("{marker}", "w")\']',
        "!!python/name:os.system ''",
        "!!python/module:antigravity ''",
        "!!python/object:pathlib.PosixPath {{}}",
        "!!python/object/apply:nerfstudio.utils.scripts.run_command ['touch {marker}']",
        "!!python/object:nerfstudio.cameras.cameras.Cameras {{}}",
        "!!python/name:nerfstudio.utils.scripts.run_command ''",
        "!!python/object:nerfstudio.configs.base_config.InstantiateConfig\n  _target: !!python/name:"
        "nerfstudio.viewer.viewer.Viewer ''",
    ],
)
def test_a_hostile_config_constructs_nothing(tmp_path: Path, hostile: str) -> None:
    marker = tmp_path / "marker"
    text = "!!python/object:macro_splat.training.trainer.MacroSplatTrainerConfig\nmethod_name: macro-splat\ndata: "
    (tmp_path / "config.yml").write_text(text + hostile.format(marker=marker) + "\n")
    with pytest.raises(MacroSplatError) as caught:
        read_config(tmp_path / "config.yml")
    assert str(tmp_path / "config.yml") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_another_target_is_refused(copy: Path) -> None:
    path = copy / "config.yml"
    target = "_target: !!python/name:macro_splat.model.macro_splat_model.MacroSplatModel ''"
    text = path.read_text()
    assert target in text
    path.write_text(text.replace(target, "_target: !!python/name:nerfstudio.viewer.viewer.Viewer ''"))
    with pytest.raises(MacroSplatError, match=r"is to set up .*Viewer"):
        load_run(copy)


def test_a_broken_config(copy: Path) -> None:
    path = copy / "config.yml"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(MacroSplatError, match=r"config\.yml"):
        load_run(copy)
    path.write_text("method_name: macro-splat\nx: [\n")
    with pytest.raises(MacroSplatError, match="is broken"):
        load_run(copy)


def test_checkpoints(copy: Path) -> None:
    checkpoint = checkpoint_of(copy)
    whole = torch.load(checkpoint, weights_only=True)

    def complaint() -> str:
        with pytest.raises(MacroSplatError) as caught:
            load_run(copy)
        assert str(checkpoint if checkpoint.exists() else checkpoint.parent) in str(caught.value)
        return str(caught.value)

    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: len(data) // 2])
    assert "is broken" in complaint()
    checkpoint.write_bytes(b"no checkpoint")
    assert "is broken" in complaint()
    torch.save({"pipeline": 3}, checkpoint)
    assert "is no checkpoint" in complaint()
    name = "_model.blur_model.lens.focus_offset_px"
    state = whole["pipeline"]
    torch.save({"step": 1, "pipeline": {k: v for k, v in state.items() if k != name}}, checkpoint)
    assert "lacks blur_model.lens.focus_offset_px" in complaint()
    torch.save({"step": 1, "pipeline": state | {name: torch.zeros(23)}}, checkpoint)
    assert "blur_model.lens.focus_offset_px is [23] where this model has [24]" in complaint()
    torch.save({"step": 1, "pipeline": state | {"_model.bilateral": torch.zeros(2)}}, checkpoint)
    assert "holds bilateral, unknown here" in complaint()
    few = {"_model.gauss_params.means": state["_model.gauss_params.means"][:5]}
    torch.save({"step": 1, "pipeline": state | few}, checkpoint)
    assert "of different numbers" in complaint()
    checkpoint.unlink()
    assert "there is no checkpoint" in complaint()


def test_the_degree_of_colour_is_that_of_the_checkpoint(copy: Path) -> None:
    """Where it was left to the mode of defocus, whose choice changes with the version."""
    assert "sh_degree: -1" in (copy / "config.yml").read_text()
    checkpoint = checkpoint_of(copy)
    content = torch.load(checkpoint, weights_only=True)
    name = "_model.gauss_params.features_rest"
    content["pipeline"][name] = content["pipeline"][name][:, :3].clone()
    torch.save(content, checkpoint)
    model = load_run(copy).model
    assert model.config.sh_degree == 1
    assert torch.equal(model.features_rest, content["pipeline"][name])


def test_the_capture_was_moved(copy: Path, tmp_path: Path) -> None:
    path = copy / "config.yml"
    text = path.read_text()
    assert "- pod_mini" in text
    path.write_text(text.replace("- pod_mini", "- moved_away"))
    with pytest.raises(
        MacroSplatError, match=r"moved_away: the capture of .* is not there any more; say where with --d"
    ):
        load_run(copy)
    with pytest.raises(MacroSplatError, match="nothing does not exist"):
        load_run(copy, data=tmp_path / "nothing")
    assert load_run(copy, data=POD).data == POD
