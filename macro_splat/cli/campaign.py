"""`macro-splat campaign`: every specimen of a folder, from photographs to report, on one machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from macro_splat.errors import MacroSplatError


def campaign(
    specimens: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    iterations: int = 0,
    address: str | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    retries: int = 2,
    process_options: str = "",
    train_options: str = "",
    grace: float = 20.0,
) -> int:
    """Process, train, export and report every specimen of a folder, on Ray: on this machine, or on a cluster.

    The same command again does what is missing, and tries again what failed. Ctrl-C ends it; trainings under way keep
    a checkpoint, from which they go on. On a cluster both folders must have the same paths on all machines.

    Args:
        specimens: folder that holds a folder for each specimen: photographs, or a capture with its transforms.json.
        out: folder for the results, made if missing: a folder for each specimen, index.html and campaign.csv.
        iterations: of each training; 0: chosen from the capture and the machine.
        address: of a Ray cluster, as HOST:PORT or auto; by default Ray is started on this machine.
        cpus: that a stage of a specimen may use; 4, or what the best machine has, if not given.
        gpus: that a training, export or report may use, as 1 or 0.5; 1 where there are any, if not given.
        retries: of each stage that fails; where only you can help, as with a broken photograph, there is none.
        process_options: more options for `macro-splat process`, as "--rig /data/rig.yaml --masks make".
        train_options: more options for `ns-train macro-splat`, as "--steps-per-save 2000".
        grace: seconds that an interrupted command has to end by itself.
    """
    from macro_splat.campaign.start import CampaignConfig, start

    if iterations < 0:
        raise MacroSplatError(f"--iterations {iterations}: must not be negative")
    if retries < 0:
        raise MacroSplatError(f"--retries {retries}: must not be negative")
    config = CampaignConfig(iterations, address, cpus, gpus, retries, process_options, train_options, grace)
    return start(specimens, out, config)
