"""Slices of a stack are known by what they show: a real stack, whose magnification breathes, against a turned ball."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from macro_splat.process.config import ProcessConfig
from macro_splat.process.run import process
from macro_splat.process.stacks.near_duplicates import near_duplicates
from tests.captures import write_capture

STACK = Path(__file__).parents[3] / "assets" / "pcb_stack"


def pictures(folder: Path) -> list[np.ndarray]:
    return [np.array(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.[jp][pn]g"))]


def test_a_stack_between_other_photographs(tmp_path: Path) -> None:
    ball = pictures(write_capture(tmp_path, views=24, test_views=1, width=160, height=120) / "images")
    assert len(ball) == 24
    stack = pictures(STACK)
    assert near_duplicates(ball) == []
    assert near_duplicates(stack) == [range(len(stack))]
    assert near_duplicates([*ball[:5], *stack, *ball[5:9], *stack[:4]]) == [range(5, 15), range(19, 23)]
    assert near_duplicates(stack[:2]) == []
    assert near_duplicates(stack[:1] * 70) == [], "rather a turntable"
    assert near_duplicates([np.full((40, 60, 3), 90, np.uint8)] * 5) == [], "nothing to see"
    assert near_duplicates([]) == []


def test_the_likely_stack_is_told(tmp_path: Path) -> None:
    shutil.copytree(STACK, tmp_path / "card", ignore=shutil.ignore_patterns("*.txt"))
    process(ProcessConfig(tmp_path / "card", tmp_path / "out", poses="none"))
    told = [p["what"] for p in json.loads((tmp_path / "out" / "process.json").read_text())["problems"]]
    assert any(what.startswith("pcb_000.jpg to pcb_009.jpg look like the slices of a focus stack") for what in told)
    process(ProcessConfig(tmp_path / "card", tmp_path / "out", poses="none", stack_by="folder"))
    told = [p["what"] for p in json.loads((tmp_path / "out" / "process.json").read_text())["problems"]]
    assert not any("look like" in what for what in told)
