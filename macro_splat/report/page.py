"""The shell of all pages: one file that opens offline and that no request leaves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any

from PIL import Image

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 78rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; } h3 { margin-bottom: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
th { background: #f6f6f6; } th[scope=row] { text-align: left; font-weight: normal; background: none; }
figure { margin: 0; } figcaption { font-size: .8rem; color: #444; }
dt { font-weight: bold; } dd { margin: 0 0 .4rem 1rem; }
"""


def make_page(title: str, body: Sequence[str], style: str = "", scripts: Sequence[str] = ()) -> str:
    """The page as HTML.

    The browser is told to load nothing and to run these scripts only, whatever else may stand in the body.

    Args:
        title: plain text.
        body: HTML, one element after the other.
        style: CSS beside that of all pages.
        scripts: run in order after the body.
    """
    scripts = [_inline(script) for script in scripts]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {hashes}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n<body>\n"
        + "\n".join(body)
        + "".join(f"\n<script>{script}</script>" for script in scripts)
        + "\n</body></html>\n"
    )


def embedded_json(identity: str, value: Any) -> str:
    """An element that carries data for scripts: nothing in it can end it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(identity)}">{text}</script>'


def embedded_jpeg(image: Image.Image, quality: int, *, subsampling: int = 0) -> str:
    """The picture as a data URI."""
    return _embedded(image, "jpeg", quality=quality, subsampling=subsampling)


def embedded_png(image: Image.Image) -> str:
    """The picture, which may be transparent, as a data URI."""
    return _embedded(image, "png", optimize=True)


def _embedded(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def _inline(script: str) -> str:
    """The script in the form in which the browser reads it from a page, and hashes it."""
    # In scripts `<\\/` means `</` wherever that may stand: in strings and regular expressions.
    return script.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
