"""What `macro-splat doctor` looks at: each check finds one thing and knows the remedy if it is missing."""

import enum
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.markup import escape

from macro_splat.utils.messages import reason

MIN_FREE_GB = 2.0


class State(enum.Enum):
    """How a check ended."""

    OK = enum.auto()
    NOTE = enum.auto()
    """Something optional is missing or unusual; training works."""
    BROKEN = enum.auto()
    """Training does not work."""


@dataclass(frozen=True)
class Result:
    """What a check found (rich markup), and what to do about it unless all is well."""

    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One row of the doctor's table."""

    name: str
    function: Callable[[], Result]
    remedy: str
    """What to do if the check itself fails with an exception."""

    def run(self) -> Result:
        """Return the result; an exception is a finding too, and the doctor goes on to the next check."""
        try:
            return self.function()
        except Exception as error:
            return Result(State.BROKEN, escape(f"{type(error).__name__}: {reason(error)}"), self.remedy)


def all_checks() -> Iterator[Check]:
    """Every check, in the order of the table: each one's remedy supposes that those before it are well."""
    reinstall = "install again: pip install --force-reinstall --no-deps "
    yield Check("python", _python, "install Python 3.10 to 3.13")
    for package in ("torch", "torchvision", "nerfstudio", "gsplat", "numba", "numpy", "viser"):
        yield Check(package, partial(_version, package), f"pip install {package}")
    yield Check("torch imports", _torch, reinstall + "torch")
    yield Check("torchvision imports", _torchvision, _TORCHVISION_REMEDY)
    yield Check("method in nerfstudio", _method, "pip install macro-splat again into this environment")
    yield Check("dataparser in nerfstudio", _dataparser, "pip install macro-splat again into this environment")
    yield Check("GPU", _gpu, "check the NVIDIA driver: nvidia-smi")
    yield Check("kernel cache", _kernel_cache, "set MACRO_SPLAT_CACHE_DIR to a folder that can be written")
    yield Check("rasterizer", _rasterizer, _rasterizer_remedy())
    yield Check("LPIPS", _lpips, reinstall + "torchmetrics")
    yield Check("ffmpeg", _ffmpeg, reinstall + "imageio-ffmpeg")
    yield Check("free disk", _disk, "change to a folder that can be read")


_TORCHVISION_REMEDY = (
    "install the torchvision that belongs to this torch (pip install --force-reinstall torch torchvision), and leave "
    "TORCH_DEVICE_BACKEND_AUTOLOAD unset: torch must be allowed to load this package's mend for CPU builds"
)


def _python() -> Result:
    found = f"{platform.python_version()} ({sys.executable})"
    if not (3, 10) <= sys.version_info < (3, 14):
        return Result(State.NOTE, found, "tried with Python 3.10 to 3.13 only")
    return Result(State.OK, found)


def _version(package: str) -> Result:
    return Result(State.OK, importlib.metadata.version(package))


def _torch() -> Result:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return Result(State.OK, f"{build} build, {torch.get_num_threads()} threads on {os.cpu_count()} processors")


def _torchvision() -> Result:
    import torch
    import torchvision.extension

    if torchvision.extension._has_ops():
        return Result(State.OK, "with its compiled half")
    why = "made for CUDA, torch is not" if torch.version.cuda is None else "compiled half does not load"
    return Result(State.OK, f"without its compiled half ({why}); nothing here needs that")


def _method() -> Result:
    from nerfstudio.configs.method_configs import all_methods

    return _registered("macro-splat", all_methods, "ns-train macro-splat")


def _dataparser() -> Result:
    from nerfstudio.configs.dataparser_configs import all_dataparsers

    return _registered("macro-rig-data", all_dataparsers, "macro-rig-data")


def _registered(name: str, known: Container[str], found: str) -> Result:
    """Report whether nerfstudio has found an entry point of ours."""
    if name not in known:
        return Result(State.BROKEN, "ns-train does not know it", "pip install macro-splat into this environment")
    return Result(State.OK, found)


def _gpu() -> Result:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Result(State.OK, f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB")
    if _has_nvidia_card():
        if torch.version.cuda is None:
            remedy = "this torch is a CPU build: pip install --force-reinstall torch torchvision (from PyPI)"
            return Result(State.NOTE, "an NVIDIA card that torch cannot use: the CPU will be used", remedy)
        remedy = "the driver is missing, or older than torch's CUDA: compare nvidia-smi with the build above"
        return Result(State.NOTE, "an NVIDIA card that torch cannot reach: the CPU will be used", remedy)
    return Result(State.OK, "none: the CPU will be used")


def _has_nvidia_card() -> bool:
    cards = Path("/proc/driver/nvidia/gpus")
    if Path("/dev/nvidia0").exists() or (cards.is_dir() and any(cards.iterdir())):
        return True
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return False
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=30, check=False)
    return listed.returncode == 0 and "GPU " in listed.stdout


def _kernel_cache() -> Result:
    import torch

    if torch.cuda.is_available():
        return Result(State.OK, "not used: gsplat's kernels run")
    import macro_splat.ops.rasterizer
    from macro_splat.simd.compilation import cache_folder

    return Result(
        State.OK, escape(str(cache_folder(str(Path(macro_splat.ops.rasterizer.__file__).parent / "cpu")).parent))
    )


def _rasterizer() -> Result:
    """Render a few Gaussians and differentiate, as a training step does, on the device that a training would use."""
    import torch

    from macro_splat.ops.rasterizer import rasterization

    device = "cuda" if torch.cuda.is_available() else "cpu"
    count, size = 16, 32
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(count, 3, generator=generator).sub(0.5).to(device).requires_grad_()
    viewmats = torch.eye(4, device=device)[None].clone()
    viewmats[:, 2, 3] = 3.0
    intrinsics = torch.tensor([[[32.0, 0.0, 16.0], [0.0, 32.0, 16.0], [0.0, 0.0, 1.0]]], device=device)
    start = time.perf_counter()
    image, alpha, _ = rasterization(
        means,
        torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=device).repeat(count, 1),
        torch.full((count, 3), 0.1, device=device),
        torch.full((count,), 0.7, device=device),
        torch.ones(count, 3, device=device),
        viewmats,
        intrinsics,
        size,
        size,
    )
    image.square().sum().backward()
    seconds = time.perf_counter() - start
    # White Gaussians before black: the picture is its own alpha.
    right = torch.allclose(image, alpha.expand_as(image), atol=1e-4) and bool(alpha.max() > 0.5)
    if not right or means.grad is None or not bool(means.grad.abs().sum() > 0):
        return Result(State.BROKEN, "it runs, but the picture is wrong", _rasterizer_remedy())
    gpu, cpu = "gsplat's kernels, because there is an NVIDIA card", "our own, because there is no GPU"
    name = gpu if device == "cuda" else cpu
    return Result(State.OK, f"{name}; a test picture and its gradient took {seconds:.1f} s")


def _rasterizer_remedy() -> str:
    if _has_nvidia_card():
        return (
            "gsplat compiles its kernels at first use: install the CUDA toolkit of torch's CUDA version (nvcc) and a "
            "C++ compiler, or a ready-made gsplat wheel for this torch (see https://docs.gsplat.studio)"
        )
    return "pip install --force-reinstall --no-deps numba llvmlite; empty the kernel cache above"


def _lpips() -> Result:
    from macro_splat.compat import lpips

    if lpips.weights_file().is_file():
        return Result(State.OK, escape(f"weights in {lpips.weights_file()}"))
    reason = lpips.why_unreachable()
    if reason is None:
        return Result(State.OK, "weights not there yet: the first training downloads them (233 MB)")
    remedy = f"the metric LPIPS is left out; to have it, put {lpips.weights_url()} into {lpips.weights_file().parent}"
    return Result(State.NOTE, escape(f"no weights, and they cannot be downloaded ({reason})"), remedy)


def _ffmpeg() -> Result:
    from macro_splat.compat import ffmpeg

    found, carried = shutil.which("ffmpeg"), ffmpeg.carried_ffmpeg()
    if found is not None and not (carried is not None and Path(found).samefile(carried)):
        return Result(State.OK, escape(found))
    if carried is not None:
        return Result(State.OK, "the one of imageio-ffmpeg")
    return Result(State.NOTE, "none", "videos need it: install ffmpeg, or render images (--output-format images)")


def _disk() -> Result:
    free = shutil.disk_usage(".").free / 1e9
    found = escape(f"{free:.1f} GB in {Path.cwd()}")
    if free < MIN_FREE_GB:
        return Result(State.NOTE, found, "a training writes up to 1 GB: free some space, or give --output-dir")
    return Result(State.OK, found)
