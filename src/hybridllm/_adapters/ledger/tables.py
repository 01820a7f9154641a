"""The ledger's tables, for every database that SQLAlchemy knows. Columns are the fields of the rows."""

from __future__ import annotations

from typing import Any, get_type_hints

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table

from hybridllm._core.ledger.apportion import FixedDay
from hybridllm._core.ledger.rows import AttemptRow, RequestRow

VERSION = 1
"""Of the tables; older ones are migrated when they are opened for writing."""

SCHEMA = MetaData()


def _columns(row: type[Any], *key: str) -> list[Column[Any]]:
    return [
        Column(
            name,
            BigInteger if int in (kind, *getattr(kind, "__args__", ())) else String,
            primary_key=name in key,
            nullable=type(None) in getattr(kind, "__args__", ()),
        )
        for name, kind in get_type_hints(row).items()
    ]


ATTEMPTS = Table("hybridllm_attempts", SCHEMA, *_columns(AttemptRow, "attempt_id"))
REQUESTS = Table("hybridllm_requests", SCHEMA, *_columns(RequestRow, "request_id"))
FIXED_DAYS = Table("hybridllm_fixed_days", SCHEMA, *_columns(FixedDay, "day", "backend"))
META = Table(
    "hybridllm_ledger",
    SCHEMA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
Index("hybridllm_attempts_by_time", ATTEMPTS.c.started_us)
Index("hybridllm_attempts_by_request", ATTEMPTS.c.request_id)
Index("hybridllm_requests_by_time", REQUESTS.c.started_us)
