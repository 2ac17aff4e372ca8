"""What a campaign finds, keeps and shows, without Ray."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from macro_splat.campaign import page
from macro_splat.campaign.attempt import Outcome
from macro_splat.campaign.config import CampaignConfig
from macro_splat.campaign.driver import CampaignProgress, Flight
from macro_splat.campaign.page import write_overview
from macro_splat.campaign.ray_cluster import Node, width
from macro_splat.campaign.specimen import Specimen, find_specimens
from macro_splat.campaign.stages import FIGURES, PAGE, THUMBNAIL, Stage, Train, stages_of
from macro_splat.campaign.start import _keep_options, start
from macro_splat.campaign.state import Attempt, State, next_stage
from macro_splat.campaign.table import LiveTable, PlainLines
from macro_splat.errors import MacroSplatError
from tests.campaign.fake_stages import FakeStage, make_specimens

STAGES: list[Stage] = [FakeStage("train"), FakeStage("export")]
EVIL = 'a <script>alert("1")</script>, "b"'


def specimen(tmp_path: Path, name: str = "beetle") -> Specimen:
    return Specimen(name, tmp_path / "in" / name, tmp_path / "out" / name)


class Links(HTMLParser):
    """Addresses, and what would be loaded or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values["href"] or ""] if tag == "a" else []
        self.sources += [values["src"] or ""] if "src" in values else []


# -- specimens -----------------------------------------------------------------------------------------------------


def test_finds_folders_by_name(tmp_path: Path) -> None:
    folder = make_specimens(tmp_path / "in", dict.fromkeys(("b", "a c", ".hidden", "out"), ""))
    (folder / "notes.txt").touch()
    found = find_specimens(folder, folder / "out")
    assert [one.name for one in found] == ["a c", "b"]
    assert found[1].folder == folder / "out" / "b"


def test_capture_trains_as_it_is(tmp_path: Path) -> None:
    one = specimen(tmp_path)
    one.source.mkdir(parents=True)
    process = stages_of(1, 0)[0]
    assert one.capture == one.folder / "capture"
    assert not process.finished(one)
    (one.source / "transforms.json").touch()
    assert one.capture == one.source
    assert process.finished(one)


@pytest.mark.parametrize(("make", "complaint"), [("", "no such folder"), ("in", "no folder in it")])
def test_no_specimens(tmp_path: Path, make: str, complaint: str) -> None:
    (tmp_path / make).mkdir(exist_ok=True)
    with pytest.raises(MacroSplatError, match=complaint):
        find_specimens(tmp_path / "in", tmp_path / "out")


def test_one_capture_is_no_folder_of_specimens(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").touch()
    with pytest.raises(MacroSplatError, match="is one capture"):
        find_specimens(tmp_path, tmp_path / "out")


def test_name_that_the_campaign_needs(tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match=r"index\.html: the campaign writes a file of this name"):
        find_specimens(make_specimens(tmp_path / "in", {"index.html": ""}), tmp_path / "out")


def test_options_that_no_shell_would_read(tmp_path: Path) -> None:
    folder = make_specimens(tmp_path / "in", {"a": ""})
    with pytest.raises(MacroSplatError, match=r"--train-options .*No closing quotation"):
        start(CampaignConfig(folder, tmp_path / "out", train_options="--x 'y"))


# -- stages --------------------------------------------------------------------------------------------------------


def test_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    one, train = specimen(tmp_path), Train(2, 0.5, options=("--steps-per-save", "9"))
    assert "--load-dir" not in train.command(one)
    models = one.run / "nerfstudio_models"
    models.mkdir(parents=True)
    (models / "step-000000099.ckpt").touch()
    command = train.command(one)
    assert command[command.index("--load-dir") + 1] == str(models)
    assert command[-2:] == ["--steps-per-save", "9"]
    assert not train.finished(one)


def test_training_killed_after_its_last_checkpoint_is_finished(tmp_path: Path) -> None:
    """The trainer refuses to go on from there."""
    one = specimen(tmp_path)
    models = one.run / "nerfstudio_models"
    models.mkdir(parents=True)
    (models / "step-000000099.ckpt").touch()
    assert Train(1, 0, iterations=100).finished(one)
    assert not Train(1, 0, iterations=101).finished(one)
    one.log("train", 1).write_text("[12:00] Training for 101 iterations on 3 photographs.\n")
    one.log("train", 2).write_text("killed before it said so\n")
    assert not Train(1, 0).finished(one)
    one.log("train", 3).write_text("[12:00] Training for 100 iterations on 3 photographs.\n")
    assert Train(1, 0).finished(one)


def test_twice_as_many_under_way_as_fit() -> None:
    machines = [Node(8, 1), Node(8, 0)]
    assert width(machines, stages_of(4, 0.5)) == 8  # process fits 4 times, the others twice
    assert width([], stages_of(4, 0.5)) == 2


# -- state ---------------------------------------------------------------------------------------------------------


def test_state_is_read_back(tmp_path: Path) -> None:
    state = State(specimen(tmp_path), "failed", "train: " + EVIL)
    state.attempts = [Attempt("train", 2, "lost", 1.5, 60.0, "node", "the worker died")]
    state.write()
    assert State.read(state.specimen) == state
    assert state.seconds("train") == 60


@pytest.mark.parametrize("content", ["", "[]", '{"attempts": [{"stage": "train"}]}', "\x00"])
def test_broken_state_costs_its_history_only(tmp_path: Path, content: str) -> None:
    one = specimen(tmp_path)
    one.folder.mkdir(parents=True)
    (one.folder / "state.json").write_text(content)
    assert State.read(one) == State(one)


def test_next_stage_is_the_first_without_result(tmp_path: Path) -> None:
    one = specimen(tmp_path)
    one.folder.mkdir(parents=True)
    assert next_stage(one, STAGES) == STAGES[0]
    (one.folder / "train.result").touch()
    assert next_stage(one, STAGES) == STAGES[1]
    (one.folder / "export.result").touch()
    assert next_stage(one, STAGES) is None


@pytest.mark.parametrize(
    "content",
    [
        '{"status": 5, "reason": "", "attempts": []}',
        '{"status": "odd", "reason": "", "attempts": []}',
        '{"status": "done", "reason": ["x"], "attempts": []}',
        '{"status": "done", "reason": "", "attempts": [{"stage": "train"}]}',
        '{"status": "done", "reason": "", "attempts": [{"stage": "train", "number": 1, "outcome": "done", "begun": 0, '
        '"seconds": "a", "node": "", "reason": ""}]}',
        '{"status": "done", "reason": "", "attempts": [{"stage": "train", "number": 1, "outcome": "done", "begun": 0, '
        '"seconds": NaN, "node": "", "reason": ""}]}',
        '{"status": "done", "reason": "", "attempts": [{"stage": "train", "number": 1, "outcome": "done", "begun": 0, '
        f'"seconds": {10**400}, "node": "", "reason": ""}}]}}',
        "[" * 100_000,
    ],
)
def test_broken_files_of_a_specimen_cost_its_history_only(tmp_path: Path, content: str) -> None:
    one = specimen(tmp_path)
    one.folder.mkdir(parents=True)
    (one.folder / "state.json").write_text(content)
    assert State.read(one) == State(one)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[7]",
        f'{{"gaussians": {10**400}}}',
        '{"gaussians": NaN}',
        '{"gaussians": "7"}',
        '{"gaussians": [7]}',
    ],
)
def test_figures_that_are_no_numbers_are_left_out(tmp_path: Path, content: str) -> None:
    state = State(specimen(tmp_path), "done")
    state.specimen.folder.mkdir(parents=True)
    (state.specimen.folder / FIGURES).write_text(content)
    write_overview(tmp_path / "out", [state], STAGES)
    (row,) = csv.DictReader((tmp_path / "out" / "campaign.csv").read_text(encoding="utf-8").splitlines())
    assert (row["status"], row["gaussians"]) == ("done", "")


def test_a_log_that_no_disk_can_hold_is_not_linked(tmp_path: Path) -> None:
    state = State(specimen(tmp_path), "failed", attempts=[Attempt(300 * "x", 1, "failed", 0.0, 1.0)])
    state.specimen.folder.mkdir(parents=True)
    write_overview(tmp_path / "out", [state], STAGES)
    assert Links((tmp_path / "out" / "index.html").read_text(encoding="utf-8")).links == ["campaign.csv"]


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "{"])
def test_broken_options_are_others(tmp_path: Path, content: str) -> None:
    (tmp_path / "campaign.json").write_text(content)
    with pytest.raises(MacroSplatError, match="was begun with other options"):
        _keep_options(tmp_path / "campaign.json", CampaignConfig(tmp_path, tmp_path))


# -- overview ------------------------------------------------------------------------------------------------------


def overview(tmp_path: Path) -> tuple[str, list[dict[str, str]]]:
    done, failed, waiting = (State(specimen(tmp_path, name)) for name in ("a #1?", EVIL.replace("/", "|"), "c"))
    done.status, failed.status, failed.reason = "done", "failed", EVIL
    done.attempts = [Attempt("train", 1, "done", 0.0, 3725.0), Attempt("export", 1, "done", 0.0, 2.0)]
    failed.attempts = [Attempt("train", 1, "failed", 0.0, 1.0)]
    for state in (done, failed):
        state.specimen.folder.mkdir(parents=True)
    failed.specimen.log("train", 1).touch()
    (done.specimen.folder / PAGE).touch()
    figures = {"held_out_truth_psnr": 31.256, "gaussians": 7001, "photographs": EVIL}
    (done.specimen.folder / FIGURES).write_text(json.dumps(figures))
    Image.new("RGB", (256, 200), "red").save(done.specimen.folder / THUMBNAIL)
    write_overview(tmp_path / "out", [done, failed, waiting], STAGES)
    text = (tmp_path / "out" / "campaign.csv").read_text(encoding="utf-8")
    return (tmp_path / "out" / "index.html").read_text(encoding="utf-8"), list(csv.DictReader(io.StringIO(text)))


def test_page_and_table(tmp_path: Path) -> None:
    html, rows = overview(tmp_path)
    assert [row["status"] for row in rows] == ["done", "failed", "waiting"]
    assert rows[1]["reason"] == EVIL
    assert (rows[0]["gaussians"], rows[0]["train_seconds"], rows[0]["attempts"]) == ("7001", "3725.0", "2")
    assert "31.26" in html
    assert "7,001" in html
    assert "1:02:07" in html


def test_page_is_escaped_and_stands_alone(tmp_path: Path) -> None:
    html, _ = overview(tmp_path)
    found = Links(html)
    assert "script" not in found.tags
    assert "a%20%231%3F/report.html" in found.links
    for link in found.links:
        assert link == "campaign.csv" or link.endswith(("/report.html", "/train-1.log"))
    assert len(found.sources) == 1
    assert found.sources[0].startswith("data:image/jpeg;base64,")


def test_thumbnails_of_many_keep_the_budget() -> None:
    assert page._edge(1) == page.EDGES[0]
    for count in (500, 5_000, 10_000):
        assert count * page._edge(count) ** 2 * page.BYTES_PER_PIXEL <= page.BUDGET_BYTES


def test_broken_thumbnail_and_figures_leave_the_rest(tmp_path: Path) -> None:
    state = State(specimen(tmp_path), "done")
    state.specimen.folder.mkdir(parents=True)
    (state.specimen.folder / THUMBNAIL).write_bytes(b"no picture")
    (state.specimen.folder / FIGURES).write_text('{"gaussians": 5}')
    write_overview(tmp_path / "out", [state], STAGES)
    html = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert Links(html).sources == []
    assert "<td>5</td>" in html


# -- in the terminal -----------------------------------------------------------------------------------------------


def flights(tmp_path: Path, count: int) -> list[Flight]:
    states = [State(specimen(tmp_path, f"beetle [{i}]")) for i in range(count)]
    return [Flight(state, STAGES[0], 1, 1, 0.0, begun=0.0 if i else None) for i, state in enumerate(states)]


def test_live_table_fits_the_terminal(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80, height=20, force_terminal=True)
    under_way = flights(tmp_path, 40)
    with LiveTable(console) as table:
        table.event(under_way[1], Outcome(False, "error: [bold]broken[/bold]"), again=True)
        table.show(CampaignProgress([flight.state for flight in under_way], under_way))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "beetle [1]: train failed at attempt 1, tried again: error: [bold]broken[/bold]" in shown
    assert "0 of 40 done, 39 running" in shown
    assert "and 28 more" in shown
    assert shown.count("\n") < 40


def test_plain_lines(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=40)
    lines, under_way = PlainLines(console), flights(tmp_path, 2)
    lines.event(under_way[1], Outcome(True, seconds=61), again=False)
    lines.event(under_way[1], Outcome(False, "error: " + 60 * "x"), again=False)
    lines.show(CampaignProgress([flight.state for flight in under_way], under_way))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "beetle [1]: train done in 1:01",
        "beetle [1]: train failed at attempt 1, given up: error: " + 60 * "x",
    ]
