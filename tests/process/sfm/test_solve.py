"""Structure from motion: a textured box on a turntable before a ground that stands still, from poses known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif
from macro_splat.photographs.load import Photograph, find_photographs
from macro_splat.process.poses import Poses
from macro_splat.process.sfm.colmap import load_pycolmap
from macro_splat.process.sfm.inputs import focal_length_px
from macro_splat.process.sfm.solve import StructureFromMotion
from macro_splat.process.sfm.world import move_cameras, upright_world
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace
from macro_splat.utils.progress import ProgressCallback, no_progress

pytestmark = pytest.mark.slow

pytest.importorskip("pycolmap", reason="finding poses is an extra: pip install 'macro-splat[process]'")

WIDTH, HEIGHT, FOCAL, VIEWS = 320, 240, 420.0, 8


def texture(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Coloured noise with detail of all sizes."""
    layers = [cv2.resize(rng.normal(size=(n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) for n in (8, 24, 64)]
    noise = sum(layers)
    return np.clip(128 + 45 * noise, 0, 255).astype(np.uint8)


def turntable_pose(angle: float) -> NDArray[np.float64]:
    """A camera 4 units from the origin, above the horizon, OpenGL axes."""
    back = np.array([0.8 * np.cos(angle), 0.8 * np.sin(angle), 0.6])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
    pose[:3, 3] = 4 * back
    return pose


def faces(rng: np.random.Generator) -> list[tuple[NDArray[np.float64], NDArray[np.uint8]]]:
    """The box's faces that can be seen from above: corners [4, 3] from the texture's upper left, clockwise."""
    a = 0.75
    top = np.array([(-a, a, a), (a, a, a), (a, -a, a), (-a, -a, a)])
    side = np.array([(a, -a, a), (a, a, a), (a, a, -a), (a, -a, -a)])
    angles = np.pi / 2 * np.arange(4)
    turns = [np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]]) for t in angles]
    return [(top, texture(rng, 256))] + [(side @ turn.T, texture(rng, 256)) for turn in turns]


def render(
    pose: NDArray[np.float64], box: list, ground: NDArray[np.uint8], width: int = WIDTH
) -> tuple[NDArray, NDArray]:
    """Picture [H, W, 3] and mask [H, W] of the box, which is convex: faces that look at the camera are seen.

    Drawn at four times the size and averaged, so that slanted faces do not alias. Wider ones show the same, finer.
    """
    height, focal = width * HEIGHT // WIDTH, FOCAL * width / WIDTH
    size = (4 * width, 4 * height)
    picture, mask = cv2.resize(ground, size), np.zeros((size[1], size[0]), np.uint8)
    world_to_camera = np.diag([1.0, -1.0, -1.0, 1.0]) @ np.linalg.inv(pose)
    for corners, image in box:
        normal = np.cross(corners[3] - corners[0], corners[1] - corners[0])
        if normal @ (pose[:3, 3] - corners[0]) <= 0:
            continue
        seen = corners @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        pixels = 4 * (focal * seen[:, :2] / seen[:, 2:] + (width / 2, height / 2)) - 0.5  # centres at integers
        n = len(image) - 0.5
        square = np.array([(-0.5, -0.5), (n, -0.5), (n, n), (-0.5, n)], np.float32)
        homography = cv2.getPerspectiveTransform(square, pixels.astype(np.float32))
        covered = cv2.warpPerspective(np.full(image.shape[:2], 255, np.uint8), homography, size) > 127
        picture[covered] = cv2.warpPerspective(image, homography, size, borderMode=cv2.BORDER_REPLICATE)[covered]
        mask[covered] = 255
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return small, cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)


@dataclass
class Turntable:
    stacks: list[Stack]
    masks: dict[str, Path]
    scores: dict[str, float]
    truth: dict[str, NDArray[np.float64]]


def photographs(folder: Path, exif: Exif) -> list[Photograph]:
    return [Photograph(p.path, p.name, p.width, p.height, exif) for p in find_photographs(folder)]


@pytest.fixture(scope="module")
def turntable(tmp_path_factory: pytest.TempPathFactory) -> Turntable:
    """Eight stacks of a blurred and a sharp slice each, with masks; EXIF tells the focal length, 8 % wrong."""
    folder = tmp_path_factory.mktemp("turntable")
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    box, ground = faces(rng), cv2.resize(texture(rng, 320), (WIDTH, HEIGHT))
    truth, masks = {}, {}
    for i in range(VIEWS):
        pose = turntable_pose(np.deg2rad(18.0 * i))
        picture, mask = render(pose, box, ground)
        for slice_name, image in (("a", cv2.GaussianBlur(picture, (0, 0), 4.0)), ("b", picture)):
            name = f"{i}{slice_name}.png"
            Image.fromarray(image).save(folder / name)
            Image.fromarray(mask).save(folder / "masks" / name)
            truth[name], masks[name] = pose, folder / "masks" / name
    exif = Exif(focal_length_mm=50.0, pixel_pitch_mm=50.0 / FOCAL * 1.08)
    found = photographs(folder, exif)
    stacks = [Stack(str(i), tuple(p for p in found if p.name.startswith(str(i)))) for i in range(VIEWS)]
    scores = {p.name: float(p.name.endswith("b.png")) for p in found}
    return Turntable(stacks, masks, scores, truth)


def run(turntable: Turntable, folder: Path, progress: ProgressCallback = no_progress, **options) -> Poses:
    arguments = {"masks": turntable.masks, "scores": turntable.scores} | options
    return StructureFromMotion(turntable.stacks, Workspace(folder, 1, progress), **arguments).reconstruct()


@pytest.fixture(scope="module")
def result(turntable: Turntable, tmp_path_factory: pytest.TempPathFactory) -> Poses:
    return run(turntable, tmp_path_factory.mktemp("work"))


def align(found: NDArray, true: NDArray) -> tuple[float, NDArray, NDArray]:
    """Scale, rotation, translation from found to true positions [N, 3] (S. Umeyama, 1991)."""
    a, b = found - found.mean(axis=0), true - true.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(s) @ sign) / (a**2).sum()
    return scale, rotation, true.mean(axis=0) - scale * rotation @ found.mean(axis=0)


def test_poses_are_the_true_ones(turntable: Turntable, result: Poses) -> None:
    names = sorted(result.photographs)
    assert names == sorted(turntable.truth)
    found = np.stack([result.photographs[n].camera_to_world for n in names])
    true = np.stack([turntable.truth[n] for n in names])
    scale, rotation, translation = align(found[:, :3, 3], true[:, :3, 3])
    off = np.linalg.norm(scale * found[:, :3, 3] @ rotation.T + translation - true[:, :3, 3], axis=1)
    cosine = (np.einsum("vij,vij->v", rotation @ found[:, :3, :3], true[:, :3, :3]) - 1) / 2
    assert np.median(off) < 0.01 * 4
    assert np.rad2deg(np.arccos(np.clip(np.median(cosine), -1, 1))) < 1.0
    lens = result.photographs[names[0]].intrinsics
    assert (lens.width, lens.height) == (WIDTH, HEIGHT)
    assert lens.fl_x == pytest.approx(FOCAL, rel=0.05)
    # The points lie on the box: the largest coordinate of each is half its edge.
    points = scale * result.points.xyz @ rotation.T + translation
    assert np.median(np.abs(np.abs(points).max(axis=1) - 0.75)) < 0.03


def test_sharpest_slice_registers_for_its_stack(result: Poses) -> None:
    assert result.registered == frozenset(f"{i}b.png" for i in range(VIEWS))
    assert result.unregistered == ()
    for i in range(VIEWS):
        blurred, sharp = (result.photographs[f"{i}{name}.png"] for name in "ab")
        np.testing.assert_array_equal(blurred.camera_to_world, sharp.camera_to_world)


def test_world_is_upright_and_points_have_colours(turntable: Turntable, result: Poses) -> None:
    poses = np.stack([posed.camera_to_world for posed in result.photographs.values()])
    assert (poses[:, 2, 1] > 0.5).all()  # the cameras' up is up
    assert np.linalg.norm(np.median(result.points.xyz, axis=0)) < 0.1  # medians by coordinate do not turn along
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1, atol=1e-9)
    assert 0 < result.reprojection_error_px < 1.5
    assert result.points.rgb.std(axis=0).min() > 15
    # A point's colour is that of the pixel where a camera sees it.
    name = "3b.png"
    lens, pose = result.photographs[name].intrinsics, result.photographs[name].camera_to_world
    stack = next(p for s in turntable.stacks for p in s.photographs if p.name == name)
    picture = cv2.GaussianBlur(np.asarray(Image.open(stack.path)), (0, 0), 1.0)
    seen = (result.points.xyz - pose[:3, 3]) @ pose[:3, :3]
    x = (lens.fl_x * seen[:, 0] / -seen[:, 2] + lens.cx).astype(int)
    y = (lens.fl_y * seen[:, 1] / seen[:, 2] + lens.cy).astype(int)
    inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    difference = np.abs(picture[y[inside], x[inside]].astype(int) - result.points.rgb[inside]).mean(axis=1)
    assert np.median(difference) < 30


def test_interrupted_run_goes_on_and_ends_alike(turntable: Turntable, result: Poses, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "comparing" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(turntable, tmp_path, progress=interrupt)
    steps: list[tuple[str, int]] = []
    again = run(turntable, tmp_path, progress=lambda what, done, total: steps.append((what, done)))
    assert next(done for what, done in steps if what == "comparing") > 0  # it did not start anew
    for name, posed in result.photographs.items():
        np.testing.assert_allclose(again.photographs[name].camera_to_world, posed.camera_to_world, atol=1e-9)
    steps.clear()
    run(turntable, tmp_path, progress=lambda what, done, total: steps.append((what, done)))
    assert not steps  # nothing was left to do


def test_alien_photograph_is_named(turntable: Turntable, tmp_path: Path) -> None:
    """It finds no place, not even seen from aslant; the others keep theirs."""
    rng = np.random.default_rng(9)
    Image.fromarray(cv2.resize(texture(rng, 128), (128, 96))).save(tmp_path / "alien.png")
    alien = photographs(tmp_path, Exif())
    few = [Stack(s.id, s.photographs[1:]) for s in turntable.stacks[:4]]
    stacks = [*few, Stack("x", tuple(alien))]
    found = StructureFromMotion(stacks, Workspace(tmp_path, threads=1), masks=turntable.masks).reconstruct()
    assert found.unregistered == ("alien.png",)
    assert len(found.photographs) == 4


def test_nothing_that_fits_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for i in range(3):
        Image.fromarray(cv2.resize(texture(rng, 96), (96, 72))).save(tmp_path / f"{i}.png")
    stacks = [Stack(p.name, (p,)) for p in find_photographs(tmp_path)]
    with pytest.raises(MacroSplatError, match=r"no poses .* 0\.png, 1\.png, 2\.png: .*overlap"):
        StructureFromMotion(stacks, Workspace(tmp_path, threads=1)).reconstruct()
    with pytest.raises(MacroSplatError, match="1 viewpoint"):
        StructureFromMotion(stacks[:1], Workspace(tmp_path)).reconstruct()


def test_masks_that_do_not_fit_are_refused(turntable: Turntable, tmp_path: Path) -> None:
    Image.new("L", (HEIGHT, WIDTH), 255).save(tmp_path / "wrong.png")  # turned by a quarter
    with pytest.raises(MacroSplatError, match="240x320"):
        run(turntable, tmp_path, masks=dict.fromkeys(turntable.masks, tmp_path / "wrong.png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(MacroSplatError, match=r"broken\.png"):
        run(turntable, tmp_path, masks=dict.fromkeys(turntable.masks, tmp_path / "broken.png"))


def test_without_pycolmap_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pycolmap", None)
    with pytest.raises(MacroSplatError, match=r"macro-splat\[process\]"):
        load_pycolmap()


def ring(rng: np.random.Generator, roll: float) -> NDArray[np.float64]:
    """Twelve cameras around the z axis, turned about their own axes by up to `roll`."""
    poses = np.stack([turntable_pose(a) for a in np.arange(12) * np.pi / 6])
    for pose in poses:
        turn = rng.uniform(-roll, roll)
        pose[:3, :3] = pose[:3, :3] @ [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    return poses


@pytest.mark.parametrize(("roll", "part"), [(0.05, 12), (0.05, 4), (np.pi, 12)])
def test_upright_world_undoes_any_similarity(roll: float, part: int) -> None:
    rng = np.random.default_rng(1)
    poses = ring(rng, roll)[:part]
    points = rng.normal(scale=0.3, size=(200, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    moved = move_cameras(poses, 7.0, turn, np.array([3.0, -2.0, 5.0]))
    cloud = 7.0 * points @ turn.T + (3.0, -2.0, 5.0)
    similarity = upright_world(moved, cloud)
    back = move_cameras(moved, *similarity)
    up = similarity[1] @ turn @ [0.0, 0.0, 1.0]
    assert up[2] > np.cos(np.deg2rad(6))
    assert np.median(np.linalg.norm(back[:, :3, 3], axis=1)) == pytest.approx(1.0)
    scale, rotation, translation = similarity
    np.testing.assert_allclose(np.median(scale * cloud @ rotation.T + translation, axis=0), 0, atol=0.05)


@pytest.mark.parametrize(
    ("focal_mm", "pitch_mm", "magnification", "expected"),
    [(100.0, 0.01, None, 5000.0), (100.0, 0.01, 1.0, 10000.0), (None, 0.01, None, None), (100.0, 1.0, None, None)],
)
def test_focal_length_by_exif(
    focal_mm: float | None, pitch_mm: float, magnification: float | None, expected: float | None
) -> None:
    """In pixels of a picture of half the size; longer when focused close; what cannot be counts as unknown."""
    exif = Exif(focal_length_mm=focal_mm, pixel_pitch_mm=pitch_mm, magnification=magnification)
    assert focal_length_px(Photograph(Path("a.jpg"), "a.jpg", 4000, 3000, exif), 2000) == expected
