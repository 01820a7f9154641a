"""What machines that are paid by the month cost on a day, and whose share of it is whose; to 10^-12 USD.

The rule: a day costs an equal part of its calendar month, and all of it is shared by the attempts that the
machine worked on that day, in proportion to their tokens. A day without a token is the machine's own: it goes
to `idle`. So a month's shares and idle days sum to the month's bill, in months of 28 days as of 31.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from hybridllm._core.ledger.periods import DAY_US, day_began_us, day_of
from hybridllm._core.money.capacity import SECONDS_A_MONTH
from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.hybrid import Capacity


class FixedDay(NamedTuple):
    """What a backend's machines cost on a day, and what became of it; a row of the ledger.

    Attributes:
        day: UTC, `2026-11-28`.
        policy: That said so.
        usd_per_month: As the policy says it, so too `hidden_usd_per_month` and `tokens_per_s`; amounts are
            texts, so that they stay exact.
        bill_pico: What the day cost; None: it is not settled yet.
        idle_pico: What of it nobody used.
        tokens: That were processed, `attempts`: by how many; both when it was settled.
    """

    day: str
    backend: str
    policy: str
    usd_per_month: str
    hidden_usd_per_month: str
    tokens_per_s: str | None
    elastic: int
    bill_pico: int | None = None
    idle_pico: int | None = None
    tokens: int | None = None
    attempts: int | None = None
    settled_us: int | None = None

    @property
    def capacity(self) -> Capacity:
        """What the policy said."""
        rate = None if self.tokens_per_s is None else float(self.tokens_per_s)
        usd, hidden = Decimal(self.usd_per_month), Decimal(self.hidden_usd_per_month)
        return Capacity(usd, hidden, rate, bool(self.elastic))


def declared(day: date, backend: str, policy: str, capacity: Capacity) -> FixedDay:
    """Return what a policy says of a backend on a day."""
    rate = capacity.tokens_per_s
    return FixedDay(
        day.isoformat(),
        backend,
        policy,
        str(capacity.usd_per_month),
        str(capacity.hidden_usd_per_month),
        None if rate is None else repr(rate),
        int(capacity.elastic),
    )


def in_force(said: Iterable[FixedDay], first: date, last: date) -> list[FixedDay]:
    """Return each day's word on each backend, from `first` to `last`, in order.

    A day of which nothing was said is as the one before it: a machine costs money while no router runs.
    Before the first word nothing is known. What costs nothing any more has ended, and is left out.
    """
    by_backend: dict[str, dict[str, FixedDay]] = {}
    for one in said:
        by_backend.setdefault(one.backend, {})[one.day] = one
    found = []
    for words in by_backend.values():
        day, latest = min(map(date.fromisoformat, words)), None
        while day <= last:
            latest = words.get(day.isoformat()) or (latest and _carried(latest, day))
            if latest is not None and day >= first and _costs(latest):
                found.append(latest)
            day += timedelta(days=1)
    return sorted(found, key=lambda one: (one.day, one.backend))


def news(
    known: Iterable[FixedDay], said: Iterable[FixedDay], policy: str, today: date
) -> list[FixedDay]:
    """Return what a policy says today that the ledger does not know yet.

    A machine that this policy spoke of last, and is silent of now, costs nothing from today on.
    """
    latest = {one.backend: one for one in sorted(known, key=lambda one: one.day)}
    found = []
    for one in said:
        before = latest.pop(one.backend, None)
        if before is None or before[3:7] != one[3:7]:
            found.append(one)
    gone = [one for one in latest.values() if one.policy == policy and _costs(one)]
    nothing = Capacity(Decimal(0))
    return found + [declared(today, one.backend, policy, nothing) for one in gone]


def day_pico(capacity: Capacity, day: date, tokens: int) -> int:
    """Return what a day of a month costs; the days of a month sum to what the month costs.

    An elastic backend, of which it is known what it can do, costs what its tokens take of a busy month of
    30.4375 days; what comes on top of the machines goes on all the same.
    """
    if capacity.elastic and capacity.tokens_per_s:
        can = SECONDS_A_MONTH * Decimal(str(capacity.tokens_per_s))
        busy = pico_of(capacity.usd_per_month * tokens / can)
        return busy + _part(pico_of(capacity.hidden_usd_per_month), day)
    return _part(pico_of(capacity.usd_per_month + capacity.hidden_usd_per_month), day)


def time_pico(capacity: Capacity, since_us: int, until_us: int) -> int:
    """Return what a machine costs that runs through a time, of its first and last day a part."""
    always_on = replace(capacity, elastic=False)
    whole, at_us = 0, since_us
    while at_us < until_us:
        day = day_of(at_us)
        end_us = min(until_us, day_began_us(day) + DAY_US)
        whole += day_pico(always_on, day, 0) * (end_us - at_us) // DAY_US
        at_us = end_us
    return whole


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide a whole amount by weights; the shares sum to it exactly.

    Each gets what is its due rounded down, and those with the largest remainders one more, of equal ones the
    first. If nobody weighs anything, everybody gets nothing: the amount is idle.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [divmod(amount * weight, whole) for weight in weights]
    found = [part for part, _ in parts]
    left = amount - sum(found)
    for place in sorted(range(len(parts)), key=lambda place: -parts[place][1])[:left]:
        found[place] += 1
    return found


def capacities_of(days: Iterable[FixedDay]) -> Mapping[str, Capacity]:
    """Return the latest word on each backend."""
    return {one.backend: one.capacity for one in sorted(days, key=lambda one: one.day)}


def _part(month_pico: int, day: date) -> int:
    days = monthrange(day.year, day.month)[1]
    return month_pico * day.day // days - month_pico * (day.day - 1) // days


def _carried(latest: FixedDay, day: date) -> FixedDay:
    return FixedDay(day.isoformat(), *latest[1:7])


def _costs(one: FixedDay) -> bool:
    return bool(Decimal(one.usd_per_month) or Decimal(one.hidden_usd_per_month))
