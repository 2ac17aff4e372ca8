"""The mends that nerfstudio 1.1.5 and torch need here: one small file each, with its reason and when it can go.

`apply` sets those that act by themselves; `lpips.optional_lpips`, `viewmat.get_viewmat` and, for trainings on a
processor, `idle_threads.stop_spinning` are called where they are needed. The mend of torchvision under a CPU torch
(`torchvision_ops`) runs inside `import torch`, by an entry point; `plain_configs` is set by `method.py`.
"""

import functools


@functools.cache
def apply() -> None:
    """Set every mend that acts by itself, once. Called when an `ns-*` command imports the method: cheap and safe."""
    from macro_splat.compat import checkpoints, fast_inspect, ffmpeg, one_line_errors

    checkpoints.allow_numpy_scalars()
    ffmpeg.put_on_path()
    one_line_errors.install()
    fast_inspect.mend()


__all__ = ["apply"]
