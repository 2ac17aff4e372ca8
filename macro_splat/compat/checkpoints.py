"""nerfstudio's checkpoints hold numpy scalars, which torch >= 2.6 refuses to load.

Since 2.6 `torch.load` admits only listed types (`weights_only=True`). nerfstudio 1.1.5 writes the learning rates of
its schedulers as numpy scalars and so cannot resume, evaluate, view, export or render its own runs (nerfstudio issue
3683). Plain numbers cannot carry code, so they are put on torch's list of admitted types; the check itself stays on
and everything else in a checkpoint is still refused. (torch 2.5 does not check by default and is not admitted.)

Can go when nerfstudio writes plain floats, or lists these types itself.
"""

import numpy as np
import torch

_KINDS = "?bhilqBHILQefd"  # bool, integers and floats; no object or structured type


def allow_numpy_scalars() -> None:
    """Let `torch.load(..., weights_only=True)` read numpy's booleans, integers and floats."""
    scalar = np.float64(0).__reduce__()[0]  # numpy's own constructor of pickled scalars
    types: list = [scalar, np.dtype, *{type(np.dtype(kind)) for kind in _KINDS}]
    # numpy 2 renamed the module: a run written with numpy 1 opens with numpy 2 and the reverse.
    types += [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    torch.serialization.add_safe_globals(types)
