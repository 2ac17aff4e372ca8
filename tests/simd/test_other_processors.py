"""Kernels on a processor without wide vectors: LLVM has to split the lanes, and the results must stay right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

RENDER = """
import torch
from macro_splat.ops.rasterizer import rasterization
from macro_splat.ops.rasterizer.reference import rasterization_reference
g = torch.Generator().manual_seed(0)
means = torch.rand(40, 3, generator=g) - 0.5 + torch.tensor([0.0, 0.0, 2.0])
rest = torch.randn(40, 4, generator=g), 0.05 + 0.1 * torch.rand(40, 3, generator=g), torch.rand(40, generator=g)
camera = torch.eye(4)[None], torch.tensor([[[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]])
gradients = []
for function, dtype in ((rasterization, torch.float32), (rasterization_reference, torch.float64)):
    leaf = means.detach().to(dtype, copy=True).requires_grad_()
    arguments = [t.to(dtype) for t in (*rest, torch.rand(40, 16, 3, generator=g.manual_seed(1)), *camera)]
    image, alpha, _ = function(leaf, *arguments, 40, 30, sh_degree=3, render_mode="RGB+ED")
    (image.square().sum() + alpha.sum()).backward()
    gradients.append(leaf.grad.double())
print(((gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max()).item())
"""


def test_baseline_processor_gives_the_same_gradients(tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "MACRO_SPLAT_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", RENDER], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1e-4
