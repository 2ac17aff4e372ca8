"""Help texts from the docstrings under a config's fields, as running text.

tyro joins the lines of such a docstring before it takes off their indentation, and breaks the help text wherever the
source breaks (1.0.17). Ours takes the indentation off first.

Can go when tyro does that itself.
"""

import inspect

from tyro import _docstrings


def install() -> None:
    """Hand tyro docstrings without indentation, where it still looks them up by this function."""
    parse = getattr(_docstrings, "parse_docstring_from_object", None)
    if parse is None:
        return

    def parse_unindented(obj: object) -> dict[str, str]:
        return {name: inspect.cleandoc(text) for name, text in parse(obj).items()}

    _docstrings.parse_docstring_from_object = parse_unindented  # type: ignore[assignment]
