"""Volumes in an SQLite file: totals by scope and UTC day, and which conditions hold. The only SQLAlchemy.

Several processes may use one file: each adds what it counted. No connection is kept, so a fork finds none,
and a file that is moved away or comes back is simply the one that is there. All of it is called in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    func,
    inspect,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from hybridllm._core.volume.days import DAYS_KEPT, Amounts
from hybridllm._core.volume.stored import DayKey, GateKey, Stored, StoredState, Wanted
from hybridllm._runtime.volume_book import VolumeStoreError

BUSY_S = 2.0
_MODE = 0o600  # it names tenants
_INTEGER_MAX = 2**63 - 1
_NAMES_AT_ONCE = 500
_SCHEMA = MetaData()
_DAYS = Table(
    "hybridllm_volume_days",
    _SCHEMA,
    Column("scope", String, primary_key=True),
    Column("day", String, primary_key=True),  # UTC, 2026-01-31
    *(Column(name, Integer, nullable=False) for name in Amounts._fields),
)
_BY_DAY = Index("hybridllm_volume_days_by_day", _DAYS.c.day)
_STATES = Table(
    "hybridllm_volume_conditions",
    _SCHEMA,
    Column("condition", String, primary_key=True),
    Column("whose", String, primary_key=True),
    Column("holds", Integer, nullable=False),
    Column("since", String, nullable=False),
)


class VolumeFile:
    """One file; see `VolumeStore`.

    Args:
        path: Of the file. It is made when something is first written, readable by its owner only.
        busy_s: So long another process may write before we give up.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        self._path = path
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            connect_args={"timeout": busy_s},
        )
        self._last_day = ""  # that was written

    def read(self, wanted: Wanted) -> Stored:
        """See `VolumeStore.read`."""
        with _told():
            if not self._path.exists():
                return Stored()
            with self._engine.connect() as connection:
                if not inspect(connection).has_table(_DAYS.name):
                    return Stored()
                return _found(connection, wanted)

    def exchange(self, kept: Stored, wanted: Wanted) -> Stored:
        """See `VolumeStore.exchange`."""
        with _told():
            new = not self._path.exists()
            with self._engine.begin() as connection:
                for table in (_DAYS, _STATES):
                    connection.execute(CreateTable(table, if_not_exists=True))
                connection.execute(CreateIndex(_BY_DAY, if_not_exists=True))
                if new:
                    with suppress(OSError):
                        self._path.chmod(_MODE)
                _add(connection, kept)
                self._prune(connection, kept)
                return _found(connection, wanted)

    def _prune(self, connection: Connection, kept: Stored) -> None:
        """Keep the latest days that are there, not those of the last years: a clock may be years ahead."""
        last_day = max((_text(day) for _, day in kept.days), default="")
        if last_day <= self._last_day:
            return
        self._last_day = last_day
        days = select(_DAYS.c.day).distinct().order_by(_DAYS.c.day.desc())
        oldest = connection.scalar(days.limit(1).offset(DAYS_KEPT))
        if oldest is not None:
            connection.execute(delete(_DAYS).where(_DAYS.c.day <= oldest))


def _add(connection: Connection, kept: Stored) -> None:
    if kept.days:
        adding = insert(_DAYS)
        sums = {name: _DAYS.c[name] + adding.excluded[name] for name in Amounts._fields}
        connection.execute(
            adding.on_conflict_do_update(index_elements=["scope", "day"], set_=sums),
            [
                {"scope": scope, "day": _text(day)}
                | {name: min(value, _INTEGER_MAX) for name, value in amounts._asdict().items()}
                for (scope, day), amounts in kept.days.items()
            ],
        )
    if kept.states:
        putting = insert(_STATES)
        new = {name: putting.excluded[name] for name in ("holds", "since")}
        connection.execute(
            putting.on_conflict_do_update(index_elements=["condition", "whose"], set_=new),
            [
                {
                    "condition": digest,
                    "whose": whose,
                    "holds": int(state.holds),
                    "since": state.since.isoformat(),
                }
                for (digest, whose), state in kept.states.items()
            ],
        )


def _found(connection: Connection, wanted: Wanted) -> Stored:
    whole = set(wanted.whole)
    for kind in wanted.kinds:  # from `tenant:` up to, not including, `tenant;`
        of_kind = (_DAYS.c.scope >= f"{kind}:") & (_DAYS.c.scope < f"{kind};")
        latest_first = func.max(_DAYS.c.day).desc()
        names = select(_DAYS.c.scope).where(of_kind).group_by(_DAYS.c.scope)
        whole.update(connection.scalars(names.order_by(latest_first).limit(wanted.names_max)))
    days: dict[DayKey, Amounts] = {}
    for scopes in _in_parts(whole):
        for row in connection.execute(select(_DAYS).where(_DAYS.c.scope.in_(scopes))):
            days[row.scope, _number(row.day)] = _amounts(row[2:])
    for scopes in _in_parts(wanted.latest - whole):
        lately = _DAYS.c.scope.in_(scopes) & (_DAYS.c.day >= _text(wanted.from_day))
        for row in connection.execute(select(_DAYS).where(lately)):
            days[row.scope, _number(row.day)] = _amounts(row[2:])
    states: dict[GateKey, StoredState] = {}
    for digests in _in_parts(wanted.digests):
        for row in connection.execute(select(_STATES).where(_STATES.c.condition.in_(digests))):
            since = datetime.fromisoformat(row.since).astimezone(UTC)
            states[row.condition, row.whose] = StoredState(bool(row.holds), since)
    return Stored(days, states)


def _in_parts(names: Collection[str]) -> Iterator[list[str]]:
    """Yield the names in lists that a statement can hold."""
    ordered = sorted(names)
    for start in range(0, len(ordered), _NAMES_AT_ONCE):
        yield ordered[start : start + _NAMES_AT_ONCE]


def _amounts(values: Collection[int]) -> Amounts:
    return Amounts(*(int(value) for value in values))  # a sum beyond 64 bits comes back as a float


def _text(day: int) -> str:
    return date.fromordinal(max(1, day)).isoformat()


def _number(day: str) -> int:
    return date.fromisoformat(day).toordinal()


@contextmanager
def _told() -> Iterator[None]:
    """Say what went wrong in the words of SQLite or of the system."""
    try:
        yield
    except DBAPIError as error:
        raise VolumeStoreError(str(error.orig)) from None
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise VolumeStoreError(type(error).__name__) from None
    except OSError as error:
        raise VolumeStoreError(error.strerror or type(error).__name__) from None
    except (TypeError, ValueError, OverflowError):
        raise VolumeStoreError("it holds what hybridllm has not written") from None
