"""Tables as lines of text: columns, wrapped where the terminal is narrow.

Written here because `check` and `explain` are to start in 0.4 s, and loading `rich` takes a tenth of
that; the demo, which draws over itself, uses it. In a pipe nothing is wrapped, so that `grep` and `cut`
work, and no line ends in spaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import zip_longest
from typing import NamedTuple

import typer

from hybridllm.cli.output import terminal_width

_GAP = "  "
_PROSE_WIDTH_MIN = 16


class Coloured(NamedTuple):
    """A cell with a colour."""

    text: str
    colour: str


Cell = str | Coloured


class Table:
    """Rows under headings.

    Args:
        headings: One per column.
        right: Headings of columns whose cells are aligned to the right.
        prose: Headings of columns whose cells may go on in the next line.
    """

    def __init__(
        self, *headings: str, right: Collection[str] = (), prose: Collection[str] = ()
    ) -> None:
        self._headings = headings
        self._right = [heading in right for heading in headings]
        self._prose = [heading in prose for heading in headings]
        self._rows: list[tuple[Cell, ...]] = []

    def add_row(self, *cells: Cell) -> None:
        """Add a row; one cell per column, without line breaks."""
        self._rows.append(cells)

    def lines(self, *, width: int | None) -> Iterator[str]:
        """Return the lines, headings first. `width` None: as wide as it needs to be."""
        widths = self._widths(width)
        yield from self._row(tuple(Coloured(name, "dim") for name in self._headings), widths)
        for row in self._rows:
            yield from self._row(row, widths)

    def _widths(self, width: int | None) -> list[int]:
        columns = zip(self._headings, *self._rows, strict=True)
        widths = [max(len(_text(cell)) for cell in column) for column in columns]
        if width is None:
            return widths
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        while excess > 0:
            # The widest column that may be wrapped gives way; names are never broken.
            room, widest = max(
                (size if prose else 0, place)
                for place, (size, prose) in enumerate(zip(widths, self._prose, strict=True))
            )
            if room <= _PROSE_WIDTH_MIN:
                break
            widths[widest] -= 1
            excess -= 1
        return widths

    def _row(self, cells: tuple[Cell, ...], widths: list[int]) -> Iterator[str]:
        pieces = [_wrapped(_text(cell), width) for cell, width in zip(cells, widths, strict=True)]
        for line in zip_longest(*pieces, fillvalue=""):
            parts = []
            for text, width, right, cell in zip(line, widths, self._right, cells, strict=True):
                padding = " " * (width - len(text))
                styled = _styled(text, cell)
                parts.append(padding + styled if right else styled + padding)
            yield _GAP.join(parts).rstrip()


def show(table: Table) -> None:
    """Print a table on standard output."""
    for line in table.lines(width=terminal_width()):
        typer.echo(line)


def _text(cell: Cell) -> str:
    return cell.text if isinstance(cell, Coloured) else cell


def _styled(text: str, cell: Cell) -> str:
    if not isinstance(cell, Coloured) or not text:
        return text
    return (
        typer.style(text, dim=True) if cell.colour == "dim" else typer.style(text, fg=cell.colour)
    )


def _wrapped(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    from textwrap import wrap

    return wrap(text, width, break_on_hyphens=False)
