"""The table of backends: how each is, what it has to do, and what it does."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from hybridllm.cli.status import figures
from hybridllm.cli.status.figures import NOT_KNOWN
from hybridllm.cli.status.values import Row, money, number, rows, text, whole
from hybridllm.cli.top.columns import Column, bar_and_percent, table
from hybridllm.cli.top.looks import UNKNOWN, Rate, Seen

WIDE = 120
_BAR, _BAR_WIDE = 6, 12


@dataclass(frozen=True, slots=True)
class Line:
    """A backend: what is told of it and of its candidates, and its rates."""

    row: Row
    candidates: tuple[Row, ...]
    rate: Rate


def backends(seen: Seen, *, width: int) -> Table:
    """Return the table."""
    candidates = list(rows(seen.told, "candidates"))
    lines = [
        Line(
            row,
            tuple(one for one in candidates if text(one, "backend") == text(row, "backend")),
            seen.rates.backends.get(text(row, "backend"), UNKNOWN),
        )
        for row in rows(seen.told, "backends")
    ]
    return table(_columns(_BAR_WIDE if width >= WIDE else _BAR), lines, width=width)


def _columns(bar: int) -> tuple[Column[Line], ...]:
    return (
        Column("backend", 100, lambda one: text(one.row, "backend"), right=False),
        Column("state", 95, lambda one: state(one.row, one.candidates), right=False),
        Column("under way\n/ limit", 90, lambda one: _under_way(one.row)),
        Column("own\nqueue", 60, lambda one: _queue(one.row)),
        Column("runs\nthere", 70, lambda one: figures.whole(number(one.row, "running"))),
        Column("queue\nthere", 72, lambda one: figures.whole(number(one.row, "queued"))),
        Column("KV", 71, lambda one: figures.percent(number(one.row, "kv_used"))),
        Column("wait", 65, lambda one: figures.wait(number(one.row, "wait_s"))),
        Column("tokens/s", 80, lambda one: figures.rate(one.rate.tokens_per_s)),
        Column(
            "it can do\ntokens/s", 43, lambda one: figures.rate(number(one.row, "tokens_per_s"))
        ),
        Column("attempts/s", 55, lambda one: figures.rate(one.rate.attempts_per_s)),
        Column("share now", 85, lambda one: bar_and_percent(one.rate.share, bar), right=False),
        Column("cached", 50, lambda one: figures.percent(cached(one))),
        Column("used", 45, lambda one: figures.percent(number(one.row, "utilisation"))),
        Column("$/1M\naverage", 40, lambda one: _average(one.row)),
        Column("$/hour", 75, _per_hour),
        Column("$ machines\n/hour", 42, lambda one: figures.money(fixed(one.row))),
    )


def state(row: Row, candidates: tuple[Row, ...]) -> Text:
    """Return how a backend is, in a word or two: the worst that is known."""
    awake_in_s = number(row, "awake_in_s")
    if awake_in_s is not None:
        return Text(f"waking {figures.spell(max(0.0, awake_in_s))}", style="yellow")
    gates = [gate for one in candidates if (gate := text(one, "gate"))]
    is_open = sum(text(one, "breaker") == "open" for one in candidates)
    some = len(gates) + is_open < len(candidates)
    if is_open:
        told = f"open {is_open}/{len(candidates)}" if some else "OPEN"
        return Text(told, style="yellow" if some else "bold red")
    if gates:
        told = f"{gates[0]} gate" + (f" {len(gates)}/{len(candidates)}" if some else "")
        return Text(told, style="magenta")
    if any(text(one, "breaker") == "half_open" for one in candidates):
        return Text("half-open", style="yellow")
    if row.get("stale") is True:
        return Text("tells nothing", style="yellow")
    if text(row, "saturated"):
        return Text("saturated", style="yellow")
    return Text("up", style="green")


def cached(line: Line) -> float | None:
    """Return what share of prompt tokens was cached lately: as answers told, else as its page did."""
    told = [
        (share, number(one, "prompt_tokens") or 0.0)
        for one in line.candidates
        if (share := number(one, "cached_share")) is not None
    ]
    tokens = sum(size for _, size in told)
    if not told or not tokens:
        return number(line.row, "cache_hit_rate")
    return sum(share * size for share, size in told) / tokens


def fixed(row: Row) -> Decimal | None:
    """Return what a backend's machines cost an hour, whatever they do."""
    return money(row, "machines_usd_per_hour")


def _under_way(row: Row) -> Text:
    in_flight, limit = whole(row, "in_flight"), whole(row, "limit")
    told = NOT_KNOWN if in_flight is None else str(in_flight)
    if limit is None:
        return Text(told)
    full = in_flight is not None and in_flight >= limit
    return Text(f"{told}/{limit}{' full' if full else ''}", style="yellow" if full else "")


def _queue(row: Row) -> Text:
    waiting = whole(row, "waiting")
    return Text(NOT_KNOWN if waiting is None else str(waiting), style="yellow" if waiting else "")


def _average(row: Row) -> str:
    return figures.money(money(row, "average_usd_per_mtok"))


def _per_hour(one: Line) -> str:
    return figures.money(one.rate.usd_per_hour, at_least=one.rate.usd_incomplete)
