"""Tables of a benchmark, for a README."""

from __future__ import annotations

from rich.table import Table


def to_markdown(table: Table) -> str:
    """The table's title, rows and caption as Markdown."""
    headings = [str(column.header) for column in table.columns]
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    rows = [headings, ["---" if c.justify == "left" else "---:" for c in table.columns], *zip(*columns, strict=True)]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    caption = f"\n\n{table.caption}" if table.caption else ""
    return f"**{table.title}**\n\n{text}{caption}"
