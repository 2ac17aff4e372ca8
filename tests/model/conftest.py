"""A tiny capture and the trainers made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import write_capture
from tests.model.trainers import begin, build_trainer


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight very blurry views of 64 x 48 pixels, optics known, before light grey; two sharp ones held out."""
    return write_capture(tmp_path_factory.mktemp("capture"), width=64, height=48, f_number=1.4, background=0.5)


@pytest.fixture
def build(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MacroSplatTrainer]:
    """`build_trainer` on the capture. LPIPS has its own tests: nothing here looks for its weights on the network."""
    monkeypatch.setattr("macro_splat.compat.lpips.lpips_or_none", lambda **_: None)

    def build(data: Path = capture, **options: Any) -> MacroSplatTrainer:
        return build_trainer(data, tmp_path, **options)

    return build


@pytest.fixture
def trainer(build: Callable[..., MacroSplatTrainer]) -> MacroSplatTrainer:
    """With the first step begun: the photographs have been looked at."""
    trainer = build()
    begin(trainer)
    return trainer
