"""What an application says of its answers afterwards, put into the rows of their requests."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from sqlalchemy import Engine, bindparam, select, update

from hybridllm._adapters.ledger.tables import REQUESTS

_AT_ONCE = 500


def put_successes(engine: Engine, said: Mapping[str, bool]) -> frozenset[str]:
    """Write them, all or none; return the ids of requests that the ledger has no row of (yet)."""
    c = REQUESTS.c
    ids = iter(said)
    known: set[str] = set()
    with engine.begin() as connection:
        while part := list(islice(ids, _AT_ONCE)):
            known.update(connection.scalars(select(c.request_id).where(c.request_id.in_(part))))
        if known:
            change = update(REQUESTS).where(c.request_id == bindparam("of_request"))
            connection.execute(
                change.values(success=bindparam("said")),
                [{"of_request": each, "said": int(said[each])} for each in sorted(known)],
            )
    return frozenset(said.keys() - known)
