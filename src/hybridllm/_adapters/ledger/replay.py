"""A ledger's requests with their attempts, in the order of their beginning: one pass, nothing held."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from sqlalchemy import ColumnElement, func, select

from hybridllm._adapters.ledger.reader import LedgerReader
from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS
from hybridllm._core.backtest.rows import Asked, Replayed, Tried

_AT_ONCE = 10_000
_WIDTH = len(Asked._fields)


def requests_count(ledger: LedgerReader, since_us: int, until_us: int | None) -> int:
    """Return how many requests began in a time."""
    counted = select(func.count()).select_from(REQUESTS).where(*_within(since_us, until_us))
    with ledger.connected() as connection:
        return int(connection.execute(counted).scalar_one())


def replayed(ledger: LedgerReader, since_us: int, until_us: int | None) -> Iterator[Replayed]:
    """Yield the requests that began from `since_us` on and before `until_us`, with their attempts."""
    columns = [REQUESTS.c[name] for name in Asked._fields]
    columns += [ATTEMPTS.c[name] for name in Tried._fields]
    wanted = (
        select(*columns)
        .select_from(REQUESTS.outerjoin(ATTEMPTS, ATTEMPTS.c.request_id == REQUESTS.c.request_id))
        .where(*_within(since_us, until_us))
        .order_by(REQUESTS.c.started_us, REQUESTS.c.request_id, ATTEMPTS.c.number)
        .execution_options(yield_per=_AT_ONCE)
    )
    with ledger.connected() as connection:
        rows = (row for part in connection.execute(wanted).partitions() for row in part)
        for _, same in groupby(rows, key=itemgetter(0)):
            found = list(same)
            sent = found if found[0][_WIDTH] is not None else []
            tried = [Tried._make(row[_WIDTH:]) for row in sent]
            yield Asked._make(found[0][:_WIDTH]), tried


def _within(since_us: int, until_us: int | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [REQUESTS.c.started_us >= since_us]
    if until_us is not None:
        found.append(REQUESTS.c.started_us < until_us)
    return found
