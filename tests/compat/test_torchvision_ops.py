"""The mend of torchvision under a CPU torch: acts on a CUDA build of torchvision only, and never harms."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import macro_splat.compat.torchvision_ops

ROOT = Path(__file__).parents[2]
# What torchvision does when its compiled half cannot be loaded: describes an operator that nobody declared.
DESCRIBE = "import torch\n@torch.library.register_fake('torchvision::nms')\ndef _(dets, scores, limit): return dets\n"
# What torchvision's compiled half does when it can be loaded: declares the operator, and provides it.
DECLARE = (
    "import torch\n"
    "library = torch.library.Library('torchvision', 'FRAGMENT')\n"
    "library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
    "library.impl('nms', lambda dets, scores, threshold: scores.argsort(descending=True), 'CPU')\n"
)
CPU_TORCH = pytest.mark.skipif(torch.version.cuda is not None, reason="a CUDA build of torch needs no mend")


def fake_torchvision(folder: Path, extension: bytes | None, init: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    if extension is not None:
        (package / "_C.so").write_bytes(extension)
    return folder


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that sees the fake torchvision, with autoloading by torch itself switched off."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


CALL = "import torch, macro_splat.compat.torchvision_ops as backend; backend.autoload(); backend.autoload(); "


@pytest.mark.slow
@CPU_TORCH
def test_cuda_build_of_torchvision_imports(tmp_path: Path) -> None:
    folder = fake_torchvision(tmp_path, b"\x7fELF..libtorch.so\0libc10_cuda.so\0", DESCRIBE)
    without = run(folder, "import torch, torchvision")
    assert "operator torchvision::nms does not exist" in without.stderr, "torch changed: is the mend still needed?"
    mended = run(folder, CALL + "import torchvision")
    assert (mended.returncode, mended.stdout, mended.stderr) == (0, "", "")


@pytest.mark.slow
def test_cpu_build_of_torchvision_keeps_its_own_operators(tmp_path: Path) -> None:
    folder = fake_torchvision(tmp_path, b"\x7fELF..libtorch.so\0libtorch_cpu.so\0", DECLARE)
    done = run(folder, CALL + "import torchvision; s = torch.tensor([1., 3., 2.]); "
               "print(torch.ops.torchvision.nms(s, s, .5).tolist())")  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[1, 2, 0]", "")


@pytest.mark.slow
@pytest.mark.parametrize("extension", [None, b""], ids=["no extension", "empty extension"])
def test_odd_torchvision_does_no_harm(tmp_path: Path, extension: bytes | None) -> None:
    done = run(fake_torchvision(tmp_path, extension, ""), CALL + "print(hasattr(torch.ops.torchvision, 'nms'))")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")


def test_no_torchvision_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not macro_splat.compat.torchvision_ops._torchvision_wants_cuda()


@pytest.mark.slow
def test_torch_calls_it_and_torchvision_imports() -> None:
    points = importlib.metadata.entry_points(group="torch.backends", name="macro-splat")
    assert [point.load() for point in points] == [macro_splat.compat.torchvision_ops.autoload]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import torchvision, sys; print(*sorted(m for m in sys.modules if m.startswith('macro_splat')))",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = "macro_splat macro_splat.compat macro_splat.compat.torchvision_ops"
    assert (done.returncode, done.stdout.strip()) == (0, loaded), done.stderr
