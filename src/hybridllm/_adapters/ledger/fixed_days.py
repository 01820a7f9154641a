"""What own machines cost by the day, in the ledger: what was declared, and its shares in the day's attempts.

A day is settled in one transaction and may be settled again: what comes late gets its share, and what is in
order stays untouched. Rows that a retention took away are no reason to share anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    literal_column,
    select,
    update,
)

from hybridllm._adapters.ledger.tables import ATTEMPTS, FIXED_DAYS
from hybridllm._core.ledger.apportion import FixedDay, day_pico, in_force, news, shares
from hybridllm._core.ledger.periods import DAY_US, day_began_us


def fixed_days(connection: Connection) -> list[FixedDay]:
    """Return every word on what backends cost, in order; none if the ledger has no such table yet."""
    if not inspect(connection).has_table(FIXED_DAYS.name):
        return []
    wanted = select(FIXED_DAYS).order_by(FIXED_DAYS.c.day, FIXED_DAYS.c.backend)
    return [FixedDay._make(row) for row in connection.execute(wanted)]


def declare(
    engine: Engine,
    said: Iterable[FixedDay],
    *,
    policy: str | None = None,
    today: date | None = None,
) -> None:
    """Write what is said of days; the last word on a day holds, a settled day stays as it is.

    Args:
        engine: Of the ledger.
        said: Words on days.
        policy: Whose words these are: all that it has to say. What it said of other machines ends `today`;
            what nobody spoke of before holds from its first attempt on.
        today: Only with `policy`.
    """
    said = list(said)
    if policy is not None and today is not None:
        with engine.connect() as connection:
            known = fixed_days(connection)
            spoken_of = {one.backend for one in known}
            said = [
                one if one.backend in spoken_of else _from_its_first(connection, one)
                for one in news(known, said, policy, today)
            ]
    if not said:
        return
    with engine.begin() as connection:
        FIXED_DAYS.create(connection, checkfirst=True)
        for one in said:
            _put(connection, one, only_unsettled=True)


def _from_its_first(connection: Connection, one: FixedDay) -> FixedDay:
    c = ATTEMPTS.c
    first_us = connection.scalar(select(func.min(c.started_us)).where(c.backend == one.backend))
    if first_us is None:
        return one
    return one._replace(day=min(one.day, _day(first_us // DAY_US)))


def settle(
    engine: Engine, today: date, now_us: int, *, since: date | None = None
) -> list[FixedDay]:
    """Share out every day before `today` that is not settled, or not any more; return those days.

    Args:
        engine: Of the ledger.
        today: Goes on.
        now_us: When this is.
        since: Settled days before are taken to be in order; None: all are looked at.
    """
    with engine.connect() as connection:
        said = fixed_days(connection)
        if not said:
            return []
        first = date.fromisoformat(min(one.day for one in said))
        days = in_force(said, first, today - timedelta(days=1))
        if since is not None:
            late = since.isoformat()
            days = [one for one in days if one.settled_us is None or one.day >= late]
        used = _used(connection, days)
    due = [one for one in days if not _in_order(one, used.get((one.day, one.backend), _NO_USE))]
    return [_settled(engine, one, now_us) for one in due]


_NO_USE = (0, 0, 0)


def _used(
    connection: Connection, days: Sequence[FixedDay]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Attempts, tokens and shares of each backend's days."""
    if not days:
        return {}
    c = ATTEMPTS.c
    day = (c.started_us // DAY_US).label("at")
    tokens = func.coalesce(c.input_tokens, 0) + func.coalesce(c.output_tokens, 0)
    since_us = day_began_us(date.fromisoformat(days[0].day))
    wanted = (
        select(c.backend, day, func.count(), func.sum(tokens), func.sum(c.fixed_pico))
        .where(c.started_us >= since_us, c.backend.in_({one.backend for one in days}))
        .group_by(c.backend, literal_column("at"))
    )
    return {
        (_day(at), backend): (int(count), int(used or 0), int(fixed or 0))
        for backend, at, count, used, fixed in connection.execute(wanted)
    }


def _in_order(one: FixedDay, used: Sequence[int]) -> bool:
    if one.settled_us is None or one.bill_pico is None or one.idle_pico is None:
        return False
    attempts, tokens, fixed = used
    if attempts < (one.attempts or 0):
        return True  # a retention was here
    return tokens == one.tokens and fixed == one.bill_pico - one.idle_pico


def _settled(engine: Engine, one: FixedDay, now_us: int) -> FixedDay:
    day = date.fromisoformat(one.day)
    began_us = day_began_us(day)
    c = ATTEMPTS.c
    wanted = (
        select(c.attempt_id, func.coalesce(c.input_tokens, 0) + func.coalesce(c.output_tokens, 0))
        .where(c.backend == one.backend, c.started_us >= began_us, c.started_us < began_us + DAY_US)
        .order_by(c.started_us, c.attempt_id)
    )
    with engine.begin() as connection:
        rows = connection.execute(wanted).all()
        weights = [int(weight) for _, weight in rows]
        bill = day_pico(one.capacity, day, sum(weights))
        parts = shares(bill, weights)
        done = one._replace(
            bill_pico=bill,
            idle_pico=bill - sum(parts),
            tokens=sum(weights),
            attempts=len(rows),
            settled_us=now_us,
        )
        if rows:
            values = [
                {"of_attempt": row[0], "share": part} for row, part in zip(rows, parts, strict=True)
            ]
            change = update(ATTEMPTS).where(c.attempt_id == bindparam("of_attempt"))
            connection.execute(change.values(fixed_pico=bindparam("share")), values)
        _put(connection, done, only_unsettled=False)
    return done


def _put(connection: Connection, one: FixedDay, *, only_unsettled: bool) -> None:
    c = FIXED_DAYS.c
    here = (c.day == one.day, c.backend == one.backend)
    settled = connection.scalar(select(c.settled_us).where(*here))
    if only_unsettled and settled is not None:
        return
    connection.execute(delete(FIXED_DAYS).where(*here))
    connection.execute(insert(FIXED_DAYS), one._asdict())


def _day(since_epoch: Any) -> str:
    return (date(1970, 1, 1) + timedelta(days=int(since_epoch))).isoformat()
