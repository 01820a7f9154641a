"""What a person does with a ledger: look at it, check it, remove what is old, take it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Table, func, select, true

from hybridllm._adapters.ledger.journal import damaged_segments, waiting_segments
from hybridllm._adapters.ledger.migrations import version_of
from hybridllm._adapters.ledger.reader import LedgerReader, ledger_url
from hybridllm._adapters.ledger.store import LedgerDatabase
from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS
from hybridllm._core.ledger.lines import odd_field
from hybridllm._core.ledger.periods import DAY_US, instant
from hybridllm._core.ledger.rows import INTENT, UNKNOWN, AttemptRow, RequestRow
from hybridllm._runtime.ledger.ports import LedgerStoreError
from hybridllm.errors import InvalidRequest, LedgerError

Told = Callable[[int, int], object]
_ROWS_AT_ONCE = 5_000
_ODD_MAX = 20  # of a table: then it is clear that it is another's
_TABLES = {"attempts": ATTEMPTS, "requests": REQUESTS}


@dataclass(frozen=True, slots=True)
class LedgerInfo:
    """What is in a ledger.

    Attributes:
        place: Of the database, without a password.
        version: Of its tables.
        attempts: Rows of attempts; `requests`: rows of requests.
        intents: Attempts under way; `unknown`: those whose process ended before they did.
        first_at: When the first one began, UTC; `last_at`: the last one. None: there are none.
        size_bytes: Of the SQLite file; None: it is in a database elsewhere.
        waiting: Files of the journal that hold rows for it, those of running routers included.
        damaged: Files of the journal that were set aside, because lines of them are damaged.
    """

    place: str
    version: int
    attempts: int
    requests: int
    intents: int
    unknown: int
    first_at: datetime | None
    last_at: datetime | None
    size_bytes: int | None
    waiting: int
    damaged: int

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; times are ISO 8601."""
        told = asdict(self)
        for name in ("first_at", "last_at"):
            told[name] = None if told[name] is None else told[name].isoformat()
        return told


class LedgerUpkeep:
    """Looks after one ledger; routers may write it meanwhile.

    Args:
        place: An SQLite file's path, or a database's URL.
        journal_dir: Where routers keep what is not in the database yet. Default: beside an SQLite file.

    Raises:
        LedgerError: If there is no ledger, or if it cannot be read.
    """

    def __init__(self, place: str | Path, journal_dir: str | Path | None = None) -> None:
        self._place = place
        url = ledger_url(place)
        self._reader = LedgerReader(place)
        self._file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        folder = None if self._file is None else Path(f"{self._file}.pending")
        self._journal = folder if journal_dir is None else Path(journal_dir)

    def info(self) -> LedgerInfo:
        """Return what is in it.

        Raises:
            LedgerError: If it cannot be read.
        """
        with self._reader.connected() as connection:
            try:
                version = version_of(connection) or 0
            except LedgerStoreError as error:
                raise LedgerError(f"{self._reader.name}: {error}") from None
            first_us, last_us = connection.execute(
                select(func.min(ATTEMPTS.c.started_us), func.max(ATTEMPTS.c.started_us))
            ).one()
            return LedgerInfo(
                self._reader.name,
                version,
                attempts=_count(connection, ATTEMPTS, true()),
                requests=_count(connection, REQUESTS, true()),
                intents=_count(connection, ATTEMPTS, ATTEMPTS.c.outcome == INTENT),
                unknown=_count(connection, ATTEMPTS, ATTEMPTS.c.outcome == UNKNOWN),
                first_at=_time(first_us),
                last_at=_time(last_us),
                size_bytes=None if self._file is None else self._file.stat().st_size,
                waiting=len(waiting_segments(self._journal)),
                damaged=len(damaged_segments(self._journal)),
            )

    def check(self) -> list[str]:
        """Return what is wrong with it, in words; every row is read.

        Raises:
            LedgerError: If it cannot be read at all.
        """
        wrong: list[str] = []
        for name, read in (
            ("attempts", self._reader.attempts),
            ("requests", self._reader.requests),
        ):
            count = 0
            odd: list[str] = []
            try:
                for row in read():
                    count += 1
                    if len(odd) < _ODD_MAX and (field := odd_field(row)) is not None:
                        odd.append(f"{name}: {field} of {row[0]!r} is what it cannot be")
            except LedgerError as error:
                odd.append(f"{name}: {error}, after {count} rows that can be read")
            wrong += odd
        with self._reader.connected() as connection:
            if self._file is not None:
                found = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
                wrong += [f"database: {line}" for line in found if line != "ok"]
        wrong += [
            f"journal: {path} holds lines that are damaged"
            for path in damaged_segments(self._journal)
        ]
        return wrong

    def prune(self, older_than_days: int, on_progress: Told | None = None) -> int:
        """Remove what began so many days before the latest attempt; return how many rows went.

        Raises:
            InvalidRequest: If that is no number of days from 1 up.
            LedgerError: If it cannot be done.
        """
        if older_than_days.__class__ is not int or older_than_days < 1:
            raise InvalidRequest(
                f"older_than_days: {older_than_days!r} is no whole number from 1 up"
            )
        with self._reader.connected() as connection:
            latest_us = connection.scalar(select(func.max(REQUESTS.c.started_us))) or 0
            before_us = latest_us - older_than_days * DAY_US
            old = sum(
                _count(connection, one, one.c.started_us < before_us) for one in _TABLES.values()
            )
        database, removed = LedgerDatabase(ledger_url(self._place)), 0
        try:
            while went := database.prune(before_us, _ROWS_AT_ONCE):
                removed += went
                if on_progress is not None:
                    on_progress(removed, old)
        except LedgerStoreError as error:
            raise LedgerError(f"{self._reader.name}: {error}") from None
        finally:
            database.close()
        return removed

    def vacuum(self) -> None:
        """Give the room of removed rows back to the disk. Routers wait meanwhile, and lose nothing.

        Raises:
            LedgerError: If it cannot be done.
        """
        with self._reader.connected() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            if self._file is None:
                for table in _TABLES.values():
                    alone.exec_driver_sql(f"VACUUM {table.name}")
            else:
                alone.exec_driver_sql("VACUUM")
                alone.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def export(
        self,
        path: str | Path,
        *,
        rows: Literal["attempts", "requests"] = "attempts",
        kind: Literal["csv", "parquet"] = "csv",
        since: datetime | None = None,
        until: datetime | None = None,
        on_progress: Told | None = None,
    ) -> int:
        """Write rows into a file, and return how many: money as decimals in USD, times in UTC.

        Args:
            path: Of the file; one that is there is replaced.
            rows: Of what.
            kind: Of file. Parquet needs `pip install 'hybridllm[parquet]'`.
            since: From then on. Default: from the first one.
            until: Before then. Default: to the last one.
            on_progress: Called with how many rows are written, and how many there are.

        Raises:
            InvalidRequest: If an argument is not what it may be, or the file cannot be written.
            LedgerError: If the ledger cannot be read.
        """
        from hybridllm._adapters.ledger.export import written

        if rows not in _TABLES or kind not in ("csv", "parquet"):
            raise InvalidRequest(
                f"export: {rows!r} as {kind!r}; it is attempts or requests, as csv or parquet"
            )
        since_us, until_us = _microseconds(since) or 0, _microseconds(until)
        read = self._reader.attempts if rows == "attempts" else self._reader.requests
        row: type[AttemptRow | RequestRow] = AttemptRow if rows == "attempts" else RequestRow
        table = _TABLES[rows]
        with self._reader.connected() as connection:
            which = table.c.started_us >= since_us
            if until_us is not None:
                which &= table.c.started_us < until_us
            total = _count(connection, table, which)
        return written(
            read(since_us, until_us), row, Path(path), kind, total=total, told=on_progress
        )


def _count(connection: Connection, table: Table, which: Any) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(which)) or 0


def _time(at_us: int | None) -> datetime | None:
    try:
        return None if at_us is None else instant(at_us)
    except (TypeError, ValueError, OverflowError, OSError):  # somebody else's: `check` tells of it
        return None


def _microseconds(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1e6)
