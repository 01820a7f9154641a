"""Tables and bars of the demo's pictures."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybridllm.cli.demo.run import Course

WIDE = 118  # columns that a whole picture needs
_FIGURE_WIDTH = 8
_FIGURES = frozenset(
    {
        "answered",
        "share",
        "failed",
        "failures",
        "p50",
        "p99",
        "cost",
        "failovers",
        "fallbacks",
        "cut",
        "denied",
        "left",
        "told later",
        "by the API",
    }
    | {"1st token", "requests", "attempts"}
)
Row = dict[str, "str | Text"]


def table(rows: list[Row], *, hidden: Collection[str] = ()) -> Table:
    """Return rows as a table whose figures keep their places when it is drawn again."""
    made = Table(header_style="dim", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    names = [name for name in (rows[0] if rows else ()) if name not in hidden]
    for name in names:
        if name in _FIGURES:
            made.add_column(name, justify="right", min_width=_FIGURE_WIDTH, no_wrap=True)
        else:
            made.add_column(name, no_wrap=True)
    for row in rows:
        made.add_row(*(row[name] for name in names))
    return made


def head(course: Course, words: str, style: str) -> RenderableType:
    """Return what is happening, and how far the act is."""
    done = len(course.tally.records)
    line = Text(words, style=style)
    line.append(
        f"   {course.now_s:.1f} s   {done} of {course.requests} requests, "
        f"{course.tally.under_way} under way",
        style="dim",
    )
    return Group(line, bar(done / max(course.requests, 1), 60))


def bar(share: float, width: int) -> Text:
    """Return a bar; its two halves differ without colours too."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    bar = Text("█" * filled, style="cyan")
    bar.append("·" * (width - filled), style="dim")
    return bar
