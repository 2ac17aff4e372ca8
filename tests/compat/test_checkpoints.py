"""nerfstudio's checkpoints load with torch's check on, and a checkpoint that carries code is still refused."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig

from macro_splat.compat.checkpoints import allow_numpy_scalars


@pytest.fixture(autouse=True)
def _mended() -> None:
    allow_numpy_scalars()


def nerfstudio_state() -> dict:
    """Optimizer and scheduler states as nerfstudio's trainer saves them, after three steps."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=1e-2)
    scheduler = ExponentialDecaySchedulerConfig(lr_final=1e-4, max_steps=10, warmup_steps=2).setup()
    scheduler = scheduler.get_scheduler(optimizer, 1e-2)
    for _ in range(3):
        parameter.grad = torch.ones(3)
        optimizer.step()
        scheduler.step()
    return {"step": 3, "optimizers": optimizer.state_dict(), "schedulers": scheduler.state_dict()}


def test_nerfstudio_state_loads_with_the_check_on(tmp_path: Path) -> None:
    state = nerfstudio_state()
    assert isinstance(state["schedulers"]["_last_lr"][0], np.generic), "nerfstudio changed: is the mend still needed?"
    torch.save(state, tmp_path / "step-000000003.ckpt")
    loaded = torch.load(tmp_path / "step-000000003.ckpt", map_location="cpu", weights_only=True)
    assert loaded["schedulers"]["_last_lr"] == state["schedulers"]["_last_lr"]
    assert loaded["optimizers"]["param_groups"] == state["optimizers"]["param_groups"]


@pytest.mark.parametrize("kind", ["?", "int8", "int64", "uint16", "float16", "float32", "float64"])
def test_every_plain_scalar_loads(tmp_path: Path, kind: str) -> None:
    torch.save(np.dtype(kind).type(1), tmp_path / "scalar")
    loaded = torch.load(tmp_path / "scalar", weights_only=True)
    assert loaded == 1
    assert loaded.dtype == kind


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_scalars_of_the_other_numpy_load(tmp_path: Path, module: str) -> None:
    """A run trained with numpy 1 opens with numpy 2 and the reverse: only the module's name differs."""
    torch.save({"lr": np.float64(0.25)}, tmp_path / "own")
    own = np.float64(0).__reduce__()[0].__module__
    reader = torch._C.PyTorchFileReader(str(tmp_path / "own"))
    data = reader.get_record("data.pkl")
    assert own.encode() in data
    writer = torch._C.PyTorchFileWriter(str(tmp_path / "other"))
    for name in reader.get_all_records():
        if name not in ("version", "byteorder", ".data/serialization_id"):  # the writer adds these itself
            record = data.replace(own.encode(), module.encode()) if name == "data.pkl" else reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    assert torch.load(tmp_path / "other", weights_only=True) == {"lr": 0.25}


class Malicious:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"schedulers": {"_last_lr": [bad]}}])
@pytest.mark.parametrize("flag", [{"weights_only": True}, {}], ids=["asked", "by default"])
def test_code_in_a_checkpoint_is_refused(tmp_path: Path, wrap, flag: dict) -> None:
    torch.save(wrap(Malicious(tmp_path / "pwned")), tmp_path / "bad.ckpt")
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        torch.load(tmp_path / "bad.ckpt", **flag)
    assert not (tmp_path / "pwned").exists()


def test_numpy_objects_are_refused(tmp_path: Path) -> None:
    torch.save(np.array([Malicious(tmp_path / "pwned")], dtype=object), tmp_path / "bad.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "bad.ckpt", weights_only=True)
    assert not (tmp_path / "pwned").exists()
