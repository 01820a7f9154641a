"""Versions of the ledger's tables: made anew, or brought to this version, in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.schema import CreateColumn

from hybridllm._adapters.ledger.tables import ATTEMPTS, META, SCHEMA, VERSION
from hybridllm._runtime.ledger.ports import LedgerStoreError

_KEY = "version"


def version_of(connection: Connection) -> int | None:
    """Return the version of a ledger's tables; None: there are none.

    Raises:
        LedgerStoreError: If it says no version that could be one.
    """
    there = inspect(connection)
    if not there.has_table(META.name):
        return 0 if there.has_table(ATTEMPTS.name) else None
    found = connection.scalar(select(META.c.value).where(META.c.name == _KEY))
    if found is None:
        return 0
    if not found.isdecimal():
        raise LedgerStoreError(f"its tables say that they are of version {found!r}")
    return int(found)


def migrate(connection: Connection) -> None:
    """Make the tables, or bring them to this version.

    Raises:
        LedgerStoreError: If they are of a later version.
    """
    found = version_of(connection)
    if found is not None and found > VERSION:
        raise LedgerStoreError(
            f"it was written by a later hybridllm: its tables are of version {found}, this one knows "
            f"{VERSION}. Update hybridllm, or give this router another ledger; nothing was changed"
        )
    if found == VERSION:
        return
    for step in _STEPS[found or 0 :]:
        step(connection)
    connection.execute(META.delete().where(META.c.name == _KEY))
    connection.execute(META.insert().values(name=_KEY, value=str(VERSION)))


def _add_what_is_missing(connection: Connection) -> None:
    """Make tables, columns and indexes that are not there. What older rows do not say stays unknown."""
    there = inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    for table in SCHEMA.sorted_tables:
        if not there.has_table(table.name):
            continue
        known = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                made = str(CreateColumn(column).compile(dialect=connection.dialect))
                made = made.removesuffix(
                    " NOT NULL"
                )  # nobody can say it of the rows that are there
                connection.execute(text(f"ALTER TABLE {quote(table.name)} ADD COLUMN {made}"))
    SCHEMA.create_all(connection)
    for table in SCHEMA.sorted_tables:
        for index in table.indexes:
            index.create(connection, checkfirst=True)


_STEPS: tuple[Callable[[Connection], None], ...] = (_add_what_is_missing,)
"""Each brings the tables from the version of its place to the next."""
