"""`ns-eval`, `ns-export`, `ns-render` and `ns-viewer` load the newest checkpoint, and fail where that one is damaged.

Or do not fail: torch reads a damaged tensor without a word. For runs of ours nerfstudio's function that loads is told
beforehand which checkpoint is whole. It can be reached only once its module is loaded, which it is not yet when
plugins are: so our config installs this when nerfstudio asks it where the checkpoints are.

Where a checkpoint holds code, torch refuses it with a traceback and the advice to let it in; here it is one line.

Can go when nerfstudio checks what it loads.
"""

import functools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

MODULE = "nerfstudio.utils.eval_utils"


def install(
    kind: type[Any],
    choose: Callable[[Path, int | None], int],
    guard: Callable[[Path], AbstractContextManager[None]],
) -> None:
    """Put `choose`, which takes a folder and the step that was asked for, before the loading of configs of this kind.

    `guard`, of a checkpoint, is around it. Does nothing where no command that loads runs is under way.
    """
    module: Any = sys.modules.get(MODULE)
    load = getattr(module, "eval_load_checkpoint", None)
    if load is None or getattr(load, "__module__", None) == __name__:
        return

    @functools.wraps(load, assigned=("__doc__",))
    def eval_load_checkpoint(config: Any, pipeline: Any) -> Any:
        if isinstance(config, kind):
            config.load_step = choose(config.load_dir, config.load_step)
            with guard(config.load_dir / f"step-{config.load_step:09d}.ckpt"):
                return load(config, pipeline)
        return load(config, pipeline)

    module.eval_load_checkpoint = eval_load_checkpoint
