"""A cost report on a terminal: one line for each group, their total, machines, and what-ifs.

Amounts are rounded so that the lines sum to the total that stands below them. Columns that would say nothing
are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import typer

from hybridllm.cli.ledger_options import shown_text
from hybridllm.cli.output import headline, note, paragraph, percent, plural, seconds, usd
from hybridllm.cli.tables import Cell, Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import CostReport, CostRow, Supposed

NOBODY = "(none)"
IDLE = "(idle)"


class _Column(NamedTuple):
    heading: str
    cells: list[str]


def draw(report: CostReport, *, top: int) -> None:
    """Print it."""
    note(f"{report.ledger}, {report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC")
    if not report.rows:
        typer.echo("nothing was sent in this time, and no machine is known")
        return
    typer.echo()
    columns = _columns(report)
    names = [*report.by, *(column.heading for column in columns)]
    table = Table(*names, right=names[len(report.by) :])
    for place, row in enumerate(report.rows[:top]):
        table.add_row(*key_cells(row), *(column.cells[place] for column in columns))
    if len(report.rows) > top:
        table.add_row(f"... {len(report.rows) - top} more", *[""] * (len(names) - 1))
    total: list[Cell] = [Coloured("all", "dim"), *[""] * (len(report.by) - 1)]
    table.add_row(*total, *(column.cells[-1] for column in columns))
    show(table)
    _machines(report)
    _what_if(report)
    _remarks(report)


def key_cells(row: CostRow) -> list[str]:
    """Return a row's key as it is shown; nobody is nobody's name."""
    empty = IDLE if row.idle else NOBODY
    cells = [empty if value is None else shown_text(value) for value in row.key]
    if row.idle and IDLE not in cells and cells:
        cells[0] = f"{cells[0]} {IDLE}"
    return cells


def _columns(report: CostReport) -> list[_Column]:
    rows = [*report.rows, report.total]
    total = report.total

    def counted(heading: str, count: Callable[[CostRow], int]) -> _Column:
        return _Column(heading, [f"{count(row):,}" for row in rows])

    def money(heading: str, of: str) -> _Column:
        exact = [getattr(row, of) for row in rows]
        shown = zip(report.rounded_usd(of), exact, strict=True)
        return _Column(heading, [_amount(amount, amount_pico) for amount, amount_pico in shown])

    found = [
        money("cost", "spent_pico"),
        _Column("share", [percent(row.spent_pico, total.spent_pico) for row in rows]),
    ]
    if total.fixed_pico:
        found.append(money("of it fixed", "fixed_pico"))
    found += [
        counted("requests", lambda row: row.requests),
        counted("attempts", lambda row: row.attempts),
        counted("tokens", lambda row: row.tokens),
        _Column("per success", [_per_success(row) for row in rows]),
        _Column("success", [_success(row) for row in rows]),
        _Column("p50", [_latency(row.latency_p50_us) for row in rows]),
        _Column("p99", [_latency(row.latency_p99_us) for row in rows]),
        money("wasted", "wasted_pico"),
    ]
    if total.escalations:
        found.append(counted("escalated", lambda row: row.escalations))
    if total.cache_hits:
        found.append(money("cache saved", "saved_pico"))
    if total.shadow_pico:
        found.append(money("of it copies", "shadow_pico"))
    if total.unknown:
        found.append(counted("unknown", lambda row: row.unknown))
    return found


def _machines(report: CostReport) -> None:
    if not report.machines:
        return
    headline("Paid by the month")
    names = ("backend", "days", "cost", "idle days", "tokens", "used")
    table = Table(*names, right=names[1:])
    for one in report.machines:
        used = one.utilisation
        table.add_row(
            shown_text(one.backend),
            str(one.days),
            usd(Decimal(one.bill_pico).scaleb(-12)),
            usd(Decimal(one.idle_pico).scaleb(-12)),
            f"{one.tokens:,}",
            "-" if used is None else f"{used * 100:.1f} %",
        )
    show(table)
    if report.provisional_days:
        first, last = report.provisional_days[0], report.provisional_days[-1]
        days = first if first == last else f"{first} to {last}"
        note(f"provisional: the shares of {days} are not settled, and may still move")


def _what_if(report: CostReport) -> None:
    found = report.what_if
    if found is None:
        return
    headline("The same traffic would have cost")
    table = Table(
        "where", "at least", "at most", "how", right=("at least", "at most"), prose=("how",)
    )
    lines = [("all at hosted APIs", found.all_api), ("all on own machines", found.all_own)]
    if found.all_on_model is not None:
        lines.append((f"all on {found.model}", found.all_on_model))
    for name, one in lines:
        table.add_row(name, *_bounds(one), one.words)
    show(table)


def _bounds(one: Supposed) -> tuple[str, str]:
    if one.low_usd is None:
        return "not known", "not known"
    return usd(one.low_usd), "not known" if one.high_usd is None else usd(one.high_usd)


def _remarks(report: CostReport) -> None:
    total = report.total
    if total.unknown:
        typer.echo()
        paragraph(
            typer.style("not known: ", fg="yellow")
            + f"what {plural(total.unknown, 'attempt')} cost that may have been billed; in no sum"
        )
    if total.requests and not total.answers_known:
        note("success: nobody said whether an answer was right; those that were answered count")


def _amount(amount: Decimal, exact_pico: int) -> str:
    """A rounded amount; a little is not nothing."""
    if amount or not exact_pico:
        return f"${amount:,f}"
    places = len(f"{amount:f}".partition(".")[2])
    return f"<${Decimal(1).scaleb(-places):f}"


def _per_success(row: CostRow) -> str:
    return "-" if row.usd_per_success is None else usd(row.usd_per_success)


def _success(row: CostRow) -> str:
    return percent(row.succeeded, row.requests)


def _latency(duration_us: int | None) -> str:
    return seconds(None if duration_us is None else duration_us / 1_000_000)
