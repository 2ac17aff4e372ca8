"""The capture format: a folder of photographs with poses and, where known, the optics of each.

`format.py` says what a capture is, `read.py` reads and checks transforms.json, `files.py` the files it names,
`plausibility.py` whether it makes sense. Captures are made from photographs in `process/`. No nerfstudio here.
"""

from macro_splat.capture.format import SCENE_UNIT_IN_MM, Capture, Frame, Intrinsics, Optics, SparsePoints
from macro_splat.capture.read import read_capture

__all__ = ["SCENE_UNIT_IN_MM", "Capture", "Frame", "Intrinsics", "Optics", "SparsePoints", "read_capture"]
