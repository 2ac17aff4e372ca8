"""A card of focus stacks, a rig that describes it, and structure from motion that finds its poses."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from macro_splat.capture import Capture, SparsePoints, read_capture
from macro_splat.process import survey, write
from macro_splat.process.poses import PosedPhotograph, Poses
from macro_splat.process.sfm import solve
from tests.captures import FOCAL_LENGTH_MM, sample_ball, write_capture
from tests.process.cards import SLICES, VIEWS


@pytest.fixture(scope="module")
def truth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture whose photographs are processed anew."""
    folder = tmp_path_factory.mktemp("truth")
    return write_capture(folder, views=VIEWS, slices=SLICES, test_views=0, width=96, height=72)


@pytest.fixture(scope="module")
def truth(truth_folder: Path) -> Capture:
    return read_capture(truth_folder)


@pytest.fixture
def card(truth_folder: Path, tmp_path: Path) -> Path:
    """Its photographs alone."""
    shutil.copytree(truth_folder / "images", tmp_path / "card")
    return tmp_path / "card"


@pytest.fixture
def rig(truth: Capture, tmp_path: Path) -> Path:
    """A rig.yaml that describes it."""
    poses, focus = {}, []
    for frame in truth.frames:
        poses[frame.stack_id] = {"name": frame.stack_id, "matrix": frame.camera_to_world.tolist()}
        if frame.stack_id == "000":
            focus.append(frame.optics.focus_distance)
    image_distance = FOCAL_LENGTH_MM * 120 / (120 - FOCAL_LENGTH_MM)
    lens = {
        "focal_length_mm": FOCAL_LENGTH_MM,
        "f_number": 4.0,
        "focus_distance_mm": 120.0,
        "pixel_pitch_um": 1000 * image_distance / truth.frames[0].intrinsics.fl_x,
        "breathing": False,
    }
    stack = {"motion": "ring", "focus_distances_mm": focus}
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump({"lens": lens, "stack": stack, "poses": list(poses.values())}))
    return path


@pytest.fixture
def found_poses(truth: Capture, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Structure from motion that finds the true poses, at half the size, from the first photograph of each stack."""
    seen: dict[str, Any] = {"lost": ()}

    def reconstruct(search: solve.StructureFromMotion) -> Poses:
        seen.update(vars(search))
        stacks = search.stacks
        frames = {Path(frame.name).name: frame for frame in truth.frames}
        posed = {}
        for stack in stacks:
            for photograph in stack.photographs if stack.id not in seen["lost"] else ():
                frame = frames[photograph.name]
                pose = frame.camera_to_world.copy()
                pose[:3, 3] *= 0.5
                posed[photograph.name] = PosedPhotograph(pose, frame.intrinsics, solve._optics(stack, photograph))
        xyz, rgb = sample_ball(200)
        return Poses(
            "sfm",
            posed,
            SparsePoints(0.5 * xyz, rgb),
            0.4,
            frozenset(stack.photographs[0].name for stack in stacks if stack.id not in seen["lost"]),
            tuple(p.name for stack in stacks for p in stack.photographs if stack.id in seen["lost"]),
        )

    monkeypatch.setattr(solve.StructureFromMotion, "reconstruct", reconstruct)
    return seen


@pytest.fixture
def work_done(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the costly steps as they are taken."""
    done: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        step: Callable[..., Any] = getattr(module, name)

        def count(*arguments: Any, **options: Any) -> Any:
            done[name] += 1
            return step(*arguments, **options)

        monkeypatch.setattr(module, name, count)

    counted(survey, "sharpness_map")
    counted(write, "write_image")
    return done
