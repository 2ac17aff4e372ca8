"""Judging a model against truths: tensors in, floats out.

`pictures.py` compares two pictures, `depth.py` depth maps, `lens.py` learnt lenses with true ones; `reblur.py` judges
where only a blurred photograph is at hand; `alignment.py` undoes the common drift of poses that were optimised.
No nerfstudio here.
"""

from macro_splat.evaluation.alignment import Similarity, align_cameras
from macro_splat.evaluation.depth import median_depth_error
from macro_splat.evaluation.lens import coc_radius_error, focus_distance_errors
from macro_splat.evaluation.pictures import compare_pictures, gradient_energy, psnr, sharpness_ratio
from macro_splat.evaluation.reblur import fit_lens

__all__ = [
    "Similarity",
    "align_cameras",
    "coc_radius_error",
    "compare_pictures",
    "fit_lens",
    "focus_distance_errors",
    "gradient_energy",
    "median_depth_error",
    "psnr",
    "sharpness_ratio",
]
