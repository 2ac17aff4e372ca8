"""Lets `import torchvision` work where a CPU build of torch meets PyPI's torchvision, which is built for CUDA.

Such a torchvision cannot load its compiled half (`_C.so` asks for CUDA's half of torch), so its operators are never
declared; yet its `__init__` describes `torchvision::nms` to torch and dies with "operator torchvision::nms does not
exist", and with it every `ns-*` command. Declaring the two schemas is enough: nothing here calls the operators, and
calling them still says that there is no such kernel.

`import torch` itself calls `autoload` (entry point group `torch.backends`, torch 2.5 or newer) in every program of
the environment. So this file and the two `__init__.py` above it import nothing heavy; it runs none of torchvision's
code, and does nothing at all unless torchvision's compiled half is there and asks for CUDA. It can go when torchvision
tolerates a missing `_C`, or when PyPI offers CPU builds of both.
"""

import importlib.util
import mmap
from pathlib import Path

_CUDA_HALF = (b"libc10_cuda", b"c10_cuda.dll", b"libtorch_cuda", b"torch_cuda.dll")
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list = []  # torch withdraws the schemas when their Library is collected


def autoload() -> None:
    """Declare torchvision's `nms` and `qnms` if torchvision cannot do so itself."""
    import torch

    if torch.version.cuda is not None or hasattr(torch.ops.torchvision, "nms") or not _torchvision_wants_cuda():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    _libraries.append(library)
    for schema in _SCHEMAS:
        library.define(schema)


def _torchvision_wants_cuda() -> bool:
    """Whether the compiled half of the installed torchvision names CUDA's half of torch among its libraries."""
    try:
        spec = importlib.util.find_spec("torchvision")
        folders = spec.submodule_search_locations if spec is not None else None
        for folder in folders or ():
            for pattern in ("_C*.so", "_C*.pyd"):
                for extension in Path(folder).glob(pattern):
                    with (
                        extension.open("rb") as file,
                        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
                    ):
                        if any(content.find(name) >= 0 for name in _CUDA_HALF):
                            return True
    except (OSError, ValueError):  # unreadable or empty: torchvision's own import will tell, not every torch program
        return False
    return False
