"""A backtest for people: before, after and the difference, with bounds where it is an estimate."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.output import headline, note, paragraph, seconds, usd
from hybridllm.cli.tables import Cell, Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import BacktestReport

_KINDS = {
    "forbidden": "answered by somebody whom it forbids",
    "denied": "answered, and denied now",
    "allowed": "denied, and allowed now, to",
}
_COLUMNS = ("before", "after", "difference", "from", "to")
_NAMES = {"answer": "whole answer", "first_token": "first token"}


def draw(report: BacktestReport) -> None:
    """Print a report."""
    note(f"{report.ledger} by policy {report.policy} (version {report.policy_version})")
    if report.first_at is None or report.last_at is None:
        typer.echo("\nThere are no requests in that time.")
        return
    times = f"{report.first_at:%Y-%m-%d %H:%M} to {report.last_at:%Y-%m-%d %H:%M} UTC"
    note(f"{report.requests:,} requests, {times}")
    if report.same:
        typer.echo("\nNothing changes, for any request.")
    headline("What changes")
    typer.echo(
        f"{report.kept:,} requests stand, {report.moved:,.0f} go to somebody else, "
        f"{report.denied:,} are denied now"
    )
    show(_totals(report))
    headline("Who answers")
    show(_candidates(report))
    if report.violations:
        headline("Rules that would have had it otherwise")
        show(_violations(report))
    if report.notes:
        headline("Assumed")
        for text in report.notes:
            paragraph(f"- {text}")


def _totals(report: BacktestReport) -> Table:
    made = Table("", *_COLUMNS, right=_COLUMNS)
    made.add_row("cost", *_figures(report.cost_usd, _usd))
    for what, bounded in (
        ("answered", report.answered),
        ("overflowed", report.overflowed),
        ("from the cache", report.cached),
        ("attempts of unknown cost", report.unpriced),
    ):
        if bounded.before or bounded.high:
            made.add_row(what, *_figures(bounded, _count))
    for one in report.latencies:
        made.add_row(f"{_NAMES[one.what]}, p{one.percentile}", *_figures(one.seconds, _seconds))
    return made


def _candidates(report: BacktestReport) -> Table:
    made = Table(
        "candidate", "requests", "after", "cost", "after ", "from", "to",
        right=("requests", "after", "cost", "after ", "from", "to"),
    )  # fmt: skip
    for one in report.candidates:
        asked, cost = one.requests, one.cost_usd
        made.add_row(
            one.name,
            _count(asked.before),
            _count(asked.after),
            _usd(cost.before),
            _usd(cost.after),
            *(("", "") if cost.low == cost.high else (_usd(cost.low), _usd(cost.high))),
        )
    return made


def _violations(report: BacktestReport) -> Table:
    made = Table(
        "requests", "were", "rule", "for example", right=("requests",), prose=("for example",)
    )
    for one in report.violations:
        colour = "red" if one.kind == "forbidden" else "yellow"
        made.add_row(
            f"{one.requests:,}",
            Coloured(_KINDS[one.kind], colour),
            one.rule,
            ", ".join(one.examples),
        )
    return made


def _figures(bounded: Any, show_one: Callable[..., str]) -> tuple[Cell, ...]:
    """Return before, after, difference and bounds; without bounds if it is exact."""
    difference = bounded.difference
    exact = bounded.low == bounded.high and bounded.low is not None
    sign = "+" if difference is not None and difference > 0 else ""
    cells = (
        show_one(bounded.before),
        show_one(bounded.after),
        "-" if difference is None else f"{sign}{show_one(difference)}",
    )
    return (*cells, "", "") if exact else (*cells, show_one(bounded.low), show_one(bounded.high))


def _usd(amount: Decimal) -> str:
    return usd(amount).replace("$-", "-$")


def _count(count: float | None) -> str:
    return "unknown" if count is None else f"{count:,.0f}"


def _seconds(duration_s: float | None) -> str:
    if duration_s is None:
        return "unknown"
    return seconds(duration_s) if duration_s >= 0 else f"-{seconds(-duration_s)}"
