"""`macro-splat doctor`: is everything here that a training needs?"""

import warnings

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from macro_splat.cli import checks
from macro_splat.cli.checks import State

MARKS = {State.OK: "[green]ok", State.NOTE: "[yellow]note", State.BROKEN: "[red]broken"}


def doctor() -> int:
    """Say what is installed, which rasterizer will run and why, and what is missing; exit with 1 if it is needed."""
    # nerfstudio's modules use names that torch has deprecated; nothing that the user could mend.
    warnings.filterwarnings("ignore", category=FutureWarning, module="nerfstudio")
    table = Table(title="macro-splat doctor")
    for heading in ("what", "", "found"):
        table.add_column(heading, overflow="fold")
    remedies: list[tuple[State, str, str]] = []
    console = Console()
    with console.status("checking ...") as status:
        for check in checks.all_checks():
            status.update(f"checking {check.name} ...")
            result = check.run()
            table.add_row(check.name, MARKS[result.state], result.found)
            if result.remedy:
                remedies.append((result.state, check.name, result.remedy))
    console.print(table)
    for state, name, remedy in remedies:
        console.print(f"{MARKS[state]}[/] {name}: {escape(remedy)}", highlight=False)
    broken = any(state is State.BROKEN for state, _, _ in remedies)
    console.print("[red]Not ready." if broken else "[green]Ready.")
    return int(broken)
