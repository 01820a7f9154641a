"""The tables of routes that overflow, and of volumes beside their thresholds."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from hybridllm.cli.status import figures
from hybridllm.cli.status.figures import NOT_KNOWN
from hybridllm.cli.status.values import Row, moment, number, rows, text, texts, whole
from hybridllm.cli.top.columns import Column, bar_and_percent, table
from hybridllm.cli.top.looks import Seen

_BAR = 8


def overflows(seen: Seen, *, width: int) -> Table | None:
    """Return the routes that overflow; None: there are none."""
    told = list(rows(seen.told, "overflows"))
    if not told:
        return None
    leaving = seen.rates.leaving
    columns: tuple[Column[Row], ...] = (
        Column("route", 100, lambda row: text(row, "route"), right=False),
        Column("overflows", 95, _on, right=False),
        Column("from -> to", 80, _way, right=False, breaks=True),
        Column(
            "leaving now",
            90,
            lambda row: bar_and_percent(leaving.get(text(row, "route")), _BAR, style="magenta"),
            right=False,
        ),
        Column("left so far", 60, _left),
        Column("spells", 40, lambda row: figures.count(number(row, "spells"))),
        Column("why", 70, lambda row: text(row, "why"), right=False, breaks=True),
    )
    return table(columns, told, width=width)


def volumes(seen: Seen, *, width: int) -> Table | None:
    """Return the conditions on volume and break-even; None: there are none."""
    told = list(rows(seen.told, "volumes"))
    if not told:
        return None
    columns: tuple[Column[Row], ...] = (
        Column("condition", 100, _condition, right=False, breaks=True),
        Column("holds", 95, _holds, right=False),
        Column("on the way", 90, _on_the_way, right=False),
        Column("days in a row", 85, _days),
        Column("now", 70, lambda row: figures.count(number(row, "now"))),
        Column("begins / ends at", 60, _bounds),
        Column("sums", 50, lambda row: text(row, "text"), right=False, breaks=True),
    )
    return table(columns, told, width=width)


def _on(row: Row) -> Text:
    if row.get("on") is not True:
        return Text("off" if row.get("on") is False else NOT_KNOWN)
    since_s = number(row, "on_for_s")
    return Text(
        f"ON {figures.spell(since_s)}" if since_s is not None else "ON", style="bold yellow"
    )


def _way(row: Row) -> str:
    sources, to = ", ".join(texts(row, "sources")), ", ".join(texts(row, "to"))
    return f"{sources or NOT_KNOWN} -> {to or NOT_KNOWN}"


def _left(row: Row) -> str:
    left, stayed = whole(row, "left"), whole(row, "stayed")
    if left is None or stayed is None:
        return NOT_KNOWN
    return f"{figures.count(left)} of {figures.count(left + stayed)}"


def _condition(row: Row) -> str:
    whose = text(row, "whose")
    return text(row, "condition") + (f" of {whose}" if whose else "")


def _holds(row: Row) -> Text:
    if not isinstance(row.get("holds"), bool):
        return Text(NOT_KNOWN)
    since = moment(row, "since")
    told = "" if since is None else f" since {since:%Y-%m-%d %H:%M}"
    if row["holds"]:
        return Text(f"HOLDS{told}", style="bold green")
    return Text(f"no{told}")


def _on_the_way(row: Row) -> Text:
    return bar_and_percent(number(row, "share"), _BAR)


def _bounds(row: Row) -> str:
    enter, leave = number(row, "enter"), number(row, "exit")
    return NOT_KNOWN if enter is None else f"{figures.count(enter)} / {figures.count(leave)}"


def _days(row: Row) -> str:
    days, needed = whole(row, "days"), whole(row, "days_needed")
    return NOT_KNOWN if days is None or needed is None else f"{days} of {needed}"
