"""Reports of a ledger, for Python and the command line: costs, settled fixed costs, the tier audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hybridllm._core.ledger.apportion import FixedDay, capacities_of, declared
from hybridllm._core.ledger.audit import Audited, audited
from hybridllm._core.ledger.costs import GROUPINGS, CostReport, Ranks, in_order, merged, total_of
from hybridllm._core.ledger.periods import Period, day_of, instant, microseconds, period
from hybridllm._core.ledger.what_if import WhatIf, all_api, all_on, all_own, summed
from hybridllm._core.money.price import Price, cheapest
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.wall_clock import utc_now

Steps = Callable[[str], object]


def costs(
    ledger: str | Path,
    *,
    by: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    policy: Policy | None = None,
    model: str | None = None,
    latency: bool = True,
    what_if: bool = True,
    now: datetime | None = None,
    on_step: Steps | None = None,
) -> CostReport:
    """Return what a ledger says of money over a time. Only reads.

    Args:
        ledger: A file's path, or a database's URL.
        by: What rows are grouped by: `tenant`, `feature`, `task`, `route`, `backend`, `model`, `user`,
            `session`, `policy`, `day`, `hour`, or a declared key; none: one row.
        since: `30d`, `2026-11-01`, `2026-11`, `last month`; None: from the beginning.
        until: A time like that, itself left out; None: until now, or where the period `since` ends.
        policy: Says what own machines cost that the ledger has no word on, and what models cost.
        model: Also tell what all of it would have cost on this one.
        latency: False: leave out latencies, which take half of the time.
        what_if: False: leave out what it would have cost elsewhere.
        now: Aware; default: this moment.
        on_step: Told what is being read, in words, as it goes on.

    Raises:
        LedgerError: If the ledger cannot be read.
        ValueError: If a time, a grouping or a model is none.
    """
    from hybridllm._adapters.ledger.reader import LedgerReader

    now_us = microseconds(now or utc_now())
    time = period(since, until, now_us=now_us)
    reader = LedgerReader(ledger)
    price = _price(policy, model) if model is not None else None
    with reader.connected() as connection:
        made = _Made(connection, tuple(by), time, now_us, policy, on_step or _unheard)
        found = made.report(reader.name, latency=latency)
        if not what_if:
            return found
        return replace(found, what_if=made.what_if(model, price))


def settle(
    ledger: str | Path, *, policy: Policy | None = None, now: datetime | None = None
) -> tuple[FixedDay, ...]:
    """Write the shares of own machines' costs into the attempts of every day that is over.

    Only what is not settled, or not any more because rows came late: it may be called as often as one likes.

    Args:
        ledger: A file's path, or a database's URL.
        policy: Of machines that the ledger has no word on, it says what they cost, from the ledger's first
            day on. What the ledger says of a day goes before it.
        now: Aware; default: this moment.

    Returns:
        The days that were settled by this call.

    Raises:
        LedgerError: If the ledger cannot be read or written.
    """
    from hybridllm._adapters.ledger import fixed_days, sums
    from hybridllm._adapters.ledger.reader import LedgerReader

    now_us = microseconds(now or utc_now())
    reader = LedgerReader(ledger)
    with reader.connected() as connection:
        said = fixed_days.fixed_days(connection)
        added = _added(said, policy, sums.first_us(connection))
    with reader.engine() as engine:
        if added:
            fixed_days.declare(engine, added)
        return tuple(fixed_days.settle(engine, day_of(now_us), now_us))


def record_success(ledger: str | Path, said: Mapping[str, bool]) -> frozenset[str]:
    """Write whether answers were right, as the application found out: what success rates are made of.

    Args:
        ledger: A file's path, or a database's URL.
        said: By `receipt.request_id`. Of a request that was spoken of before, the last word holds.

    Returns:
        The ids of which the ledger has no row: it is written a moment after the request has ended.

    Raises:
        LedgerError: If the ledger cannot be written.
    """
    from hybridllm._adapters.ledger.reader import LedgerReader
    from hybridllm._adapters.ledger.successes import put_successes

    with LedgerReader(ledger).engine() as engine:
        return put_successes(engine, said)


def audit(
    ledger: str | Path,
    *,
    since: str | None = "7d",
    until: str | None = None,
    policy: Policy | None = None,
    now: datetime | None = None,
    on_step: Steps | None = None,
) -> tuple[Audited, ...]:
    """Return whether each model earns its price at each task; the arguments are those of `costs`.

    Raises:
        LedgerError: If the ledger cannot be read.
        ValueError: If a time is none.
    """
    from hybridllm._adapters.book_data import shipped_book

    report = costs(
        ledger,
        by=("task", "model"),
        since=since,
        until=until,
        policy=policy,
        what_if=False,
        now=now,
        on_step=on_step,
    )
    tiers = {entry.id: entry.tier for entry in shipped_book() if entry.tier is not None}
    return audited(report.rows, tiers)


class _Made:
    """One report in the making: what all its parts need."""

    def __init__(
        self,
        connection: Any,
        by: tuple[str, ...],
        time: Period,
        now_us: int,
        policy: Policy | None,
        on_step: Steps,
    ) -> None:
        from hybridllm._adapters.ledger import fixed_days, sums

        self.connection, self.by, self.time, self.now_us = connection, by, time, now_us
        self.policy, self.step = policy, on_step
        self.grouping = sums.Grouping(by, sqlite=connection.dialect.name == "sqlite")
        if len(set(by)) != len(by):
            raise ValueError(f"grouped by the same twice: {', '.join(by)}")

        self.first_us = sums.first_us(connection)
        said = fixed_days.fixed_days(connection)
        self.said = [*said, *_added(said, policy, self.first_us)]
        self.own = sorted({one.backend for one in self.said})

    def report(self, name: str, *, latency: bool) -> CostReport:
        """Return it, without what it would have cost elsewhere."""
        from hybridllm._adapters.ledger import sums
        from hybridllm._compose.fixed_shares import days_of, fixed_parts, machine_rows

        here, grouping, time = self.connection, self.grouping, self.time
        self.step("fixed costs")
        days = days_of(here, self.said, time, now_us=self.now_us)
        self.step("attempts")
        parts = [(False, one) for one in sums.attempt_sums(here, grouping, time, self.own)]
        parts += fixed_parts(here, days, grouping, time)
        self.step("requests")
        parts += ((False, one) for one in sums.request_sums(here, grouping, time))
        ranks = Ranks()
        if latency:
            self.step("latencies")
            groups, ranks = sums.latencies(here, grouping, time)
            parts += ((False, one) for one in groups)
        rows = in_order(merged(parts, self.by), self.by)
        self._known_keys([row.key for row in rows if not row.idle])
        return CostReport(
            ledger=name,
            since=instant(time.since_us or self.first_us or 0),
            until=instant(time.until_us),
            by=self.by,
            rows=rows,
            total=total_of(rows, ranks),
            machines=machine_rows(days),
            what_if=None,
            provisional_days=tuple(sorted({one.day for one in days.open})),
        )

    def what_if(self, model: str | None, price: Price | None) -> WhatIf:
        """Return what the same traffic would have cost elsewhere."""
        from hybridllm._adapters.ledger import sums

        self.step("what it would have cost elsewhere")
        hours = sums.traffic_by_hour(self.connection, self.time, self.own)
        traffic = summed(hours.values())
        return WhatIf(
            all_api(traffic),
            all_own(hours, capacities_of(self.said), self._covered()),
            all_on(model, price, traffic) if model is not None else None,
            model,
        )

    def _covered(self) -> Period:
        """The time without what lies before the ledger's first attempt, if nobody said since when."""
        since_us = self.time.since_us or self.first_us or 0
        return Period(since_us, max(since_us + 1, min(self.time.until_us, self.now_us)))

    def _known_keys(self, keys: list[tuple[str | None, ...]]) -> None:
        """Refuse a declared key that no row of the ledger has: it is a misspelt one."""
        import json

        from hybridllm._adapters.ledger.sums import declared_keys

        for place, name in enumerate(self.by):
            if not keys or name in GROUPINGS or any(key[place] is not None for key in keys):
                continue
            found = [json.loads(text) for text in declared_keys(self.connection)]
            known = sorted({key for one in found if isinstance(one, dict) for key in one})
            if name not in known:
                also = f"; declared keys in this ledger: {', '.join(known) or 'none'}"
                raise ValueError(f"{name!r} is none of {', '.join(GROUPINGS)}{also}")


def _added(said: Sequence[FixedDay], policy: Policy | None, first_us: int | None) -> list[FixedDay]:
    """What a policy says of machines that the ledger has no word on."""
    if policy is None or first_us is None:
        return []
    known = {one.backend for one in said}
    return [
        declared(day_of(first_us), name, policy.name, backend.capacity)
        for name, backend in policy.backends.items()
        if backend.capacity is not None and name not in known
    ]


def _price(policy: Policy | None, model: str) -> Price | None:
    """What hosted APIs ask for a model: the policy's price, else the model book's."""
    from hybridllm._adapters.book_data import shipped_book

    listed = policy.list_prices.get(model, ()) if policy is not None else ()
    if (found := cheapest(listed, Usage(1, 1))) is not None:
        return found
    entry = shipped_book().get(model)
    if entry is None and (policy is None or model not in policy.models):
        from difflib import get_close_matches

        names = [*(policy.models if policy is not None else ()), *shipped_book().names()]
        close = get_close_matches(model, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no model {model!r} in the policy or the model book{hint}")
    return entry.price if entry is not None else None


def _unheard(what: str) -> None:
    """Nobody asked how far it is."""
