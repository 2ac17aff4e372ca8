"""Problems as process.json lists them, for the command line and the report."""

from __future__ import annotations

Problem = dict[str, str]
"""`severity`: error, warning or hint; `what` is wrong; what to `do`."""


def problem(severity: str, what: str, do: str) -> Problem:
    """Return one entry of the list."""
    return {"severity": severity, "what": what, "do": do}


def warning(what: str, do: str) -> Problem:
    """Return a problem that spoils the result."""
    return problem("warning", what, do)


def hint(what: str, do: str) -> Problem:
    """Return what can be done better."""
    return problem("hint", what, do)


def from_message(severity: str, message: str) -> Problem:
    """Return a message as a problem: what is wrong stands before the last semicolon, what to do after it."""
    what, _, remedy = message.rpartition("; ")
    return problem(severity, what or remedy, remedy if what else "")
