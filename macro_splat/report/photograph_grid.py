"""The photographs in small, stack by stack in their order, with what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from macro_splat.report.stack_previews import stack_previews
from macro_splat.report.thumbnails import Thumbnail, embed_thumbnails

OPEN_STACKS = 12
"""With more stacks than this, each is folded away but for the first."""


def photograph_sections(folder: Path, process: Mapping[str, Any]) -> str:
    """HTML.

    Args:
        folder: holds `thumbnails/`, `sharpness/` and `previews/`. process: process.json.
    """
    photographs = {photograph["name"]: photograph for photograph in process["photographs"]}
    stacks = [stack for stack in process["stacks"] if len(stack["photographs"]) > 1]
    stacked = {name for stack in stacks for name in stack["photographs"]}
    single = [name for name in photographs if name not in stacked]
    groups = [list(stack["photographs"]) for stack in stacks] + ([single] if single else [])
    thumbnails = embed_thumbnails(folder, groups)
    previews = stack_previews(folder, stacks)
    some_used = any(photograph["used"] for photograph in photographs.values())
    parts = [_left_out(process["photographs"]), _controls(), '<div id="photographs">']
    for i, stack in enumerate(stacks):
        motion = {"ring": ", lens refocused", "rail": ", camera moved on a rail"}.get(stack["motion"], "")
        heading = f"Stack {escape(stack['id'])} <small>{len(stack['photographs'])} photographs{motion}</small>"
        members = [photographs[name] for name in stack["photographs"]]
        parts.append(
            _section(
                heading,
                members,
                thumbnails,
                i == 0 or len(groups) <= OPEN_STACKS,
                stack=True,
                mark_unused=some_used,
                preview=previews.get(stack["id"], ""),
            )
        )
    if single:
        heading = f"Single photographs <small>{len(single)}</small>"
        parts.append(
            _section(
                heading, [photographs[name] for name in single], thumbnails, True, stack=False, mark_unused=some_used
            )
        )
    return "\n".join([*parts, "</div>"])


def _left_out(photographs: Sequence[Mapping[str, Any]]) -> str:
    """What was left out, by reason."""
    reasons: dict[str, list[str]] = {}
    for photograph in photographs:
        if not photograph["used"]:
            reasons.setdefault(photograph["why_not"] or "no reason given", []).append(photograph["name"])
    if not reasons:
        return "<p>All are used.</p>"
    if len(reasons) == 1 and len(photographs) == sum(map(len, reasons.values())):
        return f"<p>None is used: {escape(next(iter(reasons)))}.</p>"
    items = "".join(
        f"<li>{len(names)}: {escape(why)}. <small>{escape(', '.join(names))}</small></li>"
        for why, names in reasons.items()
    )
    return f"<p>Left out:</p><ul>{items}</ul>"


def _controls() -> str:
    return (
        '<p><label><input type="checkbox" id="overlay" checked> show what is sharp</label> '
        '<span class="ramp">not <i></i> sharpest of its stack</span></p>'
        "<p>The number beside a name is the photograph's sharpness; it compares those of one stack.</p>"
    )


def _section(
    heading: str,
    photographs: Sequence[Mapping[str, Any]],
    thumbnails: Mapping[str, Thumbnail | None],
    unfolded: bool,
    *,
    stack: bool,
    mark_unused: bool,
    preview: str = "",
) -> str:
    best = max(photograph["sharpness"] for photograph in photographs)
    figures = [
        _figure(photograph, thumbnails[photograph["name"]], stack and photograph["sharpness"] == best, mark_unused)
        for photograph in photographs
    ]
    return (
        f"<details class=stack{' open' if unfolded else ''}><summary>{heading}</summary>{preview}"
        f'<div class="grid">{"".join(figures)}</div></details>'
    )


def _figure(photograph: Mapping[str, Any], thumbnail: Thumbnail | None, sharpest: bool, mark_unused: bool) -> str:
    name, verdict = escape(photograph["name"]), photograph["verdict"]
    if thumbnail is None:
        picture = '<div class="none">no thumbnail</div>'
    else:
        size = f'width="{thumbnail.width}" height="{thumbnail.height}"'
        picture = f'<img {size} alt="{name}" src="{thumbnail.picture}">'
        if thumbnail.sharpness is not None:
            picture += f'<img class="sharpness" alt="" src="{thumbnail.sharpness}">'
    badges = [] if verdict == "sharp" else [f'<b class="blurred">{escape(verdict)}</b>']
    if sharpest:
        badges.append('<b class="best">sharpest</b>')
    unused = mark_unused and not photograph["used"]
    if unused:
        badges.append(f'<b class="unused">left out: {escape(photograph["why_not"] or "no reason given")}</b>')
    if photograph["mask"]:
        badges.append(f"<b>mask {escape(photograph['mask'])}</b>")
    return (
        f"<figure{' class=unused' if unused else ''}><div class=picture>{picture}</div>"
        f"<figcaption>{name} <span>{photograph['sharpness']:.3g}</span> {' '.join(badges)}</figcaption></figure>"
    )
