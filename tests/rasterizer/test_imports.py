"""The rasterizer stands on torch, numpy and numba: importing it starts neither nerfstudio nor gsplat nor a compiler."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)


def test_importing_the_rasterizer_stays_light():
    code = (
        "import sys, macro_splat.rasterizer, macro_splat.image; "
        "print([name for name in ('nerfstudio', 'gsplat', 'numba') if name in sys.modules])"
    )
    done = run(code)
    assert done.stdout.strip() == "[]"


def test_rendering_on_the_cpu_needs_no_gsplat():
    code = """
import sys
sys.modules["gsplat"] = sys.modules["nerfstudio"] = None  # importing them fails
import torch
from macro_splat.rasterizer import rasterization
_, alphas, _ = rasterization(
    torch.tensor([[0.0, 0.0, 2.0]]), torch.eye(4)[:1], torch.full((1, 3), 0.1), torch.tensor([0.5]), torch.ones(1, 3),
    torch.eye(4)[None], torch.tensor([[[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]]), 40, 30,
)
print(round(alphas.max().item(), 1))
"""
    done = run(code)
    assert done.stdout.strip() == "0.5"
