"""The program of one run: `python -m macro_splat.benchmark.run FOLDER` trains what FOLDER/run.json says and judges it.

A process of its own for each run: no state of one training can reach the next, and memory is given back.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from macro_splat.benchmark.plan import RunSpec
from macro_splat.utils.atomic import atomic_write

SPEC, RESULT, PICTURES, LOG = "run.json", "result.json", "pictures", "run.log"
PROGRESS = "progress "
"""Begins the lines on stdout that say how many steps are done."""


def train_and_judge(spec: RunSpec, folder: Path, key: str) -> dict[str, Any]:
    """Train, judge, and leave pictures, checkpoint and finally `result.json` in the folder."""
    import numpy as np
    import torch
    from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation

    from macro_splat.benchmark.judge import Judge
    from macro_splat.benchmark.source import source_digest

    source = source_digest()  # now: it may be edited while the training runs
    config = spec.config()
    config.output_dir, config.experiment_name, config.timestamp = folder, "model", "run"
    config.report = False  # its time is not the training's
    random.seed(spec.seed)
    np.random.seed(spec.seed)  # noqa: NPY002 (nerfstudio's generator)
    torch.manual_seed(spec.seed)
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()

    def report(step: int) -> None:
        print(f"{PROGRESS}{step + 1}", flush=True)

    every = max(1, spec.iterations // 100)
    location = [TrainingCallbackLocation.AFTER_TRAIN_ITERATION]
    trainer.callbacks.append(TrainingCallback(location, report, update_every_num_iters=every))
    start, start_cpu = time.monotonic(), time.process_time()
    trainer.train()
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - start_cpu

    judge = Judge(trainer.pipeline, Path(spec.reference))
    result = {
        "key": key,
        "source": source,
        "mode": spec.mode,
        "variant": spec.variant,
        "iterations": spec.iterations,
        "seed": spec.seed,
        "mm_per_unit": judge.capture.mm_per_unit,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        **judge.figures(),
    }
    judge.save_pictures(folder / PICTURES)
    with atomic_write(folder / RESULT, "w") as file:
        json.dump(result, file, indent=1)
    return result


def main() -> None:
    """Run the program."""
    from macro_splat.compat import one_line_errors

    one_line_errors.install()
    folder, key = Path(sys.argv[1]), sys.argv[2]
    train_and_judge(RunSpec.read(folder / SPEC), folder, key)


if __name__ == "__main__":
    main()
