"""The report of a training: what it says is so, and nothing in it is what it should not be."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from macro_splat.evaluation.pictures import psnr
from macro_splat.report.events import read_scalars
from macro_splat.report.measured_views import measure_views
from macro_splat.report.run_geometry import RunGeometry, run_geometry
from macro_splat.report.training_curves import training_curves
from macro_splat.report.training_report import write_training_report
from macro_splat.report.wipe import BUDGET_BYTES, Wipe, wipe_section
from macro_splat.runs.load import Run, load_run
from macro_splat.training.record import read_record, write_record

EVIL = '<img src=x onerror="alert(1)">&.jpg'


class Elements(HTMLParser):
    """All start tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def run(trained_run: Path) -> Run:
    return load_run(trained_run)


@pytest.fixture(scope="module")
def page(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a capture whose first photograph has a name that is markup."""
    _ = run.datamanager.cached_train  # read under their true names
    images = run.datamanager.train_dataset._dataparser_outputs.image_filenames
    true = images[0]
    images[0] = true.with_name(EVIL)
    try:
        path = write_training_report(run, tmp_path_factory.mktemp("page") / "page.html")
    finally:
        images[0] = true
    return path.read_text(encoding="utf-8")


# --- the whole page -----------------------------------------------------------------------------------------------


def test_a_training_leaves_its_report_and_how_it_was_made(trained_run: Path) -> None:
    assert (trained_run / "report.html").stat().st_size < 10_000_000
    record = read_record(trained_run)
    assert record is not None
    assert record["command"][0] == "ns-train"
    assert "--max-num-iterations" in record["command"]
    assert str(record["steps"]) == record["command"][record["command"].index("--max-num-iterations") + 1]
    assert record["seconds"] > 0
    html = (trained_run / "report.html").read_text(encoding="utf-8")
    assert "ns-train macro-splat --data" in html
    assert record["versions"]["torch"] in html


def test_the_page_asks_for_nothing_and_is_small(page: str) -> None:
    assert len(page.encode()) < 10_000_000
    for tag, attributes in Elements(page).found:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, name, value[:80])


def test_names_are_text_and_never_markup(page: str) -> None:
    elements = Elements(page).found
    assert not any("onerror" in attributes for _, attributes in elements)
    assert any(EVIL in (attributes.get("alt") or "") for _, attributes in elements) or "&lt;img src=x" in page
    assert "<img src=x" not in page


def test_it_shows_every_part(page: str) -> None:
    for part in ("Before and after", "How well it agrees", "The lenses", "How the training went", "The run"):
        assert f"<h2>{part}</h2>" in page
    layers = {attributes.get("data-layer") for tag, attributes in Elements(page).found if tag == "img"}
    assert {"photograph", "sharp", "re-blurred", "blur map", "all in focus"} <= layers
    figures = {attributes.get("data-figure") for tag, attributes in Elements(page).found if tag == "div"}
    assert {"focus-chart", "loss-chart", "psnr-chart", "gaussians-chart"} <= figures


def test_it_speaks_of_photographs_by_their_own_names(page: str) -> None:
    """Not by the folder that all share; and says that a long table goes on."""
    spans = re.findall(r"<button [^>]*><img [^>]*><span>([^<]*)</span>", page)
    rows = re.findall(r'<th scope="row">([^<]*)</th>', page)
    assert len(spans) == 8
    assert {"002.jpg", "023.jpg"} <= set(rows)
    assert not any("/" in name for name in spans)
    assert not re.search(r"images/\d", page)
    assert page.count("24 views; scroll for the rest.") == 1
    assert "6 views; scroll" not in page


# --- figures ------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_pictures_and_the_lens_explains_the_blur(run: Run) -> None:
    told: list[tuple[int, int]] = []
    views = measure_views(run, lambda what, done, total: told.append((done, total)))
    assert told[-1] == (len(views), len(views))
    training = [view for view in views if view.index is not None]
    assert len(training) == len(run.names)
    for view in training:
        assert view.figures["blurred_psnr"] > view.figures["sharp_psnr"], view.name
    shown = next(view for view in training if view.pictures)
    photograph, sharp, blurred = (
        torch.from_numpy(shown.pictures[name]).float() / 255 for name in ("photograph", "sharp", "re-blurred")
    )
    assert shown.figures["sharp_psnr"] == pytest.approx(psnr(sharp, photograph), abs=0.1)
    assert shown.figures["blurred_psnr"] == pytest.approx(psnr(blurred, photograph), abs=0.1)
    assert shown.index is not None
    with Image.open(run.data / run.names[shown.index]) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - shown.pictures["photograph"]).max() <= 1
    held_out = [view for view in views if view.index is None]
    assert len(held_out) == len(run.datamanager.eval_dataset)
    assert all("truth_psnr" in view.figures for view in held_out)


def test_the_viewers_lens_does_not_get_into_the_report(run: Run) -> None:
    from macro_splat.defocus.virtual_lens import VirtualLens

    before = measure_views(run, lambda *_: None)[0].figures
    run.model.virtual_lens = lens = VirtualLens(0.5, 0.2)
    try:
        assert measure_views(run, lambda *_: None)[0].figures == before
        assert run.model.virtual_lens is lens
    finally:
        run.model.virtual_lens = None


# --- lengths ------------------------------------------------------------------------------------------------------


def test_the_size_of_a_box() -> None:
    """From end to end, whichever way it is turned."""
    generator = np.random.default_rng(0)
    box = generator.uniform(-0.5, 0.5, (20_000, 3)) * (12.0, 7.0, 3.0)
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    nothing = np.zeros(0)
    geometry = RunGeometry(
        unit="mm",
        cameras=np.zeros((0, 4, 4)),
        centre=np.zeros(3),
        points=np.zeros((0, 3)),
        object_points=box @ turn.T,
        colours=np.zeros((0, 3), np.uint8),
        focus=None,
        sharp_from=None,
        sharp_to=None,
        object_from=nothing,
        object_to=nothing,
    )
    size = geometry.size()
    assert size is not None
    np.testing.assert_allclose(size, [12.0, 7.0, 3.0], rtol=0.015)


def test_the_size_of_the_capture_s_object(run: Run) -> None:
    """Against the surface that its true depth maps show, along the same axes."""
    geometry = run_geometry(run)
    top = json.loads((run.data / "transforms.json").read_text())
    surface = []
    for frame in top["frames"]:
        if frame["file_path"] in top["test_filenames"]:
            z = np.load(run.data / frame["depth_file_path"]).squeeze()
            rows, columns = np.nonzero(z > 0)
            x, y = (columns + 0.5 - top["cx"]) / top["fl_x"], (rows + 0.5 - top["cy"]) / top["fl_y"]
            pose = np.array(frame["transform_matrix"])
            ray = np.stack([x, -y, -np.ones_like(x)], axis=1)
            surface.append(z[rows, columns, None] * ray @ pose[:3, :3].T + pose[:3, 3])
    axes = np.linalg.eigh(np.cov(geometry.object_points.T))[1]
    true = np.sort(np.ptp(np.concatenate(surface) @ axes, axis=0))[::-1]
    size = geometry.size()
    assert size is not None
    np.testing.assert_allclose(size, true, rtol=0.08)  # thin ends are the last that a training finds


def test_cameras_and_focus_are_those_of_the_capture(run: Run) -> None:
    """The capture's own poses, and its focus distances, which are given there and may be left by little."""
    geometry = run_geometry(run)
    capture = json.loads((run.data / "transforms.json").read_text())
    frames = {frame["file_path"]: frame for frame in capture["frames"]}
    assert geometry.unit == "mm"
    for i, name in enumerate(run.names):
        np.testing.assert_allclose(geometry.cameras[i], frames[name]["transform_matrix"], atol=2e-3)
    given = [frames[name]["focus_distance"] for name in run.names]
    assert geometry.focus is not None
    np.testing.assert_allclose(geometry.focus, given, rtol=0.01)
    assert (geometry.object_from < geometry.object_to).all()


# --- curves -------------------------------------------------------------------------------------------------------


def test_logged_numbers_are_read_back_even_if_the_file_was_cut_off(tmp_path: Path) -> None:
    with SummaryWriter(log_dir=str(tmp_path)) as log:
        for step in range(20):
            log.add_scalar("Train Loss", 0.5 / (step + 1), step)
            log.add_scalar("other/tag", step, step)
    scalars = read_scalars(tmp_path)
    assert [scalar.step for scalar in scalars["Train Loss"]] == list(range(20))
    assert [scalar.value for scalar in scalars["other/tag"]] == list(range(20))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    cut = read_scalars(tmp_path)
    assert cut["Train Loss"] == scalars["Train Loss"]
    assert cut["other/tag"] == scalars["other/tag"][:-1]


def test_a_run_that_logged_nothing_says_so(tmp_path: Path) -> None:
    assert "Nothing was logged" in training_curves(read_scalars(tmp_path))


def test_a_record_that_is_missing_or_broken_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, seconds=1.5, steps=10, gaussians=3, device="cpu")
    record = read_record(tmp_path)
    assert record is not None
    assert (record["seconds"], record["steps"], record["gaussians"]) == (1.5, 10, 3)
    (tmp_path / "training.json").write_text("{")
    assert read_record(tmp_path) is None


# --- wipes --------------------------------------------------------------------------------------------------------


def test_pictures_are_reduced_until_they_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    layers = {name: Image.fromarray(noise) for name in ("photograph", "sharp")}
    html = wipe_section([Wipe(f"view {i}", "", layers) for i in range(2)], "photograph", "sharp")
    assert BUDGET_BYTES / 6 < len(html) < BUDGET_BYTES + 100_000
    assert re.search(r"aspect-ratio:2000/1500", html)


def test_a_report_that_fails_costs_no_training(trained_run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """A report that cannot be written, as `method.py` has the trainer call it."""
    import macro_splat.method  # noqa: F401 (hands the report to the trainer)
    from macro_splat.report import training_report
    from macro_splat.training.finite_gradients import GuardedOptimizers
    from macro_splat.training.trainer import MacroSplatTrainer

    run = load_run(trained_run)
    folder = tmp_path / "run"
    shutil.copytree(trained_run, folder, ignore=shutil.ignore_patterns("report.html", "nerfstudio_models"))
    trainer = MacroSplatTrainer.__new__(MacroSplatTrainer)
    trainer.config, trainer.pipeline, trainer.base_dir, trainer.device = run.config, run.pipeline, folder, "cpu"
    trainer._began, trainer._start_step = 0.0, 0
    trainer.optimizers = GuardedOptimizers({}, {})

    class Lock:
        def __enter__(self) -> None: ...
        def __exit__(self, *_) -> None: ...

    trainer.train_lock = Lock()

    def fail(run: Run) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_report, "write_training_report", fail)
    trainer._finish(step=149)
    assert "No space left on device" in " ".join(capsys.readouterr().out.split())
    assert not (folder / "report.html").exists()
    trainer.config.report = False
    trainer._finish(step=149)
    assert capsys.readouterr().out == ""
