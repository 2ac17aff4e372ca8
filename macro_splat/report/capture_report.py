"""The report of a capture: what is in it, what will go wrong with it and what to do, from the files it was left in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from macro_splat.capture.coverage import azimuth_gaps, directions, object_centre
from macro_splat.capture.format import Capture
from macro_splat.capture.read import read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process.findings import WIDE_GAP, find_problems
from macro_splat.report.coverage_map import coverage_map, legend
from macro_splat.report.exif_table import exif_section
from macro_splat.report.page import make_page
from macro_splat.report.photograph_grid import photograph_sections
from macro_splat.report.pose_view import SCRIPT, Pose, paint, pose_view
from macro_splat.report.style import STYLE
from macro_splat.utils.atomic import atomic_write

VERSION = 1
"""Of process.json."""
SOURCES = {
    "rig": "from the rig file",
    "sfm": "by structure from motion",
    "markers": "from markers",
    "factor": "a given factor",
}


def write_capture_report(out: Path, capture: Capture | None = None) -> Path:
    """Write `report.html` beside process.json.

    Args:
        out: the folder that `macro-splat process` has filled: process.json, and where they exist transforms.json and
            the thumbnails and maps of sharpness in `.process/`.
        capture: what transforms.json holds, where the caller has read it already.

    Raises:
        MacroSplatError: process.json is missing or broken, or another of the files is broken.
        OSError: the page cannot be written; the old one stays.
    """
    out = Path(out)
    process = read_process(out / "process.json")
    if capture is None and (out / "transforms.json").is_file():
        capture = read_capture(out)
    page = out / "report.html"
    with atomic_write(page) as file:
        # Names of files need not be valid Unicode.
        file.write(_make_report(out, process, capture).encode("utf-8", "replace"))
    return page


def read_process(path: Path) -> dict[str, Any]:
    """process.json as an object.

    Raises:
        MacroSplatError: it is missing, broken, or of another version.
    """
    try:
        process = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MacroSplatError(f"{path} cannot be read ({error.strerror}); run `macro-splat process` first") from error
    except ValueError as error:
        raise MacroSplatError(f"{path} is no valid JSON ({error}); run `macro-splat process` again") from error
    version = process.get("version") if isinstance(process, dict) else None
    if version != VERSION:
        raise MacroSplatError(f"{path}: its version is {version!r}, not {VERSION}; run `macro-splat process` again")
    return process


def _make_report(out: Path, process: Mapping[str, Any], capture: Capture | None) -> str:
    problems = [*process["problems"], *find_problems(process, capture)]
    poses = [] if capture is None else _poses(process, capture)
    title = f"Capture {out.resolve().name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _problems(problems),
        _summary(process, len(poses)),
        "<h2>Photographs</h2>",
        photograph_sections(out / ".process", process),
        "<h2>Poses</h2>",
        _pose_facts(process, len(poses)),
    ]
    scripts = []
    if capture is not None and poses:
        from plotly.offline import get_plotlyjs

        scripts = [get_plotlyjs(), SCRIPT]
        body += [_coverage(poses, capture), "<h3>In space</h3>", pose_view(poses, capture.points, capture.scene_unit)]
    body += ["<h2>How they were taken</h2>", exif_section(process["photographs"]), "<h2>The run</h2>", _run(process)]
    return make_page(title, body, STYLE, scripts)


def _poses(process: Mapping[str, Any], capture: Capture) -> list[Pose]:
    """A pose per stack, in the stacks' order."""
    frames = {frame.name: frame for frame in capture.frames}
    photographs = {photograph["name"]: photograph for photograph in process["photographs"]}
    poses = []
    for stack in process["stacks"]:
        members = [photographs[name] for name in stack["photographs"] if photographs[name]["image"] in frames]
        if members:
            label = stack["id"] if len(stack["photographs"]) > 1 else members[0]["name"]
            sharpness = max(photograph["sharpness"] for photograph in members)
            poses.append(Pose(label, tuple(frames[photograph["image"]] for photograph in members), sharpness))
    return poses


# --- sections -----------------------------------------------------------------------------------------------------


def _summary(process: Mapping[str, Any], poses: int) -> str:
    photographs, stacks = process["photographs"], process["stacks"]
    used = sum(photograph["used"] for photograph in photographs)
    sharp = sum(photograph["verdict"] == "sharp" for photograph in photographs)
    focus_stacks = sum(len(stack["photographs"]) > 1 for stack in stacks)
    tiles = [
        ("photographs", f"{len(photographs)}", "all used" if used == len(photographs) else f"{used} used"),
        ("sharp somewhere", f"{sharp}", f"of {len(photographs)}"),
        ("focus stacks", f"{focus_stacks}", _stack_sizes(stacks)),
        ("poses", f"{poses}", SOURCES.get(process["poses"]["source"], "none known")),
    ]
    error = process["poses"]["reprojection_error_px"]
    if error is not None:
        tiles.append(("reprojection error", f"{error:.2f} px", f"of {process['poses']['points']:,} points"))
    scale = process["scale"]
    if scale is None:
        tiles.append(("scale", "unknown", "no millimetres"))
    else:
        relative = scale["deviation"] / scale["mm_per_unit"] if scale["deviation"] is not None else None
        sure = "" if relative is None else f", ± {100 * relative:.2g} %"
        tiles.append(("scale", "in mm", SOURCES[scale["source"]] + sure))
    cells = "".join(
        f"<div><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>"
        for name, value, note in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _stack_sizes(stacks: Sequence[Mapping[str, Any]]) -> str:
    sizes = sorted(len(stack["photographs"]) for stack in stacks if len(stack["photographs"]) > 1)
    if not sizes:
        return "single photographs"
    return f"of {sizes[0]}" + ("" if sizes[0] == sizes[-1] else f" to {sizes[-1]}") + " photographs"


def _problems(problems: Sequence[Mapping[str, str]]) -> str:
    if not problems:
        return '<p class="fine">Nothing stands in the way: this capture can be trained.</p>'
    order = ("error", "warning", "hint")
    items = "".join(
        f'<li class="{escape(p["severity"])}"><b>{escape(p["severity"])}</b><div><p>{_sentence(p["what"])}</p>'
        f"<p>{_sentence(p['do'])}</p></div></li>"
        for p in sorted(problems, key=lambda problem: order.index(problem["severity"]))
    )
    return f'<h2>What will go wrong, and what to do</h2><ul class="problems">{items}</ul>'


def _sentence(text: str) -> str:
    """As HTML; messages of errors begin small and have no full stop."""
    return escape(text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else "."))


def _pose_facts(process: Mapping[str, Any], poses: int) -> str:
    found, scale = process["poses"], process["scale"]
    if not poses:
        facts = ["The photographs have none."]
    else:
        facts = [f"{poses} poses {SOURCES.get(found['source'], '')}, {found['points']:,} sparse points."]
    if found["reprojection_error_px"] is not None:
        facts.append(
            f"Reprojection error: the points are {found['reprojection_error_px']:.2f} px from where the photographs "
            "show them, in the mean (below 1 is good)."
        )
    if scale is not None and scale["source"] == "rig":
        facts.append("Scale: the rig file is in mm.")
    elif scale is not None:
        deviation = scale["deviation"]
        sure = "" if deviation is None else f" ± {deviation:.2g} (standard deviation)"
        facts.append(
            f"Scale {SOURCES[scale['source']]}: {scale['mm_per_unit']:.5g}{sure} mm per unit as reconstructed."
        )
    lines = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    if found["unregistered"]:
        names = "".join(f"<li>{escape(name)}</li>" for name in found["unregistered"])
        summary = f"{len(found['unregistered'])} photographs without a pose"
        lines += f"<details><summary>{summary}</summary><ul>{names}</ul></details>"
    return lines


def _coverage(poses: Sequence[Pose], capture: Capture) -> str:
    cameras = np.stack([pose.camera_to_world for pose in poses])
    centre = object_centre(cameras, capture.points)
    if centre is None:
        return "<p>The cameras all look the same way, and there are no points: no map of directions can be drawn.</p>"
    seen = directions(cameras, centre)
    gaps = azimuth_gaps(seen, WIDE_GAP)
    shares = np.linspace(0, 1, len(poses)).tolist()
    drawing = coverage_map(seen, [pose.label for pose in poses], shares, paint, gaps)
    return f'<h3>From which sides</h3>{legend(gaps)}<div class="wide">{drawing}</div>'


def _run(process: Mapping[str, Any]) -> str:
    seconds = process["seconds"]
    longest = max(seconds.values(), default=0) or 1
    rows = "".join(
        f'<tr><th scope="row">{escape(stage)}</th><td>{_duration(value)}</td>'
        f'<td class="bar"><i style="width:{100 * value / longest:.1f}%"></i></td></tr>'
        for stage, value in seconds.items()
    )
    total = sum(seconds.values())
    settings = "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td class="text">{escape(_plain(value))}</td></tr>'
        for key, value in process["settings"].items()
    )
    return (
        f"<p>{_duration(total)} in all, {process['peak_memory_mb']:,.0f} MB of memory at the peak. Photographs from "
        f"<code>{escape(process['photographs_folder'])}</code>.</p>"
        f'<pre>{escape(shlex.join(process["command"]))}</pre><table class="stages">{rows}</table>'
        f'<details><summary>Settings</summary><div class="wide"><table>{settings}</table></div></details>'
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
