"""Tables that lose their least important columns where the terminal is narrow.

A cell is a text with a colour, never a colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from hybridllm.cli.status.figures import NOT_KNOWN

_Row = TypeVar("_Row")

GAP = 2
_MORE_THAN_ITS_SHARE = 3  # a column that may be broken asks for no more than a third


@dataclass(frozen=True, slots=True)
class Column(Generic[_Row]):
    """One column.

    Attributes:
        title: Over it; may have two lines.
        weight: Who has more has room first.
        cell: What stands in a row.
        right: Whether figures stand at its right end.
        breaks: Whether its cells may go on in the next line.
    """

    title: str
    weight: int
    cell: Callable[[_Row], str | Text]
    right: bool = True
    breaks: bool = False


def table(columns: Sequence[Column[_Row]], rows: Sequence[_Row], *, width: int) -> Table:
    """Return rows under as many columns as fit; a column in which nothing is known goes first."""
    cells = {column.title: [_text(column.cell(row)) for row in rows] for column in columns}
    telling = [one for one in columns if _says_something(cells[one.title])]
    needs = {one.title: _need(one, cells[one.title], width) for one in telling}
    shown = _fitting(telling, needs, width)
    made = Table(header_style="dim", box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for column in shown:
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.breaks,
            overflow="fold" if column.breaks else "ellipsis",
            min_width=min(needs[column.title], width),
        )
    for place in range(len(rows)):
        made.add_row(*(cells[column.title][place] for column in shown))
    return made


def bar(share: float | None, width: int, *, style: str = "cyan") -> Text:
    """Return a bar; its two halves differ without colours too. What is not known has none."""
    if share is None:
        return Text(NOT_KNOWN)
    filled = round(min(max(share, 0.0), 1.0) * width)
    made = Text("█" * filled, style=style)
    made.append("·" * (width - filled), style="dim")
    return made


def bar_and_percent(share: float | None, width: int, *, style: str = "cyan") -> Text:
    """Return a bar and its figure."""
    made = bar(share, width, style=style)
    if share is not None:
        percent = min(max(share, 0.0), 9.99) * 100
        made.append(f" {percent:>3.0f} %", style="default")
    return made


def _fitting(
    columns: Sequence[Column[_Row]], needs: Mapping[str, int], width: int
) -> list[Column[_Row]]:
    """Return the columns that have room, in their order: the most important ones have it first."""
    left = width + GAP
    chosen: set[str] = set()
    for column in sorted(columns, key=lambda one: -one.weight):
        if needs[column.title] + GAP <= left or not chosen:
            chosen.add(column.title)
            left -= needs[column.title] + GAP
    return [column for column in columns if column.title in chosen]


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _says_something(cells: Sequence[Text]) -> bool:
    return not cells or any(cell.plain not in ("", NOT_KNOWN) for cell in cells)


def _need(column: Column[_Row], cells: Sequence[Text], width: int) -> int:
    title = max(cell_len(line) for line in column.title.split("\n"))
    natural = max([title, *(cell_len(cell.plain) for cell in cells)])
    return max(title, min(natural, width // _MORE_THAN_ITS_SHARE)) if column.breaks else natural
