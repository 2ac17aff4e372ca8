"""`macro-splat export`: splats, points and mesh of a run, for other programs."""

from __future__ import annotations

from pathlib import Path

from macro_splat.export.config import ExportConfig


def export(config: ExportConfig) -> int:
    """Write a run's splats, points or mesh in the capture's frame and in mm, without background and floaters."""
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.export.export import export as write

    with StageBars() as bars:
        record = write(config, bars.update)
    taken_off = ", ".join(f"{count} {reason}" for reason, count in record["taken_off"].items() if count)
    print(f"{record['splats']} splats in {record['unit']}" + (f"; taken off: {taken_off}" if taken_off else ""))
    for file in record["files"]:
        print(f"  {file}  {Path(file).stat().st_size / 1e6:.1f} MB")
    return 0
