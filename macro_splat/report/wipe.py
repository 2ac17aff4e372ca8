"""Pictures of the same view laid over each other, with a line to wipe from one to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from macro_splat.report.page import embedded_jpeg

BUDGET_BYTES = 3_600_000
"""Of all pictures as they stand in the page: beside plotly (5 MB) the page stays below 10 MB."""
EDGES = (1280, 960, 720, 512, 384, 256, 160)
"""Longest edge in pixels: the largest that keeps within the budget is taken."""
QUALITY = 88
THUMBNAIL_EDGE = 96

SCRIPT = """
document.querySelectorAll(".wipes").forEach((wipes) => {
  const views = [...wipes.querySelectorAll(".wipe")], tabs = [...wipes.querySelectorAll(".strip button")];
  const wanted = {left: wipes.dataset.left, right: wipes.dataset.right};
  function show(view) {
    const names = [...view.querySelectorAll(".stage img")].map((image) => image.dataset.layer);
    const left = names.includes(wanted.left) ? wanted.left : names[0];
    const right = names.includes(wanted.right) ? wanted.right : names.find((name) => name !== left) || left;
    const range = view.querySelector("input[type=range]");
    view.querySelectorAll(".stage img").forEach((image) => {
      const {layer} = image.dataset;
      image.hidden = layer !== left && layer !== right;
      image.style.zIndex = layer === right && right !== left ? 2 : 1;
      image.style.clipPath = layer === right && right !== left ? `inset(0 0 0 ${range.value}%)` : "none";
    });
    view.querySelector(".line").style.left = `${range.value}%`;
    view.querySelector(".tag.left").textContent = left;
    view.querySelector(".tag.right").textContent = right;
    range.setAttribute("aria-valuetext", `${range.value} % ${left}, the rest ${right}`);
    view.querySelectorAll(".layers input").forEach((input) => {
      input.checked = input.value === (input.dataset.side === "left" ? left : right);
    });
  }
  function open(number) {
    views.forEach((view, i) => { view.hidden = i !== number; });
    tabs.forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === number)));
    show(views[number]);
  }
  views.forEach((view) => {
    view.querySelectorAll(".layers figure").forEach((figure) => {
      const layer = figure.dataset.layer;
      figure.querySelector("img").src = view.querySelector(`.stage img[data-layer="${layer}"]`).src;
    });
    view.querySelector("input[type=range]").addEventListener("input", () => show(view));
    view.querySelectorAll(".layers input").forEach((input) => input.addEventListener("change", () => {
      wanted[input.dataset.side] = input.value;
      show(view);
    }));
  });
  tabs.forEach((tab, i) => tab.addEventListener("click", () => open(i)));
  open(0);
});
"""

STYLE = """
[hidden] { display: none !important; }
.strip { display: flex; gap: .4rem; overflow-x: auto; padding: .2rem; }
.strip button { border: 2px solid transparent; border-radius: 4px; padding: 0; background: none; cursor: pointer;
  line-height: 0; flex: none; } .strip button[aria-pressed=true] { border-color: #31688e; }
.strip span { display: block; font-size: .7rem; line-height: 1.5; color: #666; max-width: 96px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.wipe .stage { position: relative; margin: .5rem 0; width: 100%; background: #222; line-height: 0; overflow: hidden; }
.wipe .stage img { position: absolute; inset: 0; width: 100%; height: 100%; }
.wipe .stage .line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff; z-index: 3;
  box-shadow: 0 0 4px rgb(0 0 0 / 60%); }
.wipe .stage .line::after { content: "⇔"; position: absolute; top: 50%; left: 50%; transform: translate(-50%, -50%);
  background: #fff; color: #333; border-radius: 50%; width: 1.9rem; line-height: 1.9rem; text-align: center;
  font-size: 1rem; box-shadow: 0 0 4px rgb(0 0 0 / 60%); }
.wipe .stage input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; z-index: 4; cursor: ew-resize;
  appearance: none; background: none; outline: none; opacity: 0; touch-action: pan-y; }
.wipe .stage input::-webkit-slider-thumb { appearance: none; width: 1px; height: 100%; }
.wipe .stage input::-moz-range-thumb { width: 1px; height: 100%; border: 0; }
.wipe .stage:focus-within { outline: 3px solid #e0a800; outline-offset: 2px; }
.tag { position: absolute; bottom: .6rem; z-index: 3; background: rgb(0 0 0 / 55%); color: #fff; font-size: .85rem;
  line-height: 1.5; padding: .05rem .5rem; border-radius: 3px; } .tag.left { left: .6rem; } .tag.right { right: .6rem; }
.layers { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; }
.layers img { width: 100%; display: block; } .layers label { white-space: nowrap; margin-right: .6rem; }
.layers b { font-weight: 600; margin-right: .6rem; }
@media (max-width: 30rem) { .layers { grid-template-columns: repeat(2, 1fr); } }
"""


@dataclass(frozen=True, eq=False)
class Wipe:
    """The pictures of one view."""

    name: str
    note: str
    """HTML: what is to be said of it."""
    layers: Mapping[str, Image.Image]
    """By what they are, all of one size."""


def wipe_section(views: Sequence[Wipe], left: str, right: str) -> str:
    """HTML that `SCRIPT` brings to life. ``left``, ``right``: the layers to begin with."""
    for edge in EDGES:
        figures = [_figure(view, edge, i > 0) for i, view in enumerate(views)]
        if sum(map(len, figures)) <= BUDGET_BYTES:
            break
    strip = "".join(_tab(view, i == 0) for i, view in enumerate(views))
    return (
        f'<div class="wipes" data-left="{escape(left)}" data-right="{escape(right)}"><div class="strip">{strip}</div>'
        + "".join(figures)
        + "</div>"
    )


def _tab(view: Wipe, pressed: bool) -> str:
    name = escape(view.name)
    source = embedded_jpeg(_reduced(next(iter(view.layers.values())), THUMBNAIL_EDGE), 75, subsampling=2)
    return (
        f'<button type="button" aria-pressed="{str(pressed).lower()}" title="{name}"><img src="{source}" alt="{name}" '
        f'width="{THUMBNAIL_EDGE}"><span>{name}</span></button>'
    )


def _figure(view: Wipe, edge: int, hidden: bool) -> str:
    name = escape(view.name)
    layers = {escape(layer): _reduced(picture, edge) for layer, picture in view.layers.items()}
    width, height = next(iter(view.layers.values())).size
    pictures = "".join(
        f'<img data-layer="{layer}" alt="{name}: {layer}" src="{embedded_jpeg(picture, QUALITY)}">'
        for layer, picture in layers.items()
    )
    choices = "".join(
        f'<figure data-layer="{layer}"><img alt=""><figcaption><b>{layer}</b>'
        + "".join(
            f'<label><input type="radio" name="{side} {name}" data-side="{side}" value="{layer}"> {side}</label>'
            for side in ("left", "right")
        )
        + "</figcaption></figure>"
        for layer in layers
    )
    # Wide enough to be looked at, never so high that it does not fit a window.
    size = f"aspect-ratio:{width}/{height};max-width:min({max(3 * width, 640)}px, calc(75vh * {width} / {height}))"
    return (
        f'<div class="wipe"{" hidden" if hidden else ""}><h3>{name}</h3><p>{view.note}</p>'
        f'<div class="stage" style="{size}">{pictures}<i class="line"></i><span class="tag left"></span>'
        '<span class="tag right"></span><input type="range" min="0" max="100" step="1" value="50" '
        f'aria-label="wipe the pictures of {name}"></div><div class="layers">{choices}</div></div>'
    )


def _reduced(picture: Image.Image, edge: int) -> Image.Image:
    reduced = picture.copy()
    reduced.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return reduced
