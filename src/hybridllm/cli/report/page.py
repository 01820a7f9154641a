"""One month of a ledger on a page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from hybridllm.cli.costs.screen import IDLE, key_cells
from hybridllm.cli.html_page import html_page
from hybridllm.cli.output import percent, plural, seconds, usd
from hybridllm.cli.report.charts import NARROW, WIDE, Series, legend, lines, stacked_bars
from hybridllm.cli.report.style import STYLE

if TYPE_CHECKING:
    from hybridllm import CostReport, CostRow
    from hybridllm.cli.report.month import Month

_ROWS_MAX = 12
_STACKS_MAX = 6
_OTHERS = "all others"
_HEADS = (
    *("cost", "share", "requests", "success", "per success", "p99"),
    *("p50", "wasted", "tokens", "unknown"),
)
_FEW = 6  # of them fit half of the page


def page(month: Month) -> str:
    """Return the page."""
    whole = month.tenants
    title = f"{whole.since:%B %Y}"
    parts = [
        _head(whole, title),
        _tiles(whole),
        "<main>",
        _section("Spend by day, and where", *_spend(month.backends), wide=True),
        _section("By tenant", _table(month.tenants)),
        _section("By feature", _table(month.features)),
        _section("By task and model", _table(month.tasks, wide=True), wide=True),
        _section("Latency of answers by day", *_latency(month.days)),
        _section("The same traffic would have cost", _what_if(whole)),
        _section("Machines that are paid by the month", _machines(whole), wide=True)
        if whole.machines
        else "",
        "</main>",
        _foot(whole),
    ]
    body = "\n".join(part for part in parts if part)
    return html_page(f"{title}: what requests cost", body, style=STYLE)


def _head(whole: CostReport, title: str) -> str:
    return (
        f'<header><h1>{escape(title)}</h1><span class="soft">{escape(whole.ledger)} · '
        f"{whole.since:%Y-%m-%d} to {whole.until:%Y-%m-%d}, UTC, USD</span></header>"
    )


def _tiles(whole: CostReport) -> str:
    total = whole.total
    waste = percent(total.wasted_pico, total.spent_pico)
    told = [
        ("spent", usd(total.spent_usd), f"{total.requests:,} requests"),
        ("of it machines", usd(_usd(total.fixed_pico)), _machines_word(whole)),
        (
            "per success",
            _per_success(total),
            f"{percent(total.succeeded, total.requests)} succeeded",
        ),
        ("wasted", usd(_usd(total.wasted_pico)), f"{waste} bought no answer"),
        ("escalations", f"{total.escalations:,}", f"of {total.attempts:,} attempts"),
        ("cache saved", usd(_usd(total.saved_pico)), f"{total.cache_hits:,} hits"),
        (
            "latency p50",
            _latency_text(total.latency_p50_us),
            f"p99 {_latency_text(total.latency_p99_us)}",
        ),
        ("not known", f"{total.unknown:,}", "attempts whose cost nobody knows"),
    ]
    items = "".join(
        f"<li><small>{escape(name)}</small><b>{escape(value)}</b><small>{escape(more)}</small></li>"
        for name, value, more in told
    )
    return f'<ul class="tiles">{items}</ul>'


def _machines_word(whole: CostReport) -> str:
    idle = sum(one.idle_pico for one in whole.machines)
    return f"{usd(_usd(idle))} on idle days" if idle else plural(len(whole.machines), "backend")


def _section(title: str, *parts: str, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _spend(report: CostReport) -> Iterator[str]:
    days = sorted({row.key[0] or "" for row in report.rows})
    sums: dict[str, dict[str, int]] = {}
    for row in report.rows:
        name = IDLE if row.idle else key_cells(row)[1]
        here = sums.setdefault(name, {})
        here[row.key[0] or ""] = here.get(row.key[0] or "", 0) + row.spent_pico
    paid = {name: here for name, here in sums.items() if any(here.values())}
    idle = paid.pop(IDLE, None)
    names = sorted(paid, key=lambda name: -sum(paid[name].values()))
    groups = {name: [paid[name]] for name in names[:_STACKS_MAX]}
    if names[_STACKS_MAX:]:
        groups[_OTHERS] = [paid[name] for name in names[_STACKS_MAX:]]
    series = [
        Series(name, _per_day(days, group), f"c{place}")
        for place, (name, group) in enumerate(groups.items())
    ]
    if idle is not None:
        series.append(Series("machines on idle days", _per_day(days, [idle]), "idle"))
    yield stacked_bars(days, series, unit="$", size=WIDE)
    yield legend(series)


def _per_day(days: Sequence[str], group: Sequence[dict[str, int]]) -> list[float]:
    return [float(_usd(sum(one.get(day, 0) for one in group))) for day in days]


def _latency(report: CostReport) -> Iterator[str]:
    rows = {row.key[0] or "": row for row in report.rows if not row.idle}
    days = sorted(rows)
    found = [(rows[day].latency_p50_us, rows[day].latency_p99_us) for day in days]
    series = [
        Series("p50", [_seconds(p50) for p50, _ in found], "c0"),
        Series("p99", [_seconds(p99) for _, p99 in found], "c1"),
    ]
    yield lines(days, series, unit=" s", size=NARROW)
    yield legend(series)


def _table(report: CostReport, *, wide: bool = False) -> str:
    """The dearest rows and idle machines; the others in one line, so that the column sums to its total."""
    heads_ = _HEADS if wide else _HEADS[:_FEW]
    *amounts, whole = report.rounded_usd()
    told = list(zip(report.rows, amounts, strict=True))
    shown = [one for place, one in enumerate(told) if place < _ROWS_MAX or one[0].idle]
    rows = [
        _row(key_cells(row), row, f"${amount:,f}", report.total, wide=wide) for row, amount in shown
    ]
    if len(shown) < len(told):
        rest = whole - sum(amount for _, amount in shown)
        names = [f"{len(told) - len(shown):,} more", *[""] * (len(report.by) - 1)]
        cells = "".join(f'<td class="name">{escape(name)}</td>' for name in names)
        empty = f'<td colspan="{len(heads_) - 1}"></td>'
        rows.append(f'<tr>{cells}<td class="n">${rest:,f}</td>{empty}</tr>')
    names = ["all", *[""] * (len(report.by) - 1)]
    rows.append(
        _row(names, report.total, f"${whole:,f}", report.total, wide=wide, kind=' class="all"')
    )
    heads = "".join(f"<th>{escape(name)}</th>" for name in report.by)
    heads += "".join(f'<th class="n">{name}</th>' for name in heads_)
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(
    names: Sequence[str], row: CostRow, amount: str, total: CostRow, *, wide: bool, kind: str = ""
) -> str:
    share = Decimal(row.spent_pico) / total.spent_pico if total.spent_pico else Decimal(0)
    bar = (
        ""
        if kind
        else f'<span class="bar" style="width:{max(share * 100, Decimal("0.5")):.1f}%"></span>'
    )
    cells = [
        f'<td class="name">{escape(name)}{bar if n == 0 else ""}</td>'
        for n, name in enumerate(names)
    ]
    values = (
        amount,
        percent(row.spent_pico, total.spent_pico),
        f"{row.requests:,}",
        percent(row.succeeded, row.requests),
        _per_success(row),
        _latency_text(row.latency_p99_us),
        _latency_text(row.latency_p50_us),
        usd(_usd(row.wasted_pico)),
        f"{row.tokens:,}",
        f"{row.unknown:,}" if row.unknown else "-",
    )
    cells += [
        f'<td class="n">{escape(value)}</td>' for value in (values if wide else values[:_FEW])
    ]
    return f"<tr{kind}>{''.join(cells)}</tr>"


def _machines(whole: CostReport) -> str:
    heads = ("backend", "days", "cost", "on idle days", "tokens", "could process", "used")
    rows = []
    for one in whole.machines:
        used = one.utilisation
        cells = (
            str(one.days),
            usd(_usd(one.bill_pico)),
            usd(_usd(one.idle_pico)),
            f"{one.tokens:,}",
            "not declared" if one.tokens_possible is None else f"{one.tokens_possible:,}",
            "-" if used is None else f"{used * 100:.1f} %",
        )
        numbers = "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
        width = min(Decimal(100), (used or Decimal(0)) * 100)
        bar = f'<span class="bar" style="width:{width:.1f}%"></span>'
        rows.append(f'<tr><td class="name">{escape(one.backend)}{bar}</td>{numbers}</tr>')
    head = "".join(f'<th class="{"n" if n else ""}">{name}</th>' for n, name in enumerate(heads))
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _what_if(whole: CostReport) -> str:
    found = whole.what_if
    if found is None:
        return ""
    paid = whole.total.spent_usd
    sums = [
        paid,
        *(one.high_usd or one.low_usd or Decimal(0) for one in (found.all_api, found.all_own)),
    ]
    most = max(sums) or Decimal(1)

    def line(name: str, low: Decimal | None, high: Decimal | None, words: str, kind: str) -> str:
        bars = ""
        if high is not None and low is not None and high > low:
            bars = f'<i class="high" style="width:{high / most * 100:.1f}%"></i>'
        if low is not None:
            bars += f'<i class="{kind}" style="width:{low / most * 100:.1f}%"></i>'
        return (
            f'<tr><td class="name"><b>{escape(name)}</b> <span class="soft">{escape(words)}</span>'
            f'<div class="range">{bars}</div></td><td class="n">{escape(_bounds(low, high))}</td></tr>'
        )

    api, own = found.all_api, found.all_own
    rows = [
        line("as it was", paid, paid, "by the token, and machines", "paid"),
        line("all at hosted APIs", api.low_usd, api.high_usd, api.words, ""),
        line("all on own machines", own.low_usd, own.high_usd, own.words, ""),
    ]
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _bounds(low: Decimal | None, high: Decimal | None) -> str:
    if low is None:
        return "not known"
    if high is None:
        return f"at least {usd(low)}"
    return usd(low) if low == high else f"{usd(low)} to {usd(high)}"


def _foot(whole: CostReport) -> str:
    total = whole.total
    told = []
    if whole.provisional_days:
        first, last = whole.provisional_days[0], whole.provisional_days[-1]
        days = first if first == last else f"{first} to {last}"
        told.append(
            f"Provisional: the shares in machines of {days} are not settled, and may still move."
        )
    if total.unknown:
        told.append(
            f"In no sum: {total.unknown:,} attempts that may have been billed; nobody knows how much."
        )
    if total.saved_unknown:
        told.append(
            f"Of {plural(total.saved_unknown, 'hit')} of the cache nobody knows what they saved."
        )
    if total.shadow_pico:
        told.append(
            f"Copies made for comparison cost {usd(_usd(total.shadow_pico))}; they are in all sums."
        )
    if total.requests:
        said = percent(total.answers_known, total.requests)
        told.append(
            f"Success is what the application said of {said} of the requests; the others count if answered."
        )
    told.append(
        "Amounts are rounded so that columns sum to their totals. Per success: with all that failed."
    )
    return "<footer>" + "".join(f"<p>{escape(text)}</p>" for text in told) + "</footer>"


def _usd(amount_pico: int) -> Decimal:
    return Decimal(amount_pico).scaleb(-12)


def _seconds(duration_us: int | None) -> float | None:
    return None if duration_us is None else duration_us / 1_000_000


def _latency_text(duration_us: int | None) -> str:
    return seconds(_seconds(duration_us))


def _per_success(row: CostRow) -> str:
    return "-" if row.usd_per_success is None else usd(row.usd_per_success)
