"""The docstring of a field becomes running text."""

from dataclasses import dataclass

import pytest
import tyro
from tyro import _docstrings

from macro_splat.compat import field_docstrings


@dataclass
class Config:
    """A config."""

    size: int = 0
    """of the
    picture."""


def test_lines_of_the_source_are_joined(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    name = "parse_docstring_from_object"
    monkeypatch.setattr(_docstrings, name, getattr(_docstrings, name))  # the test leaves tyro as it was
    field_docstrings.install()
    with pytest.raises(SystemExit):
        tyro.cli(Config, args=["--help"])
    assert "of the picture. (default: 0)" in capsys.readouterr().out
