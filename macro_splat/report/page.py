"""The shell of all pages: one file that opens offline and that no request leaves.

The markup of every page is a template in `templates/`, its CSS and JavaScript are files in `static/`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

FOLDER = Path(__file__).parent


class Tile(NamedTuple):
    """One of the figures at the top of a page."""

    name: str
    value: str
    note: str = ""


def make_page(template: str, title: str, *, style: str = "", scripts: Sequence[str] = (), **values: Any) -> str:
    """Return the page as HTML.

    The browser is told to load nothing and to run these scripts only, whatever else may stand in the body.

    Args:
        template: name of a file in `templates/` that extends `base.html`.
        title: plain text.
        style: CSS beside that of all pages.
        scripts: JavaScript, run in order after the body.
        values: what the template shows; strings are escaped.
    """
    scripts = [_inline(script) for script in scripts]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {hashes}"
    )
    return render(
        template,
        title=title,
        policy=Markup(policy),  # it holds nothing but the words above and base64
        style=Markup(static("page.css") + style),  # files of ours, as the scripts are
        scripts=[Markup(script) for script in scripts],
        **values,
    )


def render(template: str, **values: Any) -> str:
    """Return what a template in `templates/` makes of the values."""
    return _environment().get_template(template).render(**values)


def static(*names: str) -> str:
    """Return files of `static/`, one after the other."""
    return "".join((FOLDER / "static" / name).read_text(encoding="utf-8") for name in names)


def duration(seconds: float) -> str:
    """Return a time as "2 min 5 s" or "3.1 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def sentence(text: str) -> str:
    """Return an error message, which begins small and has no full stop, as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def embedded_jpeg(image: Image.Image, quality: int, *, subsampling: int = 0) -> str:
    """Return the picture as a data URI."""
    return _embedded(image, "jpeg", quality=quality, subsampling=subsampling)


def embedded_png(image: Image.Image) -> str:
    """Return the picture, which may be transparent, as a data URI."""
    return _embedded(image, "png", optimize=True)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"duration": duration, "sentence": sentence}
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _embedded(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def _inline(script: str) -> str:
    """Return the script in the form in which the browser reads it from a page, and hashes it."""
    # In scripts `<\\/` means `</` wherever that may stand: in strings and regular expressions.
    return script.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
