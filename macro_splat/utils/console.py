"""Messages of a training on its console."""

from __future__ import annotations

from nerfstudio.utils.rich_utils import CONSOLE


def report(text: str, style: str | None = None) -> None:
    """Print a line as it is: a path in it is neither broken to the terminal's width nor read as rich's markup."""
    CONSOLE.print(text, style=style, soft_wrap=True, markup=False)
