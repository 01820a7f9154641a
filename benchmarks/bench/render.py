"""Tables on a terminal (with rich where it is installed), as plain text, as Markdown."""

from __future__ import annotations

import sys

from bench.tables import Table


def _widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]


def _plain(table: Table) -> str:
    widths = _widths(table)

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "  ".join(padded)

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([table.title, line(table.head), rule, *map(line, table.rows)])


def _markdown(table: Table) -> str:
    rows = [table.head, ["---"] + ["---:"] * (len(table.head) - 1), *table.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([f"## {table.title}", "", *lines])


def _notes(notes: list[str]) -> list[str]:
    return [f"- {note}" for note in notes]


def markdown(tables: list[Table], notes: list[str]) -> str:
    parts = ["# Benchmark", *map(_markdown, tables), "## Notes", "\n".join(_notes(notes))]
    return "\n\n".join(parts) + "\n"


def show(tables: list[Table], notes: list[str]) -> None:
    """Print to stdout; rich only where there is a terminal to draw on."""
    if sys.stdout.isatty() and _show_rich(tables):
        print("\n".join(_notes(notes)))
        return
    print("\n\n".join([*map(_plain, tables), "Notes", "\n".join(_notes(notes))]))


def _show_rich(tables: list[Table]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text
    except ImportError:
        return False
    console = Console()
    for table in tables:
        drawn = RichTable(title=table.title, title_justify="left")
        for at, name in enumerate(table.head):
            drawn.add_column(name, justify="right" if at else "left", overflow="fold")
        for row in table.rows:
            colour = {"NOT MET": "red", "met": "green", "met, goal too": "bold green"}.get(row[-1])
            drawn.add_row(*row[:-1], Text(row[-1], style=colour or ""))
        console.print(drawn)
    return True
