"""What a ledger says of traffic: tokens by model and backend, with the share that was cached."""

from __future__ import annotations

from sqlalchemy import and_, case, func, select

from hybridllm._adapters.ledger.reader import LedgerReader
from hybridllm._adapters.ledger.tables import ATTEMPTS
from hybridllm._core.economics.traffic import Seen, Window
from hybridllm._core.ledger.periods import Period


def traffic_of(reader: LedgerReader, time: Period) -> Window:
    """Return the tokens of all attempts in a time; copies that were made for comparison are left out.

    Raises:
        LedgerError: If the ledger cannot be read.
    """
    column = ATTEMPTS.c
    tokens_in = func.coalesce(column.input_tokens, 0)
    told = case((column.cached_input_tokens.is_not(None), tokens_in), else_=0)
    counted = and_(column.input_tokens.is_not(None), column.output_tokens.is_not(None))
    asked = (
        select(
            column.model,
            column.backend,
            func.sum(case((counted, 1), else_=0)),
            func.sum(case((counted, 0), else_=column.maybe_billed)),
            func.sum(tokens_in),
            func.sum(func.coalesce(column.output_tokens, 0)),
            func.sum(func.coalesce(column.cached_input_tokens, 0)),
            func.sum(told),
            func.min(column.started_us),
        )
        .where(
            column.started_us >= time.since_us,
            column.started_us < time.until_us,
            column.shadow == 0,
        )
        .group_by(column.model, column.backend)
        .order_by(column.model, column.backend)
    )
    with reader.connected() as connection:
        rows = connection.execute(asked).all()
    seen = tuple(Seen(row[0], row[1], *(int(number) for number in row[2:8])) for row in rows)
    first_us = min((int(row[8]) for row in rows), default=time.until_us)
    return Window(seen, first_us=first_us, until_us=time.until_us)
