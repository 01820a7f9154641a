"""The fixed costs of a report: of settled days what the ledger says, of the others what is worked out here.

A day that is not settled is shared as it would be if it ended now; of the running day, as much of its bill as
has passed of it. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from hybridllm._core.ledger.apportion import FixedDay, day_pico, in_force, shares
from hybridllm._core.ledger.costs import MachineRow
from hybridllm._core.ledger.periods import DAY_US, Period, day_began_us, day_of

if TYPE_CHECKING:
    from hybridllm._adapters.ledger.sums import Grouping

_Use = Mapping[tuple[str, str], int]  # tokens by (day, backend)


@dataclass(frozen=True, slots=True)
class Days:
    """The days of a report on which machines cost something.

    Attributes:
        all: In order; unsettled ones have their bill as far as it has come.
        parts: How much of each day has passed, in microseconds.
        tokens: Of days that are not settled, by (day, backend).
    """

    all: tuple[FixedDay, ...]
    parts: Mapping[str, int]
    tokens: _Use

    @property
    def open(self) -> tuple[FixedDay, ...]:
        """Those that are not settled."""
        return tuple(one for one in self.all if one.settled_us is None)


def days_of(connection: Any, said: Sequence[FixedDay], time: Period, *, now_us: int) -> Days:
    """Return the days that began before the time ended, with their bills."""
    from hybridllm._adapters.ledger.sums import Grouping, machine_tokens

    last = day_of(min(time.until_us - 1, now_us))
    found = in_force(said, day_of(time.since_us), last)
    unsettled = [one for one in found if one.settled_us is None]
    tokens: dict[tuple[str, str], int] = {}
    if unsettled:
        whole = Period(_began_us(unsettled[0]), _began_us(unsettled[-1]) + DAY_US)
        backends = {one.backend for one in unsettled}
        plain = Grouping((), sqlite=True)
        for backend, at, _, count in machine_tokens(connection, plain, whole, backends):
            tokens[day_of(at * DAY_US).isoformat(), backend] = count
    parts = {one.day: max(0, min(DAY_US, now_us - _began_us(one))) for one in found}
    return Days(tuple(_billed(one, parts, tokens) for one in found), parts, tokens)


def fixed_parts(
    connection: Any, days: Days, grouping: Grouping, time: Period
) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Yield what rows get beside what stands in the attempts: idle days, and shares of days not settled."""
    open_days = {(one.day, one.backend): one for one in days.open}
    found: dict[tuple[str, str], list[tuple[dict[str, Any], int]]] = {}
    if open_days:
        from hybridllm._adapters.ledger.sums import machine_tokens

        first = min(_began_us(one) for one in open_days.values())
        since_us = max(time.since_us, first)
        backends = {one.backend for one in open_days.values()}
        span = Period(since_us, time.until_us)
        for backend, at, group, tokens in machine_tokens(connection, grouping, span, backends):
            day = day_of(at * DAY_US).isoformat()
            if (day, backend) in open_days:
                found.setdefault((day, backend), []).append((group, tokens))
    for key, one in open_days.items():
        groups = found.get(key, [])
        outside = days.tokens.get(key, 0) - sum(tokens for _, tokens in groups)
        parts = shares(one.bill_pico or 0, [*(tokens for _, tokens in groups), outside])
        for (group, _), part in zip(groups, parts, strict=False):
            yield False, group | {"fixed_pico": part}
    for one in days.all:
        if one.idle_pico and _began_us(one) >= time.since_us:
            yield True, _idle_key(one, grouping.by) | {"fixed_pico": one.idle_pico}


def machine_rows(days: Days) -> tuple[MachineRow, ...]:
    """Return what each machine cost on the days, in order of their names."""
    by_backend: dict[str, list[FixedDay]] = {}
    for one in days.all:
        by_backend.setdefault(one.backend, []).append(one)
    return tuple(_machine(backend, by_backend[backend], days) for backend in sorted(by_backend))


def _machine(backend: str, found: list[FixedDay], days: Days) -> MachineRow:
    rates = [(one.capacity.tokens_per_s, days.parts[one.day]) for one in found]
    known = all(rate for rate, _ in rates)
    possible = round(sum((rate or 0.0) * part / 1_000_000 for rate, part in rates))
    return MachineRow(
        backend=backend,
        days=len(found),
        bill_pico=sum(one.bill_pico or 0 for one in found),
        idle_pico=sum(one.idle_pico or 0 for one in found),
        tokens=sum(one.tokens or 0 for one in found),
        tokens_possible=possible if known else None,
        provisional=any(one.settled_us is None for one in found),
    )


def _billed(one: FixedDay, parts: Mapping[str, int], tokens: _Use) -> FixedDay:
    """An unsettled day with what it has cost so far; a settled one as it is."""
    if one.settled_us is not None:
        return one
    used = tokens.get((one.day, one.backend), 0)
    capacity, day = one.capacity, date.fromisoformat(one.day)
    bill = day_pico(capacity, day, used)
    if not capacity.elastic:
        bill = bill * parts[one.day] // DAY_US
    return one._replace(bill_pico=bill, idle_pico=0 if used else bill, tokens=used)


def _idle_key(one: FixedDay, by: Sequence[str]) -> dict[str, str]:
    known = {"backend": one.backend, "day": one.day}
    return {name: known[name] for name in by if name in known}


def _began_us(one: FixedDay) -> int:
    return day_began_us(date.fromisoformat(one.day))
