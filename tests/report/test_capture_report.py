"""The report as a page: what must stand in it, and what must not get out of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.report.capture_report import write_capture_report
from macro_splat.report.coverage_map import coverage_map
from macro_splat.report.page import render
from tests.captures import edit_transforms
from tests.report.outputs import edit_process, photograph, process_of, singles, write_output, write_thumbnails

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Tags and attributes as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] not in ("script", "style"):
            self.text += data

    def count(self, tag: str, css_class: str | None = None) -> int:
        return sum(t == tag and css_class in (None, attributes.get("class")) for t, attributes in self.found)


def report_of(out: Path) -> Elements:
    return Elements(write_capture_report(out).read_text())


def pose_data(page: Path) -> dict[str, Any]:
    content = re.search(r'id="pose-data">(.*?)</script>', page.read_text())
    assert content is not None
    return json.loads(content[1])


def poseless(out: Path, photographs: list[dict[str, Any]]) -> Path:
    out.mkdir()
    poses = {"source": None, "reprojection_error_px": None, "points": 0, "unregistered": []}
    (out / "process.json").write_text(json.dumps(process_of(photographs, poses=poses, scale=None)))
    return out


def test_a_stack_is_shown_as_one_picture_with_its_map(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", slices=3)
    previews = out / ".process" / "previews"
    previews.mkdir()
    for name in ("000", "003"):
        Image.fromarray(np.full((36, 48, 3), 90, np.uint8)).save(previews / f"{name}.jpg")
        Image.fromarray(np.tile(np.repeat(np.arange(3, dtype=np.uint8), 16), (36, 1))).save(previews / f"{name}.png")
    page = report_of(out)
    assert page.count("div", "fused") == 2
    shown = {a["alt"] for tag, a in page.found if tag == "img"}
    assert {"000, all in focus", "003, sharpest photograph"} <= shown
    (previews / "003.png").write_bytes(b"no picture")
    with pytest.raises(MacroSplatError, match=r"003.png is broken"):
        write_capture_report(out)


def test_stacks_are_shown_in_order_with_everything_around(tmp_path: Path) -> None:
    out = write_output(tmp_path / "beetle", views=8, slices=3)
    page = write_capture_report(out)
    assert page == out / "report.html"
    assert page.stat().st_size < 10_000_000
    report = Elements(page.read_text())
    assert report.count("figure") == 24
    assert report.count("details", "stack") == 8
    assert report.count("img", "sharpness") == 24
    assert report.count("circle") == 8
    assert "Capture beetle" in report.text
    assert "Nothing stands in the way" in report.text
    assert "0.40 px" in report.text
    assert "1 min 28 s in all" in report.text
    names = [attributes["alt"] for tag, attributes in report.found if tag == "img" and attributes["alt"]]
    assert names == [f"{i:03d}_{j}.png" for i in range(8) for j in range(3)]
    assert report.count("b", "best") == 8


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    report = report_of(write_output(tmp_path / "out"))
    links = [
        value
        for _, attributes in report.found
        for key, value in attributes.items()
        if key in ("src", "href", "srcset", "data", "action")
    ]
    assert links
    assert all(value is not None and value.startswith("data:image/") for value in links)
    assert report.count("link") == report.count("iframe") == 0


def test_names_and_tags_stay_text(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out")
    plain = report_of(out)

    def poison(process: dict[str, Any]) -> None:
        for entry in process["photographs"][:2]:
            entry["exif"] = {**entry["exif"], "camera": EVIL, "lens": entry["name"] + EVIL}
            entry |= {"name": entry["name"] + EVIL, "used": False, "why_not": EVIL}
        for stack in process["stacks"][:2]:
            stack |= {"id": EVIL, "photographs": [name + EVIL for name in stack["photographs"]]}
        process["poses"]["unregistered"] = [EVIL]
        process["problems"] = [{"severity": "error", "what": EVIL, "do": EVIL}]
        process |= {"command": ["macro-splat", EVIL], "photographs_folder": EVIL, "settings": {EVIL: EVIL}}
        process["seconds"][EVIL] = 1.0

    edit_process(out, poison)
    poisoned = report_of(out)
    assert poisoned.count("script") == plain.count("script") == 3
    assert not [tag for tag, attributes in poisoned.found if "onerror" in attributes]
    assert all((attributes["src"] or "").startswith("data:") for tag, attributes in poisoned.found if tag == "img")
    assert poisoned.text.count(EVIL) >= 10


def test_names_that_are_no_unicode_are_shown_somehow(tmp_path: Path) -> None:
    out = poseless(tmp_path / "out", [photograph("bad\udcff.png", "a", used=False, image=None, why_not="no poses")])
    assert "bad?.png" in report_of(out).text


def test_problems_come_first_and_errors_before_hints(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", views=3)
    problems = [
        {"severity": "hint", "what": "A hint.", "do": "Nothing."},
        {"severity": "error", "what": "an error", "do": "something"},
    ]
    edit_process(out, lambda process: process.update(problems=problems))
    text = report_of(out).text
    places = [text.index(part) for part in ("An error.", "No photograph over 120°", "A hint.", "Photographs")]
    assert places == sorted(places)
    assert "Nothing stands in the way" not in text


def test_without_poses_photographs_are_shown_all_the_same(tmp_path: Path) -> None:
    photographs = singles(9, used=False, image=None, why_not="there are no poses", pose=None)
    photographs[0]["verdict"] = "motion blur"
    out = poseless(tmp_path / "out", photographs)
    write_thumbnails(out, [entry["name"] for entry in photographs[1:]])
    page = write_capture_report(out)
    report = Elements(page.read_text())
    assert report.count("figure") == 9
    assert report.count("div", "none") == 1
    assert report.count("b", "blurred") == 1
    assert "None is used: there are no poses." in report.text
    assert "there is nothing to train yet" in report.text
    assert page.stat().st_size < 200_000  # no plotly


def test_reasons_for_leaving_out_are_given_once_each(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out")

    def leave_out(process: dict[str, Any]) -> None:
        for entry in process["photographs"][:2]:
            entry |= {"used": False, "why_not": "motion blur", "verdict": "motion blur"}

    edit_process(out, leave_out)
    report = report_of(out)
    assert "2: motion blur. 000.png, 001.png" in report.text
    assert report.count("figure", "unused") == 2


def test_cameras_stand_where_they_stood(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", views=8, slices=2)
    data = pose_data(write_capture_report(out))
    lines, centres, cloud = data["traces"]
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    for i in range(8):
        assert [centres[axis][i] for axis in "xyz"] == pytest.approx(
            [row[3] for row in frames[2 * i]["transform_matrix"][:3]], rel=1e-4, abs=1e-3
        )
    assert centres["text"] == [f"{i:03d}" for i in range(8)]
    assert len(lines["x"]) == len(data["owners"])
    assert set(data["owners"]) == set(range(8))
    assert len(cloud["x"]) == 600
    assert [colouring["values"] for colouring in data["colourings"]] == [list(range(1, 9)), [2.0] * 8]


def test_a_rail_is_drawn_along_its_way(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", views=3, slices=2)

    def slide(transforms: dict[str, Any]) -> None:
        for frame in transforms["frames"]:
            frame["transform_matrix"][2][3] += 7.0 * frame["stack_index"]

    edit_transforms(out, slide)
    lines = pose_data(write_capture_report(out))["traces"][0]
    heights = lines["z"][: lines["z"].index(None, lines["z"].index(None) + 1)]
    assert heights[-1] - heights[-2] == pytest.approx(7.0, abs=1e-3)


def test_exif_in_common_is_one_line_and_the_rest_a_table(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out")

    def vary(process: dict[str, Any]) -> None:
        for i, entry in enumerate(process["photographs"]):
            entry["exif"]["exposure_s"] = None if i == 0 else 2.0**-i
            entry["exif"]["pixel_pitch_mm"] = 0.0043

    edit_process(out, vary)
    text = report_of(out).text
    assert "camera Maker M1 · lens 90 mm Macro · focal length 90 mm · f-number f/8" in text
    assert "pixel pitch 4.3 µm" in text
    assert "In no photograph: focus distance, magnification, working f-number." in text
    assert "photographexposure000.png–001.png0.5 s002.png1/4 s" in text.replace("\n", "")


def test_a_scale_from_markers_tells_how_sure_it_is(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out")
    scale = {"source": "markers", "mm_per_unit": 25.0, "deviation": 0.05}
    edit_process(out, lambda process: process.update(scale=scale))
    text = report_of(out).text
    assert "from markers, ± 0.2 %" in text
    assert "25 ± 0.05 (standard deviation) mm per unit" in text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "no valid JSON"),
        ("[]", "version is None"),
        ('{"version": 99}', "version is 99"),
    ],
)
def test_a_folder_that_process_did_not_finish(tmp_path: Path, content: str | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "process.json").write_text(content)
    with pytest.raises(MacroSplatError, match=complaint):
        write_capture_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_map_shades_the_surroundings_of_cameras_only() -> None:
    drawing = render("coverage_map.html", map=coverage_map(np.array([[0.0, 45.0]]), ["a"], ["#000000"], []))
    cells = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="[\d.]+" fill="#b7dcb4"', drawing)
    middle = float(re.search(r'<circle cx="([\d.]+)"', drawing)[1])  # type: ignore[index]
    assert cells
    left, right = min(float(x) for x, *_ in cells), max(float(x) + float(w) for x, _, w in cells)
    assert middle - left == pytest.approx(right - middle, abs=0.1)
    degrees = (right - left) / 1.75
    # 15° around a point at 45° of elevation reach asin(sin 15° / cos 45°) to either side, in cells of 5°.
    assert degrees == pytest.approx(2 * np.degrees(np.arcsin(np.sin(np.pi / 12) / np.cos(np.pi / 4))), abs=10)
