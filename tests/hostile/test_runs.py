"""Opening somebody else's run, with our commands or with nerfstudio's, runs none of its code."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from nerfstudio.utils import eval_utils
from nerfstudio.utils.eval_utils import eval_load_checkpoint, eval_setup

from macro_splat import compat
from macro_splat.errors import MacroSplatError
from macro_splat.method import macro_splat
from macro_splat.runs.load import _read_checkpoint
from macro_splat.training.trainer import MacroSplatTrainerConfig
from tests.captures import write_capture

HEAD = "!!python/object:macro_splat.training.trainer.MacroSplatTrainerConfig\n"
PAYLOADS = ["!!python/object/apply:os.mkdir ['{marker}']", "!!python/object/new:os.mkdir ['{marker}']"]


@pytest.fixture(autouse=True)
def _mended() -> None:
    compat.apply()


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name_first", [True, False])
def test_nerfstudios_commands_load_configs_without_running_them(tmp_path: Path, payload: str, name_first: bool) -> None:
    lines = ["method_name: macro-splat", "data: " + payload.format(marker=tmp_path / "marker")]
    (tmp_path / "config.yml").write_text(HEAD + "\n".join(lines if name_first else lines[::-1]))
    with pytest.raises(MacroSplatError, match=r"config\.yml: it "):
        eval_setup(tmp_path / "config.yml")
    assert not (tmp_path / "marker").exists()


def test_a_second_name_of_a_method_does_not_help(tmp_path: Path) -> None:
    payload = PAYLOADS[0].format(marker=tmp_path / "marker")
    text = f"{HEAD}method_name: splatfacto\nmethod_name: macro-splat\ndata: {payload}\n"
    with pytest.raises(MacroSplatError):
        yaml.load(text, Loader=yaml.Loader)
    assert not (tmp_path / "marker").exists()


def test_our_own_configs_load_as_ever() -> None:
    loaded = yaml.load(yaml.dump(macro_splat.config), Loader=yaml.Loader)
    assert isinstance(loaded, MacroSplatTrainerConfig)
    assert loaded == macro_splat.config


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Of other methods' configs nothing is known; this is nerfstudio's own behaviour, which the README warns of."""
    for text in ("a: 1\nb: [x, 2.5, null]\n", "", "- method_name: macro-splat\n", "method_name"):
        assert yaml.load(text, Loader=yaml.Loader) == yaml.load(text, Loader=yaml.UnsafeLoader)
    other = f"method_name: splatfacto\ndata: !!python/object/apply:pathlib.PurePosixPath [{tmp_path}]\n"
    assert yaml.load(other, Loader=yaml.Loader)["data"].name == tmp_path.name


class Payload:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("place", [("pipeline",), ("optimizers",), ()], ids=str)
def test_a_checkpoint_with_a_payload_is_refused(tmp_path: Path, legacy: bool, place: tuple[str, ...]) -> None:
    content: object = Payload(tmp_path / "marker")
    for key in place:
        content = {"step": 3, "pipeline": {}, key: content}
    path = tmp_path / "step-000000003.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(MacroSplatError, match=r"step-000000003\.ckpt is broken"):
        _read_checkpoint(path)
    # What ns-viewer, ns-render, ns-export and ns-eval call, as nerfstudio has it and for a run of ours.
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        eval_load_checkpoint(SimpleNamespace(load_dir=tmp_path, load_step=3), None)  # type: ignore[arg-type]
    config = copy.deepcopy(macro_splat.config)
    config.load_dir = config.relative_model_dir = tmp_path
    config.get_checkpoint_dir()
    with pytest.raises(MacroSplatError, match=r"step-000000003\.ckpt is broken( \(|, or holds code, which is not run)"):
        eval_utils.eval_load_checkpoint(config, None)  # type: ignore[arg-type]
    assert not (tmp_path / "marker").exists()
    os.mkdir(tmp_path / "marker")  # that is what the payload would have done


@pytest.mark.slow
def test_a_training_does_not_go_on_from_a_payload(tmp_path: Path) -> None:
    torch.save({"step": 3, "pipeline": Payload(tmp_path / "marker")}, tmp_path / "step-000000003.ckpt")
    words = [Path(sys.executable).with_name("ns-train"), "macro-splat", "--data", write_capture(tmp_path / "ball")]
    words += ["--output-dir", tmp_path / "out", "--vis", "tensorboard"]
    words += ["--load-checkpoint", tmp_path / "step-000000003.ckpt"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "is broken, or holds code, which is not run; restore it, or train again"
    )
    assert "Traceback" not in done.stderr
    assert "weights_only" not in done.stderr
    assert not (tmp_path / "marker").exists()


def test_the_payload_is_a_real_one(tmp_path: Path) -> None:
    torch.save(Payload(tmp_path / "marker"), tmp_path / "bad.ckpt")
    torch.load(tmp_path / "bad.ckpt", weights_only=False)
    assert (tmp_path / "marker").exists()


def test_the_viewer_of_a_training_is_for_this_machine_alone() -> None:
    assert macro_splat.config.viewer.websocket_host == "127.0.0.1"
    assert not macro_splat.config.viewer.make_share_url
