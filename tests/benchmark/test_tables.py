"""Derived figures, means, notes, and the page, from made-up results."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from macro_splat.benchmark.crops import SHEET_TILE_PX, make_sheet, make_strips, strips_by_capture
from macro_splat.benchmark.modes import MODES, VARIANTS, Mode, Variant
from macro_splat.benchmark.page import make_results_page
from macro_splat.benchmark.plan import Entry
from macro_splat.benchmark.suite import Row
from macro_splat.benchmark.tables import derive, markdown_table, means, notes, text_table

MODE = {mode.name: mode for mode in MODES}
GIVEN, _, NOISY = VARIANTS


def row(mode: Mode, psnr: float, *, capture: str = "ball", variant: Variant = GIVEN, **others) -> Row:
    result = {
        "psnr": psnr,
        "ssim": 0.9,
        "judged_on": "sharp",
        "poses_optimised": variant is NOISY,
        "mm_per_unit": 10.0,
        "source": "a",
        "depth_error": 0.02,
        "gaussians": 1234,
        **others,
    }
    return Row(Entry(capture, mode, variant, None), others.get("folder"), result)


def test_gap_closed_is_between_the_bounds_of_the_variant() -> None:
    rows = [row(MODE["off"], 20.0), row(MODE["splat"], 23.0), row(MODE["oracle"], 24.0)]
    rows += [
        row(MODE["off"], 19.0, variant=NOISY),
        row(MODE["splat"], 21.0, variant=NOISY),
        row(MODE["oracle"], 23.0, variant=NOISY),
    ]
    off, splat, oracle, noisy_off, noisy_splat, _ = derive(rows)
    assert "gap_closed" not in off
    assert "gap_closed" not in noisy_off
    assert splat["gap_closed"] == pytest.approx(0.75)
    assert oracle["gap_closed"] == 1.0
    assert noisy_splat["gap_closed"] == pytest.approx(0.5)
    assert noisy_splat["gap_closed_exact_poses"] == pytest.approx(0.4)


def test_without_a_bound_no_gap() -> None:
    assert "gap_closed" not in derive([row(MODE["off"], 20.0), row(MODE["splat"], 23.0)])[1]
    below = derive([row(MODE["off"], 20.0), row(MODE["splat"], 23.0), row(MODE["oracle"], 19.0)])
    assert "gap_closed" not in below[1]


def test_lengths_are_in_millimetres() -> None:
    (record,) = derive([row(MODE["off"], 20.0)])
    assert record["depth_error"] == pytest.approx(0.2)
    (record,) = derive([row(MODE["off"], 20.0, mm_per_unit=None)])
    assert record["depth_error"] == pytest.approx(0.02)
    assert any("scale unknown" in note for note in notes([record]))


def test_means_are_over_captures() -> None:
    rows = []
    for capture, psnr in (("one", 22.0), ("two", 24.0)):
        rows += [
            row(MODE["off"], 20.0, capture=capture),
            row(MODE["splat"], psnr, capture=capture),
            row(MODE["oracle"], 30.0, capture=capture),
        ]
    rows.append(Row(Entry("three", MODE["splat"], GIVEN, None, "why"), None, None, "skipped: why"))
    (averages,) = means(derive(rows)).values()
    summary = {record["mode"]: record for record in averages}
    assert summary["splat"]["psnr"] == pytest.approx(23.0)
    assert summary["splat"]["gap_closed"] == pytest.approx(0.3)
    assert summary["splat"]["gap_closed_least"] == pytest.approx(0.2)
    assert summary["splat"]["captures"] == 2
    assert means(derive(rows[:3])) == {}


def test_captures_judged_in_different_ways_have_no_common_mean() -> None:
    ways = {"a": "sharp", "b": "reblurred", "c": "reblurred"}
    rows = [row(MODE["off"], 20.0 + i, capture=c, judged_on=way) for i, (c, way) in enumerate(ways.items())]
    ((title, (average,)),) = means(derive(rows)).items()
    assert "without truth" in title
    assert average["psnr"] == pytest.approx(21.5)


def test_notes_say_how_it_was_judged() -> None:
    rows = [
        row(MODE["off"], 20.0),
        row(MODE["off"], 20.0, capture="real", judged_on="reblurred", source="b"),
        row(MODE["off"], 20.0, variant=NOISY),
        Row(Entry("real", MODE["oracle"], GIVEN, None, "why"), None, None, "skipped: no sharp photographs"),
    ]
    text = " ".join(notes(derive(rows)))
    assert "real, given, oracle: skipped: no sharp photographs." in text
    assert "ball: the sharp render is judged" in text
    assert "real: no sharp truth" in text
    assert "Poses were optimised in: noisy" in text
    assert "same state of the source" in text


def test_the_text_table_drops_columns_on_narrow_terminals() -> None:
    records = derive([row(MODE["off"], 20.0, sharpness_ratio=0.5, psnr_object=3.21)])

    def show(width: int) -> str:
        console = Console(width=width)
        with console.capture() as captured:
            console.print(text_table("ball", records, width))
        return captured.get()

    assert "3.21" in show(180)
    assert "1,234" in show(180)
    narrow = show(80)
    assert "3.21" not in narrow
    assert "20.00" in narrow
    assert "…" not in narrow


def test_the_markdown_table_has_a_line_per_row() -> None:
    records = derive([row(MODE["off"], 20.0, sharpness_ratio=0.5), row(MODE["splat"], 22.5)])
    title, _, head, rule, *lines = markdown_table("a < b", records).split("\n")
    assert title == "**a &lt; b**"
    assert len({line.count("|") for line in (head, rule, *lines)}) == 1
    assert [line.split(" | ")[1] for line in lines] == ["plain splats", "ours, splat"]
    assert "| 22.50 |" in lines[1]
    assert "| – |" in lines[1]  # its sharpness was not measured


def save(folder: Path, view: str, **pictures: np.ndarray) -> None:
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for kind, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / "pictures" / f"{view}.{kind}.png")


@pytest.fixture
def judged(tmp_path: Path) -> list[Row]:
    """Two modes; the truth has detail in the upper left that the photograph lacks, and in the lower right it has it."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 140, 3), dtype=np.uint8)
    truth, photograph = np.full_like(noise, 100), np.full_like(noise, 100)
    truth[10:40, 10:40] = noise[10:40, 10:40]
    truth[60:100, 90:140] = photograph[60:100, 90:140] = noise[60:100, 90:140]
    rows = []
    for name in ("off", "splat", "oracle"):
        folder = tmp_path / name
        save(folder, "train-images_000", render=truth, photograph=photograph, truth=truth)
        save(folder, "test-test_000", render=photograph, photograph=truth, truth=truth)
        rows.append(row(MODE[name], 20.0, folder=folder))
    return [Row(r.entry, r.result.pop("folder"), r.result) for r in rows if r.result]


def test_cut_outs_are_where_the_photograph_lacks_detail(judged: list[Row]) -> None:
    training, held_out = make_strips(judged)
    assert [tile.caption for tile in training.tiles] == [
        "photograph",
        "plain splats",
        "ours, splat",
        "plain splats on sharp photographs",
        "truth",
    ]
    assert (training.held_out, held_out.held_out) == (False, True)
    photograph, *_, truth = (tile.pixels for tile in training.tiles)
    assert photograph is not None
    assert truth is not None
    assert photograph.std() == 0  # only what it lacks
    assert truth.std() > 20
    # The held-out photograph is the truth itself; the plain model lacks the same corner.
    assert held_out.tiles[0].pixels is None
    assert held_out.tiles[1].pixels is not None
    assert held_out.tiles[1].pixels.std() == 0


def test_without_a_truth_cut_outs_are_where_a_model_has_more(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    photograph = np.full_like(noise, 100)
    photograph[74:114, 10:50] = noise[74:114, 10:50]  # sharp there, as ours is, and the plain model is not
    mask = np.zeros_like(noise)
    mask[:, :80] = 255
    rows = []
    for name in ("off", "splat"):
        render = np.full_like(noise, 100)
        if name == "splat":
            render[:] = photograph
            render[20:60, 10:50] = noise[20:60, 10:50] // 2 + 60
            render[60:100, 100:150] = noise[60:100, 100:150]  # more of it, but outside
        save(tmp_path / name, "train-images_000", render=render, photograph=photograph, mask=mask)
        done = row(MODE[name], 20.0)
        rows.append(Row(done.entry, tmp_path / name, done.result))
    (strip,) = make_strips(rows)
    seen, plain, ours = (tile.pixels for tile in strip.tiles)
    assert seen is not None
    assert plain is not None
    assert ours is not None
    assert seen.std() == plain.std() == 0
    assert ours.std() > 20
    assert ours.max() < 190


def test_a_sheet_shows_every_cut_out_in_its_place(judged: list[Row]) -> None:
    strips = make_strips(judged)
    sheet = np.asarray(make_sheet(strips))
    columns, top = len(strips[0].tiles), sheet.shape[0] - 2 * SHEET_TILE_PX - 6
    assert sheet.shape[1] == columns * (SHEET_TILE_PX + 6) - 6
    for row, strip in enumerate(strips):
        for column, tile in enumerate(strip.tiles):
            y, x = top + row * (SHEET_TILE_PX + 6), column * (SHEET_TILE_PX + 6)
            shown = sheet[y : y + SHEET_TILE_PX, x : x + SHEET_TILE_PX].mean()
            assert shown == pytest.approx(255 if tile.pixels is None else tile.pixels.mean(), abs=2)


def test_the_page_needs_nothing_else(judged: list[Row]) -> None:
    page = make_results_page(derive(judged), strips_by_capture(judged), 100, 42)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 9  # 2 × 5 tiles without the held-out photograph
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search("https?:", page)
    assert page.count("<table>") == 1
    for heading in ("PSNR", "SSIM", "depth"):
        assert f"<dt>{heading}</dt>" in page


def test_names_are_escaped_on_the_page(judged: list[Row]) -> None:
    odd = [Row(Entry("<b>&", r.entry.mode, GIVEN, None), r.folder, r.result) for r in judged]
    page = make_results_page(derive(odd), strips_by_capture(odd), 100, 42)
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;" in page
