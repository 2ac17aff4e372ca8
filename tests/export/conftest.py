"""The shared training, loaded and exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from macro_splat.export.config import ExportConfig
from macro_splat.export.export import export_run
from macro_splat.runs.load import Run, load_run


@pytest.fixture(scope="session")
def run(trained_run: Path) -> Run:
    return load_run(trained_run)


@dataclass(frozen=True)
class Exported:
    folder: Path
    record: dict


@pytest.fixture(scope="session")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Everything, with coarse voxels: a matter of seconds."""
    folder = tmp_path_factory.mktemp("exported") / "all"
    return Exported(folder, export_run(run, ExportConfig(run.folder, folder, voxel=0.3)))
