"""A trained run, exported: the same picture, the same lengths, and nothing lost when something is wrong."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from plyfile import PlyData
from scipy.spatial import cKDTree

from macro_splat.errors import MacroSplatError
from macro_splat.export.config import EVERYTHING, ExportConfig
from macro_splat.export.export import export_run
from macro_splat.ops.rasterizer import rasterization
from macro_splat.runs.clean_config import CleanConfig
from macro_splat.runs.load import Run
from tests.conftest import POD
from tests.end_to_end.outputs import RENDERED_BACK_DB, psnr, read_splats
from tests.export.conftest import Exported

CLEANED_DB = 35.0
"""What is taken off with the haze may change single pixels of so short a training."""
METRIC_ERROR = 0.01


def frames() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    top = json.loads((POD / "transforms.json").read_text())
    return top, [frame for frame in top["frames"] if frame["file_path"] in top["test_filenames"]]


def look(splats: dict[str, Any], frame: dict[str, Any], top: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Picture, depth and alpha of splats from a pose of transforms.json, with nothing of ours but the rasterizer."""
    pose = np.array(frame["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
    k = [[top["fl_x"], 0, top["cx"]], [0, top["fl_y"], top["cy"]], [0, 0, 1]]
    picture, alpha, _ = rasterization(
        **splats,
        viewmats=torch.from_numpy(np.linalg.inv(pose)).float()[None],
        Ks=torch.tensor(k)[None],
        width=top["w"],
        height=top["h"],
        near_plane=1.0,
        sh_degree=math.isqrt(splats["colors"].shape[1]) - 1,
        render_mode="RGB+ED",
    )
    return picture[0, ..., :3].numpy(), picture[0, ..., 3].numpy(), alpha[0, ..., 0].numpy()


@pytest.mark.parametrize(("keep_all", "least_db"), [(True, RENDERED_BACK_DB), (False, CLEANED_DB)])
def test_the_file_gives_the_model_s_picture(run: Run, tmp_path: Path, keep_all: bool, least_db: float) -> None:
    """In mm and in the world frame, harmonics turned: seen from the capture's own poses."""
    file = tmp_path / "x.ply"
    record = export_run(run, ExportConfig(run.folder, file, keep_all=keep_all))
    assert record["unit"] == "mm"
    top, held_out = frames()
    splats = read_splats(file)
    assert (len(splats["means"]) == run.model.num_points) == keep_all
    for view in (0, 3):
        picture, _, alpha = look(splats, held_out[view], top)
        camera, _ = run.datamanager.eval_view(view)
        with torch.no_grad():
            own = run.model.get_outputs_for_camera(camera)
        background = own["background"].cpu().numpy()
        composite = np.clip(picture + (1 - alpha[..., None]) * background, 0, 1)
        assert psnr(composite, own["rgb"].cpu().numpy()) > least_db


def test_lengths_are_true(exported: Exported) -> None:
    """Distances between points of the object in one view, as the exported splats show them and as they are."""
    splats = read_splats(exported.folder / "splats.ply")
    top, held_out = frames()
    generator = np.random.default_rng(0)
    ratios = []
    for frame in held_out:
        _, depth, alpha = look(splats, frame, top)
        truth = np.load(POD / frame["depth_file_path"]).squeeze()
        rows, columns = np.nonzero((truth > 0) & (alpha > 0.9))
        chosen = generator.choice(len(rows), 60, replace=False)
        rows, columns = rows[chosen], columns[chosen]
        ray = np.stack([(columns + 0.5 - top["cx"]) / top["fl_x"], (rows + 0.5 - top["cy"]) / top["fl_y"]], axis=1)
        ray = np.concatenate([ray, np.ones((len(ray), 1))], axis=1)
        pose = np.array(frame["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
        found, true = ((ray * z[rows, columns, None]) @ pose[:3, :3].T + pose[:3, 3] for z in (depth, truth))
        i, j = np.triu_indices(len(rows), 1)
        length = np.linalg.norm(true[i] - true[j], axis=1)
        far = length > 8  # the object is 22 mm across
        assert far.sum() > 100
        ratios.append((np.linalg.norm(found[i] - found[j], axis=1) / length)[far])
    assert abs(np.median(np.concatenate(ratios)) - 1) < METRIC_ERROR


def test_a_width_is_true(exported: Exported) -> None:
    """Between the two points where the object's outline crosses the middle of a view: the splats' against the truth's.

    Unlike distances along given rays it would show if all were larger or smaller about the object's middle.
    """
    splats = read_splats(exported.folder / "splats.ply")
    top, held_out = frames()

    def width(inside: np.ndarray) -> float:
        band = inside[100:140]  # rows; the object is 22 mm, 230 pixels
        return float(np.mean([np.ptp(np.flatnonzero(row)) for row in band]))

    ratios = []
    for frame in held_out:
        truth = np.load(POD / frame["depth_file_path"]).squeeze()
        ratios.append(width(look(splats, frame, top)[2] > 0.5) / width(truth > 0))
    assert abs(np.mean(ratios) - 1) < METRIC_ERROR, ratios


def test_a_folder_holds_everything(exported: Exported) -> None:
    assert sorted(path.name for path in exported.folder.iterdir()) == sorted([*EVERYTHING, "export.json"])
    record = json.loads((exported.folder / "export.json").read_text())
    assert record["splats"] == PlyData.read(str(exported.folder / "splats.ply"))["vertex"].count
    assert (exported.folder / "splats.splat").stat().st_size == 32 * record["splats"]
    for name in ("splats.ply", "points.ply", "mesh.ply"):
        assert "units: mm" in PlyData.read(str(exported.folder / name)).comments
    low, high = np.array(record["extent"])
    bounds = np.array(frames()[0]["object_bounds_mm"])
    assert (low < bounds[0] + 3).all()
    assert (high > bounds[1] - 3).all()
    assert (np.maximum(bounds[0] - low, high - bounds[1]) < 12).all()


def test_the_mesh_is_the_object(exported: Exported) -> None:
    """Surface points of the truth, in mm, lie on the mesh; so short a training is rough."""
    mesh = trimesh.load(exported.folder / "mesh.ply", process=False)
    points = PlyData.read(str(exported.folder / "points.ply"))["vertex"]
    assert points.count == len(mesh.vertices) > 2000
    top, held_out = frames()
    tree = cKDTree(mesh.vertices)
    for frame in held_out[:2]:
        truth = np.load(POD / frame["depth_file_path"]).squeeze()
        rows, columns = np.nonzero(truth > 0)
        z = truth[rows, columns]
        x, y = (columns + 0.5 - top["cx"]) / top["fl_x"] * z, (rows + 0.5 - top["cy"]) / top["fl_y"] * z
        pose = np.array(frame["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
        world = np.stack([x, y, z], axis=1) @ pose[:3, :3].T + pose[:3, 3]
        assert np.median(tree.query(world)[0]) < 0.6


def test_the_crop_box(run: Run, tmp_path: Path) -> None:
    record = export_run(run, ExportConfig(run.folder, tmp_path / "x.ply", crop=(0, -100, -100, 100, 100, 100)))
    means = read_splats(tmp_path / "x.ply")["means"]
    assert record["taken_off"]["cropped"] > 0
    assert float(means[:, 0].min()) >= 0
    with pytest.raises(MacroSplatError, match="nothing is left to export"):
        export_run(run, ExportConfig(run.folder, tmp_path / "y.ply", crop=(500, 500, 500, 600, 600, 600)))
    with pytest.raises(MacroSplatError, match="the box is empty"):
        export_run(run, ExportConfig(run.folder, tmp_path / "y.ply", crop=(0, 0, 0, 1, -1, 1)))
    assert not (tmp_path / "y.ply").exists()


@pytest.mark.parametrize(
    ("name", "what", "complaint"),
    [
        ("x.glb", "splats", r"splats are written as \.ply or \.splat or \.spz"),
        ("x.spz", "mesh", r"mesh are written as \.ply or \.obj"),
        ("there.ply", "splats", r"exists already; give another name, or --overwrite"),
        ("folder", "splats", r"splats\.spz exists already"),
    ],
)
def test_what_is_refused(run: Run, tmp_path: Path, name: str, what: Any, complaint: str) -> None:
    (tmp_path / "there.ply").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "splats.spz").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MacroSplatError, match=complaint):
        export_run(run, ExportConfig(run.folder, tmp_path / name, what=what))
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.ply").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"clean": CleanConfig(min_opacity=7)}, "--min-opacity 7: must be 0 or more, and less than 1"),
        ({"clean": CleanConfig(min_opacity=-0.1)}, "--min-opacity -0.1: must be"),
        ({"clean": CleanConfig(max_size=-1)}, "--max-size -1: must be more than 0"),
        ({"clean": CleanConfig(reach=math.nan)}, "--reach nan: must be more than 0"),
        ({"voxel": math.inf}, "--voxel inf: must be a positive length"),
    ],
)
def test_impossible_options(tmp_path: Path, options: dict[str, Any], complaint: str) -> None:
    """By name and value, before the run is loaded."""
    with pytest.raises(MacroSplatError, match=f"^{re.escape(complaint)}"):
        ExportConfig(tmp_path, tmp_path / "x.ply", **options).planned_files()


def test_endings_in_capitals(run: Run, tmp_path: Path) -> None:
    for name in ("A.PLY", "A.Splat", "A.SPZ"):
        export_run(run, ExportConfig(run.folder, tmp_path / name))
        assert (tmp_path / name).stat().st_size > 1000
    export_run(run, ExportConfig(run.folder, tmp_path / "M.PLY", what="mesh", voxel=1.0))
    export_run(run, ExportConfig(run.folder, tmp_path / "P.PLY", what="points", voxel=1.0))
    assert (
        PlyData.read(str(tmp_path / "P.PLY"))["vertex"].count == PlyData.read(str(tmp_path / "M.PLY"))["vertex"].count
    )


def test_overwrite(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.ply").write_text("old")
    export_run(run, ExportConfig(run.folder, tmp_path / "x.ply", overwrite=True))
    assert len(read_splats(tmp_path / "x.ply")["means"]) > 1000
