"""What a ledger says of money over a time, as values: groups, their total, machines, what-ifs.

Sums are whole 10^-12 USD; the total is the sum of the rows, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from hybridllm._core.ledger.cents import places_for, rounded
from hybridllm._core.ledger.what_if import WhatIf
from hybridllm._core.money.pico import usd_of

GROUPINGS = (
    "tenant",
    "feature",
    "task",
    "route",
    "backend",
    "model",
    "user",
    "session",
    "policy",
    "day",
    "hour",
)
"""What a report can be grouped by, beside the declared keys."""
PICO_FIELDS = ("cost_pico", "fixed_pico", "wasted_pico", "shadow_pico", "saved_pico")


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one group cost, and what for.

    Attributes:
        key: One value for each grouping, in order; None: the requests say none.
        idle: True for what own machines cost on days on which nobody used them; it belongs to nobody.
        requests: That have ended, without copies made for comparison; `succeeded`: as the application said,
            else those that were answered.
        answers_known: Requests of which the application said whether they succeeded.
        attempts: All of them; `escalations`: those whose answer a cascade did not accept.
        unknown: Attempts that may have cost something that nobody knows; in no sum.
        cost_pico: What was billed by the token; `fixed_pico`: the share in what machines cost by the month.
        wasted_pico: Of both, what did not buy an answer.
        shadow_pico: Of both, what copies for comparison cost.
        saved_pico: What the response cache saved; `cache_hits`: how often; `saved_unknown`: of how many hits
            nobody knows what they saved.
        latency_p50_us: Of answered requests; None: there are none, or it was not asked for.
    """

    key: tuple[str | None, ...]
    idle: bool = False
    requests: int = 0
    succeeded: int = 0
    answers_known: int = 0
    attempts: int = 0
    escalations: int = 0
    unknown: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost_pico: int = 0
    fixed_pico: int = 0
    wasted_pico: int = 0
    shadow_pico: int = 0
    saved_pico: int = 0
    cache_hits: int = 0
    saved_unknown: int = 0
    latency_p50_us: int | None = None
    latency_p99_us: int | None = None

    @property
    def spent_pico(self) -> int:
        """What it cost in all: by the token, and its share of what is paid by the month."""
        return self.cost_pico + self.fixed_pico

    @property
    def spent_usd(self) -> Decimal:
        """The same in USD, exact."""
        return usd_of(self.spent_pico)

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.input_tokens + self.output_tokens

    @property
    def usd_per_success(self) -> Decimal | None:
        """What a successful request cost, with all that failed on the way; None: none succeeded."""
        return self.spent_usd / self.succeeded if self.succeeded else None

    def to_dict(self, by: Sequence[str], *, of_pico: int) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        share = f"{Decimal(self.spent_pico) / of_pico:.6f}" if of_pico else None
        names = [one.name for one in fields(self) if one.name not in ("key", *PICO_FIELDS)]
        money = {_usd_name(name): _text(getattr(self, name)) for name in PICO_FIELDS}
        return (
            dict(zip(by, self.key, strict=True))
            | {"spent_usd": _text(self.spent_pico), "share": share}
            | money
            | {"usd_per_success": _short(self.usd_per_success)}
            | {name: getattr(self, name) for name in names}
        )


@dataclass(frozen=True, slots=True)
class MachineRow:
    """What a backend cost that is paid by the month.

    Attributes:
        days: Of the time, on which it cost something; the running day counts as far as it has come.
        bill_pico: What it cost; `idle_pico`: of it, days on which nobody used it.
        tokens: That it processed; `tokens_possible`: that it could have, as declared; None: not declared.
        provisional: True if a day is not settled yet, so that shares may still move.
    """

    backend: str
    days: int
    bill_pico: int
    idle_pico: int
    tokens: int
    tokens_possible: int | None
    provisional: bool

    @property
    def utilisation(self) -> Decimal | None:
        """Of what it could have processed; None: nobody declared that."""
        if not self.tokens_possible:
            return None
        return Decimal(self.tokens) / self.tokens_possible

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "backend": self.backend,
            "days": self.days,
            "bill_usd": _text(self.bill_pico),
            "idle_usd": _text(self.idle_pico),
            "tokens": self.tokens,
            "tokens_possible": self.tokens_possible,
            "utilisation": _short(self.utilisation),
            "provisional": self.provisional,
        }


@dataclass(frozen=True, slots=True)
class CostReport:
    """What a ledger says of money over a time.

    Attributes:
        ledger: Where it was read, without passwords.
        since: UTC; `until` is not part of the time.
        by: What the rows are grouped by.
        rows: Dearest first; of days and hours in order. Idle machines come last.
        total: The sum of the rows; its latencies are of all requests.
        machines: What is paid by the month.
        what_if: What the same traffic would have cost elsewhere; None: it was not asked for.
        provisional_days: Days whose fixed costs are not settled: their shares are worked out here.
    """

    ledger: str
    since: datetime
    until: datetime
    by: tuple[str, ...]
    rows: tuple[CostRow, ...]
    total: CostRow
    machines: tuple[MachineRow, ...]
    what_if: WhatIf | None
    provisional_days: tuple[str, ...] = field(default=())

    def rounded_usd(self, of: str = "spent_pico") -> list[Decimal]:
        """Return a column of the rows and then its total, rounded so that the rows sum to it."""
        amounts = [getattr(row, of) for row in self.rows]
        places = places_for([row.spent_pico for row in self.rows])
        units = rounded(amounts, places)
        return [Decimal(unit).scaleb(-places) for unit in (*units, sum(units))]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts, times are UTC."""
        whole = self.total.spent_pico
        total = self.total.to_dict((), of_pico=whole)
        return {
            "ledger": self.ledger,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "by": list(self.by),
            "currency": "USD",
            "rows": [row.to_dict(self.by, of_pico=whole) for row in self.rows],
            "total": total,
            "machines": [one.to_dict() for one in self.machines],
            "what_if": None if self.what_if is None else self.what_if.to_dict(),
            "provisional_days": list(self.provisional_days),
        }


class Ranks(NamedTuple):
    """Latencies by nearest rank, so each is one that somebody had; None: nobody was answered."""

    latency_p50_us: int | None = None
    latency_p99_us: int | None = None


def ranks_of(durations_us: Iterable[int]) -> Ranks:
    """Return the latencies that half, and 99 of a hundred, were no slower than."""
    ordered = sorted(durations_us)
    if not ordered:
        return Ranks()
    return Ranks(*(ordered[(len(ordered) * percent + 99) // 100 - 1] for percent in (50, 99)))


def merged(parts: Iterable[tuple[bool, Mapping[str, Any]]], by: Sequence[str]) -> list[CostRow]:
    """Return a row for each key of the parts, their numbers added up.

    Args:
        parts: Whether it is idle, and the values of some fields; keys by the names of `by`.
        by: The groupings.
    """
    found: dict[tuple[bool, tuple[str | None, ...]], dict[str, Any]] = {}
    names = [one.name for one in fields(CostRow) if one.name not in ("key", "idle")]
    for idle, values in parts:
        key = tuple(values.get(name) for name in by)
        sums = found.setdefault((idle, key), {})
        for name in names:
            if (value := values.get(name)) is not None:
                sums[name] = sums.get(name, 0) + value
    return [CostRow(key, idle, **sums) for (idle, key), sums in found.items()]


def total_of(rows: Iterable[CostRow], latencies: Ranks) -> CostRow:
    """Return the sum of the rows, with the latencies of all."""
    summed = merged(((False, _numbers(row)) for row in rows), ())
    whole = summed[0] if summed else CostRow(())
    return replace(whole, **latencies._asdict())


def in_order(rows: Iterable[CostRow], by: Sequence[str]) -> tuple[CostRow, ...]:
    """Return the rows as people read them: times in their order, all else dearest first, idle last."""
    timed = [place for place, name in enumerate(by) if name in ("day", "hour")]

    def order(row: CostRow) -> tuple[Any, ...]:
        times = tuple(row.key[place] or "" for place in timed)
        return (row.idle, times, -row.spent_pico, -row.requests, tuple(k or "" for k in row.key))

    return tuple(sorted(rows, key=order))


def _numbers(row: CostRow) -> dict[str, Any]:
    names = [one.name for one in fields(row) if one.name not in ("key", "idle")]
    return {name: getattr(row, name) for name in names if not name.startswith("latency")}


def _usd_name(pico_name: str) -> str:
    return pico_name.replace("_pico", "_usd")


def _text(amount_pico: int) -> str:
    return f"{usd_of(amount_pico):f}"


def _short(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:.12f}".rstrip("0").rstrip(".")
