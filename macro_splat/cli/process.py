"""`macro-splat process`: from a folder of photographs to a capture that trains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from macro_splat.process.config import ProcessConfig
from macro_splat.utils.messages import printable


def process(config: ProcessConfig) -> int:
    """Make a capture from a folder of photographs: stacks, sharpness, masks, poses, scale, and a report.

    The photographs are only ever read. What was done before is not done again, and after Ctrl-C the same command goes
    on where it stopped.
    """
    import cv2

    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.process.run import process as make_capture
    from macro_splat.report.capture_report import write_capture_report

    if config.threads is not None:
        cv2.setNumThreads(config.threads)
    try:
        with StageBars() as bars:
            record = make_capture(config, progress=bars.update, command=sys.argv, write_report=write_capture_report)
    except KeyboardInterrupt:
        print(f"interrupted: run the same command again to go on in {config.out}", file=sys.stderr)
        return 130
    _print_summary(record, config.out)
    return 0


def _print_summary(record: dict[str, Any], out: Path) -> None:
    """Print what was found, what will go wrong, and what comes next."""
    used = sum(photograph["used"] for photograph in record["photographs"])
    stacks = sum(len(stack["photographs"]) > 1 for stack in record["stacks"])
    found = [f"{len(record['photographs'])} photographs"]
    if stacks:
        found.append(f"{stacks} focus stacks")
    poses, scale = record["poses"], record["scale"]
    if poses["source"] is not None:
        error = poses["reprojection_error_px"]
        how = "the rig" if poses["source"] == "rig" else f"structure from motion ({error:.2f} px off)"
        found.append(f"{used} with poses from {how}")
    found.append("scale unknown" if scale is None else "in mm")
    print(", ".join(found))
    for problem in record["problems"]:
        print(printable(f"{problem['severity']}: {problem['what']} {problem['do']}".rstrip()))  # names of files
    seconds = sum(record["seconds"].values())
    print(f"{seconds:.0f} s, at most {record['peak_memory_mb']:.0f} MB of memory")
    print(f"  report  {out / 'report.html'}")
    if poses["source"] is not None:
        print(f"  train   ns-train macro-splat --data {out}")
