"""A ledger as it is read: rows of a time, in order, without holding all of them. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS
from hybridllm._core.ledger.rows import AttemptRow, RequestRow
from hybridllm.errors import LedgerError

_AT_ONCE = 10_000
_Row = TypeVar("_Row", AttemptRow, RequestRow)


def ledger_url(place: str | Path) -> URL:
    """Return the URL of a ledger: of a database as it is, of a path as an SQLite file.

    Raises:
        LedgerError: If it is no URL that SQLAlchemy can read.
    """
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        return make_url(place)
    except (ArgumentError, ValueError):  # ValueError: of a port that is none
        message = "a ledger is a file's path, or a URL such as postgresql+psycopg://user@host/name"
        raise LedgerError(f"{message}; this is neither") from None


def shown(url: URL) -> str:
    """Return a database's URL as people may read it: without passwords, wherever they stand in it."""
    hidden = {name: "***" for name in url.query if "password" in name.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


class LedgerReader:
    """Reads one ledger; may be used while routers write it. Nothing stays open between two calls.

    Args:
        place: An SQLite file's path, or a database's URL.

    Raises:
        LedgerError: If there is no ledger, or if it cannot be read.
    """

    def __init__(self, place: str | Path) -> None:
        url = ledger_url(place)
        self.name = shown(url)
        file = url.database if url.get_backend_name() == "sqlite" else None
        if file is not None and file != ":memory:" and not Path(file).exists():
            raise LedgerError(
                f"there is no ledger {file}; a router writes one: Router.from_file(..., ledger={file!r})"
            )
        try:
            self._engine: Engine = create_engine(url, poolclass=NullPool)
        except (ImportError, NoSuchModuleError) as error:
            raise LedgerError(
                f"the driver of {url.drivername} is not installed: {error}; "
                "pip install 'hybridllm[postgresql]'"
            ) from None
        with self.connected() as connection:
            if not inspect(connection).has_table(ATTEMPTS.name):
                raise LedgerError(f"{self.name} holds no ledger: it has no table {ATTEMPTS.name}")

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield a connection for statements of one's own.

        Raises:
            LedgerError: For whatever the database says.
        """
        with self._told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Yield the engine, for transactions of one's own.

        Raises:
            LedgerError: For whatever the database says.
        """
        with self._told():
            yield self._engine

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise LedgerError(f"{self.name}: {error.orig}") from None
        except SQLAlchemyError as error:
            raise LedgerError(f"{self.name}: {type(error).__name__}") from None

    def attempts(self, since_us: int = 0, until_us: int | None = None) -> Iterator[AttemptRow]:
        """Yield the attempts that were sent from `since_us` on and before `until_us`, in order."""
        return self._rows(ATTEMPTS, AttemptRow, since_us, until_us)

    def requests(self, since_us: int = 0, until_us: int | None = None) -> Iterator[RequestRow]:
        """Yield the requests that began from `since_us` on and before `until_us`, in order."""
        return self._rows(REQUESTS, RequestRow, since_us, until_us)

    def _rows(
        self, table: Table, row: type[_Row], since_us: int, until_us: int | None
    ) -> Iterator[_Row]:
        wanted: Any = select(table).where(table.c.started_us >= since_us)
        if until_us is not None:
            wanted = wanted.where(table.c.started_us < until_us)
        wanted = wanted.order_by(table.c.started_us).execution_options(yield_per=_AT_ONCE)
        with self.connected() as connection:
            for part in connection.execute(wanted).partitions():
                yield from map(row._make, part)
