"""Scale from markers: pictures of a known board from known poses, in units that are not millimetres."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from macro_splat.capture.format import Intrinsics
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph, find_photographs, load_photograph
from macro_splat.process.scale.markers import Sighting, TargetFinder
from macro_splat.process.scale.measure import Scale, scale_from_markers, undistort
from macro_splat.process.scale.search import search_target
from macro_splat.process.targets import CharucoBoard, LooseMarkers, MarkerGrid, MarkerPair, Target
from macro_splat.process.workspace import Workspace

MM_PER_UNIT = 37.0
PIXELS_PER_MM = 12
LENS = Intrinsics(900.0, 900.0, 250.0, 195.0, 500, 400)
BOARD = CharucoBoard(columns=6, rows=5, square_mm=8.0, marker_mm=6.0)
DICTIONARY = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)


def charuco_print(legacy: bool = False) -> np.ndarray:
    board = cv2.aruco.CharucoBoard((BOARD.columns, BOARD.rows), BOARD.square_mm, BOARD.marker_mm, DICTIONARY)
    board.setLegacyPattern(legacy)
    size = tuple(int(n * BOARD.square_mm * PIXELS_PER_MM) for n in (BOARD.columns, BOARD.rows))
    return board.generateImage(size)


def loose_print(marker_mm: float, places_mm: list[tuple[float, float]], size_mm: tuple[int, int]) -> np.ndarray:
    """Markers 0, 1, ... with their upper left corners at these places."""
    sheet = np.full((size_mm[1] * PIXELS_PER_MM, size_mm[0] * PIXELS_PER_MM), 255, np.uint8)
    edge = int(marker_mm * PIXELS_PER_MM)
    for number, (x, y) in enumerate(places_mm):
        column, row = int(x * PIXELS_PER_MM), int(y * PIXELS_PER_MM)
        sheet[row : row + edge, column : column + edge] = cv2.aruco.generateImageMarker(DICTIONARY, number, edge)
    return sheet


def pose(angle: float, tilt: float, distance_mm: float) -> np.ndarray:
    """A camera that looks at the origin of the board's plane z = 0, OpenGL axes, in mm."""
    back = np.array([np.sin(tilt) * np.cos(angle), np.sin(tilt) * np.sin(angle), np.cos(tilt)])
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    camera = np.eye(4)
    camera[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
    camera[:3, 3] = distance_mm * back
    return camera


def photograph_print(sheet: np.ndarray, camera_mm: np.ndarray, blur: float, seed: int) -> np.ndarray:
    """The sheet, centred at the origin with its rows along -y, as the camera sees it: [H, W, 3]."""
    height, width = sheet.shape
    # Pixel (u, v) of the sheet, centre at u + ½ -> mm -> camera -> pixel.
    to_mm = np.array(
        [[1, 0, 0.5 - width / 2], [0, -1, height / 2 - 0.5], [0, 0, PIXELS_PER_MM]], dtype=float
    )  # homogeneous, of the plane z = 0
    world_to_camera = np.diag([1.0, -1.0, -1.0]) @ np.linalg.inv(camera_mm)[:3]
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # to OpenCV's pixels, centres at integers
    calibration = half @ np.array([[LENS.fl_x, 0, LENS.cx], [0, LENS.fl_y, LENS.cy], [0, 0, 1]])
    homography = calibration @ world_to_camera[:, [0, 1, 3]] @ to_mm
    large = np.diag([4.0, 4.0, 1.0])  # rendered at four times the size, then averaged
    large[:2, 2] = 1.5
    picture = cv2.warpPerspective(
        sheet, large @ homography, (4 * LENS.width, 4 * LENS.height), flags=cv2.INTER_LINEAR, borderValue=200
    )
    small = cv2.resize(picture, (LENS.width, LENS.height), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), blur) if blur else small
    small += np.random.default_rng(seed).normal(0, 2, small.shape).astype(np.float32)
    return np.repeat(np.clip(small, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def measure(
    folder: Path, sheet: np.ndarray, target: Target, views: int = 6, blur: float = 1.0, spoil: bool = False
) -> Scale:
    """Photograph the sheet from all around, and measure the scale of poses that are given in other units."""
    poses, names = {}, []
    for i in range(views):
        camera = pose(2 * np.pi * i / max(views, 1) + 0.3, 0.35 + 0.05 * (i % 3), 130.0 + 5 * i)
        name = f"{i}.png"
        Image.fromarray(photograph_print(sheet, camera, blur, seed=i)).save(folder / name)
        camera[:3, 3] /= MM_PER_UNIT
        if spoil and i == 1:
            camera[:3, 3] += 0.7  # one camera is where it is not
        poses[name] = camera
        names.append(name)
    lenses = dict.fromkeys(names, LENS)
    return scale_from_markers(find_photographs(folder), poses, lenses, target, Workspace(folder / "work"))


@pytest.mark.parametrize("blur", [0.0, 2.5])  # px; a cell of the code has 7
def test_charuco_board_gives_the_scale(tmp_path: Path, blur: float) -> None:
    scale = measure(tmp_path, charuco_print(), BOARD, blur=blur)
    assert scale.mm_per_unit == pytest.approx(MM_PER_UNIT, rel=0.005)
    assert scale.deviation < 0.005 * MM_PER_UNIT
    inner = (BOARD.columns - 1) * (BOARD.rows - 1)
    assert scale.points == inner if blur == 0.0 else inner // 2 <= scale.points <= inner  # blur hides some codes
    assert len(scale.photographs) == 6


def test_a_second_search_reads_only_changed_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(3):
        camera = pose(i + 0.3, 0.4, 130.0)
        Image.fromarray(photograph_print(charuco_print(), camera, 1.0, seed=i)).save(folder / f"{i}.png")
    Image.new("RGB", (LENS.width, LENS.height)).save(folder / "empty.png")
    opened: list[str] = []

    def load(photograph: Photograph, edge: int | None = None) -> np.ndarray:
        opened.append(photograph.name)
        return load_photograph(photograph, edge)

    def search(target: Target = BOARD, threads: int = 2) -> list[Sighting | None]:
        opened.clear()
        photographs = find_photographs(folder)
        progress: list[int] = []
        found = search_target(
            photographs,
            target,
            Workspace(tmp_path, threads, lambda what, done, total: progress.append(done)),
            max_edge=4000,
        )
        assert progress == [0, 1, 2, 3, 4]
        return found

    monkeypatch.setattr("macro_splat.process.scale.search.load_photograph", load)
    first = search()
    assert sorted(opened) == ["0.png", "1.png", "2.png", "empty.png"]
    again = search(threads=1)
    assert opened == []
    assert first[3] is again[3] is None
    for a, b in zip(first[:3], again[:3], strict=True):
        assert a is not None
        assert b is not None
        assert a.deviation_px == b.deviation_px
        assert {mark: tuple(xy) for mark, xy in a.xy.items()} == {mark: tuple(xy) for mark, xy in b.xy.items()}
    search(LooseMarkers(10.0))
    assert len(opened) == 4
    Image.new("RGB", (LENS.width, LENS.height), "white").save(folder / "1.png")
    assert search()[1] is None


def test_one_wrong_pose_does_not_spoil_it(tmp_path: Path) -> None:
    scale = measure(tmp_path, charuco_print(), BOARD, spoil=True)
    assert scale.mm_per_unit == pytest.approx(MM_PER_UNIT, rel=0.005)


@pytest.mark.slow
def test_other_targets(tmp_path: Path) -> None:
    places = [(4.0, 4.0), (36.0, 22.0)]
    sheet = loose_print(10.0, places, (50, 36))
    for name, target in {
        "loose": LooseMarkers(10.0),
        "pair": MarkerPair(0, 1, float(np.hypot(32.0, 18.0))),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        scale = measure(folder, sheet, target)
        assert scale.mm_per_unit == pytest.approx(MM_PER_UNIT, rel=0.01), name
    folder = tmp_path / "grid"
    folder.mkdir()
    grid = loose_print(10.0, [(4 + 14 * (n % 3), 4 + 14 * (n // 3)) for n in range(6)], (46, 32))
    scale = measure(folder, grid, MarkerGrid(3, 2, 10.0, 4.0))
    assert scale.mm_per_unit == pytest.approx(MM_PER_UNIT, rel=0.005)


def test_too_few_views_say_so(tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match=r"seen in 2 of 2 .*0\.png, 1\.png.*at least three"):
        measure(tmp_path, charuco_print(), BOARD, views=2)


def test_no_board_says_so(tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match="seen in 0 of 4"):
        measure(tmp_path, np.full((480, 576), 255, np.uint8), BOARD, views=4)


def test_blur_lowers_the_weight() -> None:
    camera = pose(0.3, 0.3, 130.0)
    finder = TargetFinder(BOARD)
    found = [finder.find(photograph_print(charuco_print(), camera, blur, seed=0)) for blur in (0.0, 1.0, 2.0)]
    deviations = [s.deviation_px for s in found if isinstance(s, Sighting)]
    assert len(deviations) == 3
    assert deviations[0] < deviations[1] < deviations[2]


def test_board_of_an_older_pattern() -> None:
    """A board with an even number of rows has its markers in other squares before OpenCV 4.6."""
    even = CharucoBoard(6, 4, 8.0, 6.0)
    board = cv2.aruco.CharucoBoard((6, 4), 8.0, 6.0, DICTIONARY)
    board.setLegacyPattern(True)
    picture = np.repeat(cv2.copyMakeBorder(board.generateImage((480, 320)), *[40] * 4, 0, value=255)[..., None], 3, 2)
    sighting = TargetFinder(even).find(picture)
    assert sighting is not None
    assert len(sighting.xy) == 5 * 3


@pytest.mark.parametrize(
    "target",
    [
        CharucoBoard(5, 5, 8.0, 9.0),
        CharucoBoard(5, 5, 8.0, -1.0),
        CharucoBoard(5, 5, 8.0, 6.0, dictionary="of mine"),
        CharucoBoard(50, 50, 8.0, 6.0),
        CharucoBoard(1, 1, 8.0, 6.0),
        MarkerPair(3, 3, 20.0),
        MarkerPair(-1, 3, 20.0),
        MarkerPair(1, 50, 20.0),
    ],
)
def test_impossible_targets_are_refused(target: Target) -> None:
    with pytest.raises(MacroSplatError):
        TargetFinder(target)


def test_undistortion_inverts_the_distortion() -> None:
    lens = Intrinsics(800.0, 820.0, 300.0, 210.0, 600, 400, (0.1, -0.05, 0.02, 0.01, 0.002, -0.001))
    rng = np.random.default_rng(0)
    x, y = plane = rng.uniform(-0.35, 0.35, (2, 50))
    k1, k2, k3, k4, p1, p2 = lens.distortion
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
    seen_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    seen_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    pixels = np.stack([seen_x * lens.fl_x + lens.cx, seen_y * lens.fl_y + lens.cy], axis=1)
    np.testing.assert_allclose(undistort(pixels, lens), plane.T, atol=1e-9)
