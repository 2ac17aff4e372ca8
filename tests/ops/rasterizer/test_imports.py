"""Rasterizer and optics stand on torch, numpy and numba: importing them starts neither nerfstudio nor a compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)


def test_importing_the_rasterizer_stays_light():
    code = (
        "import sys, macro_splat.ops.rasterizer, macro_splat.ops.ssim; "
        "print([name for name in ('nerfstudio', 'gsplat', 'numba') if name in sys.modules])"
    )
    done = run(code)
    assert done.stdout.strip() == "[]"


def test_rasterizer_and_optics_import_with_torch_and_numpy_alone():
    """As one that only runs the tests of the graphics card does."""
    code = """
import sys
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name in {"nerfstudio", "gsplat", "numba", "scipy", "cv2", "PIL", "rich", "viser"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Bare())
import macro_splat.ops.rasterizer, macro_splat.defocus.blur_models, macro_splat.defocus.image_blur, macro_splat.ops.ssim
print("imported")
"""
    assert run(code).stdout.strip() == "imported"


def test_rendering_on_the_cpu_needs_no_gsplat():
    code = """
import sys
sys.modules["gsplat"] = sys.modules["nerfstudio"] = None  # importing them fails
import torch
from macro_splat.ops.rasterizer import rasterization
_, alphas, _ = rasterization(
    torch.tensor([[0.0, 0.0, 2.0]]), torch.eye(4)[:1], torch.full((1, 3), 0.1), torch.tensor([0.5]), torch.ones(1, 3),
    torch.eye(4)[None], torch.tensor([[[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]]), 40, 30,
)
print(round(alphas.max().item(), 1))
"""
    done = run(code)
    assert done.stdout.strip() == "0.5"
