"""The ledger's database as the writer's thread uses it: one connection, rows in groups, one commit each.

SQLite and PostgreSQL; both know how to put a row unless a better one is there. Statements are compiled once
and run by the driver: the rows are tuples in the order of the columns.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    create_engine,
    delete,
    event,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DataError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hybridllm._adapters.ledger.fixed_days import declare, settle
from hybridllm._adapters.ledger.migrations import migrate
from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS
from hybridllm._core.ledger.apportion import FixedDay
from hybridllm._core.ledger.rows import INTENT, UNKNOWN, AttemptRow, RequestRow
from hybridllm._runtime.ledger.ports import LedgerStoreError
from hybridllm.errors import LedgerError

BUSY_S = 2.0
_MODE = 0o600  # it names tenants
_MANY_PARAMETERS = sqlite3.sqlite_version_info >= (3, 32)  # before, 999 were too many
_ROWS_AT_ONCE = (64, 16, 4, 1) if _MANY_PARAMETERS else (16, 4, 1)  # by one statement
_CONNECT_S = 5
_LATE_DAYS = 7
"""So long after a day rows of it may come, and are given their share; `settle` looks at all days."""
_NOT_A_LEDGER = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_DRIVERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sqlite": (sqlite.insert, {"timeout": BUSY_S, "check_same_thread": False}),
    "postgresql": (postgresql.insert, {"connect_timeout": _CONNECT_S}),
}


class LedgerDatabase:
    """See `LedgerStore`.

    Args:
        url: Of the database.
        busy_s: So long another process may write before we give up, in SQLite.

    Raises:
        LedgerError: If it is a database that no ledger can be kept in.
    """

    def __init__(self, url: URL, *, busy_s: float = BUSY_S) -> None:
        kind = url.get_backend_name()
        if kind not in _DRIVERS:
            raise LedgerError(
                f"a ledger is kept in SQLite or in PostgreSQL; {kind!r} is neither: give a file's path, or a "
                "URL such as postgresql+psycopg://user@host/name"
            )
        insert, options = _DRIVERS[kind]
        self._file = Path(url.database or "") if kind == "sqlite" else None
        if self._file is not None:
            options = options | {"timeout": busy_s}
        self._engine = _engine(url, options)
        self._connection: Connection | None = None
        self._inode: int | None = None
        self._put_attempts = _Putting(insert, ATTEMPTS, self._engine)
        self._put_requests = _Putting(insert, REQUESTS, self._engine)

    def open(self) -> None:
        """See `LedgerStore.open`."""
        with self._told():
            self._connected()

    def write(self, attempts: Sequence[AttemptRow], requests: Sequence[RequestRow]) -> None:
        """See `LedgerStore.write`."""
        with self._told():
            connection = self._connected()
            with connection.begin():
                self._put_attempts.put(connection, attempts)
                self._put_requests.put(connection, requests)

    def prune(self, before_us: int, rows_max: int) -> int:
        """See `LedgerStore.prune`."""
        removed = 0
        with self._told():
            connection = self._connected()
            with connection.begin():
                for table in (ATTEMPTS, REQUESTS):
                    (key,) = table.primary_key.columns
                    old = select(key).where(table.c.started_us < before_us).limit(rows_max)
                    removed += connection.execute(delete(table).where(key.in_(old))).rowcount
        return removed

    def give_up(self, before_us: int) -> None:
        """See `LedgerStore.give_up`."""
        started = ATTEMPTS.c.started_us
        late = (started < before_us) & (ATTEMPTS.c.outcome == INTENT)
        with self._told():
            connection = self._connected()
            with connection.begin():
                connection.execute(update(ATTEMPTS).where(late).values(outcome=UNKNOWN))

    def machines(self, policy: str, said: Sequence[FixedDay], today: date, now_us: int) -> None:
        """See `LedgerStore.machines`."""
        with self._told():
            self._connected()
            declare(self._engine, said, policy=policy, today=today)
            settle(self._engine, today, now_us, since=today - timedelta(days=_LATE_DAYS))

    def close(self) -> None:
        """See `LedgerStore.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()

    def _connected(self) -> Connection:
        if self._connection is not None and self._moved():
            self.close()
        if self._connection is None:
            if self._file is not None:
                self._made(self._file)
            connection = self._engine.connect()
            try:
                with connection.begin():
                    migrate(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _made(self, file: Path) -> None:
        """Make the file, for its owner only, if it is not there."""
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
        self._inode = file.stat().st_ino

    def _moved(self) -> bool:
        """Whether the file is no longer the one that is open: what is written to that, nobody finds."""
        if self._file is None:
            return False
        try:
            return self._file.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what went wrong in the words of the database or of the system; connect anew the next time."""
        try:
            yield
        except DataError as error:
            self.close()
            raise ValueError(str(error.orig)) from None
        except DBAPIError as error:
            self.close()
            raise LedgerStoreError(self._words(error)) from None
        except SQLAlchemyError as error:
            self.close()
            raise LedgerStoreError(type(error).__name__) from None
        except OSError as error:
            self.close()
            raise LedgerStoreError(error.strerror or type(error).__name__) from None
        except LedgerStoreError:
            self.close()
            raise

    def _words(self, error: DBAPIError) -> str:
        words = str(error.orig).strip()
        if getattr(error.orig, "sqlite_errorname", "").startswith(_NOT_A_LEDGER):
            words += (
                f". The file is damaged, or is no ledger; it is left as it is. `hybridllm ledger check "
                f"{self._file}` tells what can be read of it; move it away, with its -wal and -shm, to begin "
                "anew"
            )
        return words


def _engine(url: URL, given: dict[str, Any]) -> Engine:
    try:
        engine = create_engine(
            url,
            poolclass=NullPool,
            connect_args=given,
            paramstyle="qmark" if url.get_backend_name() == "sqlite" else "format",
        )
    except (ImportError, NoSuchModuleError) as error:
        raise LedgerError(
            f"the driver of {url.drivername} is not installed: {error}; pip install 'hybridllm[postgresql]'"
        ) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepared)
        event.listen(engine, "begin", _begun)
    return engine


def _prepared(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begun(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class _Putting:
    """Puts rows: an attempt's end goes over what was known of it, all else stays.

    Many rows by one statement: for each statement the driver lets go of Python's lock, and at each turn the
    thread would wait for an event loop that is busy.
    """

    def __init__(self, insert: Any, table: Table, engine: Engine) -> None:
        putting = insert(table)
        (key,) = table.primary_key.columns
        if table is ATTEMPTS:
            new, old = putting.excluded.outcome, table.c.outcome
            # Written out, so that a row is all of the statement's parameters.
            intent: Any = literal_column(f"'{INTENT}'")
            unknown: Any = literal_column(f"'{UNKNOWN}'")
            putting = putting.on_conflict_do_update(
                index_elements=[key],
                set_={column.name: putting.excluded[column.name] for column in table.columns},
                where=((old == intent) & (new != intent))
                | ((old == unknown) & (new != intent) & (new != unknown)),
            )
        else:
            putting = putting.on_conflict_do_nothing(index_elements=[key])
        sql = str(putting.compile(dialect=engine.dialect, column_keys=table.c.keys()))
        head, rest = sql.split(" VALUES (", 1)
        row, tail = rest.split(") ON CONFLICT", 1)
        self._statements = {
            count: f"{head} VALUES ({'), ('.join([row] * count)}) ON CONFLICT{tail}"
            for count in _ROWS_AT_ONCE
        }

    def put(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Put rows; no two with one key."""
        done = 0
        for count, statement in self._statements.items():
            while len(rows) - done >= count:
                values = tuple(chain.from_iterable(rows[done : done + count]))
                connection.exec_driver_sql(statement, values)
                done += count
