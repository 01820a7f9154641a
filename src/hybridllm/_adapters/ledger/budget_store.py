"""Budgets in an SQLite file that several processes share, beside the ledger in it.

One transaction that locks the file from its beginning: no two processes look at the same balance before one
of them has changed it. Everything is called in one thread; the connection is its own, and stays open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from hybridllm._core.budget.accounts import Accounts
from hybridllm._core.budget.admit import NOTHING, Balance
from hybridllm._core.budget.claims import Account
from hybridllm._core.budget.periods import Span
from hybridllm._core.ledger.periods import instant, microseconds
from hybridllm._runtime.budgets.jobs import Admit, Answer, Job, TopUp
from hybridllm._runtime.budgets.ports import BudgetStoreError

BUSY_S = 5.0
LEASE_S = 30.0
"""A process that has not said for so long that it lives is taken for dead."""
_MODE = 0o600  # it names tenants
_INTEGER_MAX = 2**63 - 1
_AT_ONCE = 500
_KEPT_US = 62 * 86_400 * 1_000_000
_SCHEMA = MetaData()
_ACCOUNTS = Table(
    "hybridllm_budgets",
    _SCHEMA,
    Column("account", String, primary_key=True),
    Column("budget", String, nullable=False),
    Column("whose", String, nullable=False),
    Column("period", String, nullable=False),
    Column("ends_us", BigInteger, nullable=False),
    Column("kept_until_us", BigInteger, nullable=False),
    Column("spent_pico", BigInteger, nullable=False),
    Column("reserved_pico", BigInteger, nullable=False),
)
_HOLDS = Table(
    "hybridllm_budget_holds",
    _SCHEMA,
    Column("ticket", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("owner", String, nullable=False, index=True),
    Column("pico", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),  # 1: it counts as spent already
)
_OWNERS = Table(
    "hybridllm_budget_owners",
    _SCHEMA,
    Column("owner", String, primary_key=True),
    Column("seen_us", BigInteger, nullable=False),
)


class BudgetFile:
    """One file; see `BudgetStore`.

    Args:
        path: Of the file. It is made if it is not there, readable by its owner only.
        busy_s: So long another process may write before we give up.
        lease_s: After so long without a sign of life what a process holds counts as spent.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_S, lease_s: float = LEASE_S) -> None:
        self._path = path
        self._owner = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._lease_us = int(lease_s * 1e6)
        self._seen_us = 0
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # transactions are begun here, and lock at once
            connect_args={"timeout": busy_s, "check_same_thread": False},
        )
        self._connection: Connection | None = None
        self._has_tables = False  # for all we know

    def carry_out(self, jobs: Sequence[Job]) -> tuple[list[Answer], Accounts]:
        """See `BudgetStore.carry_out`."""
        with self._transaction() as connection:
            self._live(connection)
            accounts = Accounts()
            tickets = [one.ticket for one in jobs if not isinstance(one, Admit) and one.ticket]
            expired = _read_holds(connection, accounts, tickets)
            wanted = {one for held in accounts.holds.values() for one in held}
            for job in jobs:
                if isinstance(job, Admit):
                    wanted.update(claim.account for claim in job.ask.claims)
                elif isinstance(job, TopUp):
                    wanted.update(claim.account for claim in job.claims)
            _read_balances(connection, accounts, wanted)
            for (
                account,
                amount,
            ) in expired:  # it was not dead: what counts as spent is reserved again
                balance = accounts.balances.get(account, NOTHING)
                accounts.balances[account] = balance.plus(spent=-amount, reserved=amount)
            answers: list[Answer] = [job.done(accounts) for job in jobs]
            self._write(connection, accounts, tickets)
        return answers, accounts

    def look(self, now_us: int) -> Accounts:
        """See `BudgetStore.look`."""
        accounts = Accounts()
        with _told():
            if not self._path.exists():
                return accounts
            connection = self._connected()
            if inspect(connection).has_table(_ACCOUNTS.name):
                running = select(_ACCOUNTS).where(_ACCOUNTS.c.kept_until_us > now_us)
                _take(connection.execute(running), accounts)
        return accounts

    def close(self) -> None:
        """See `BudgetStore.close`."""
        connection, self._connection = self._connection, None
        self._has_tables = False
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            self._connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _told():
            new = not self._path.exists()
            try:
                connection = self._connected()
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                if not self._has_tables:
                    for table in _SCHEMA.sorted_tables:
                        connection.execute(CreateTable(table, if_not_exists=True))
                yield connection
                connection.exec_driver_sql("COMMIT")
                self._has_tables = True
            except BaseException:
                self._give_up()
                raise
            if new:
                with suppress(OSError):
                    self._path.chmod(_MODE)

    def _give_up(self) -> None:
        """Undo what was begun: with the connection, whatever state it is in."""
        self._seen_us = 0
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.exec_driver_sql("ROLLBACK")
        self.close()

    def _live(self, connection: Connection) -> None:
        """Say that this process lives, and let what dead ones hold count as spent."""
        now_us = time.time_ns() // 1_000
        if 0 <= now_us - self._seen_us < self._lease_us // 4:
            return
        self._seen_us = now_us
        putting = insert(_OWNERS).values(owner=self._owner, seen_us=now_us)
        seen = {"seen_us": putting.excluded.seen_us}
        connection.execute(putting.on_conflict_do_update(index_elements=["owner"], set_=seen))
        dead = connection.scalars(
            select(_OWNERS.c.owner).where(_OWNERS.c.seen_us < now_us - self._lease_us)
        ).all()
        for owner in dead:
            _expire(connection, owner)
        old = select(_ACCOUNTS.c.account).where(_ACCOUNTS.c.ends_us < now_us - _KEPT_US)
        connection.execute(delete(_HOLDS).where(_HOLDS.c.account.in_(old)))
        connection.execute(delete(_ACCOUNTS).where(_ACCOUNTS.c.ends_us < now_us - _KEPT_US))

    def _write(self, connection: Connection, accounts: Accounts, tickets: Sequence[str]) -> None:
        rows = [
            {
                "account": _key(account),
                **account._asdict(),
                "ends_us": microseconds(accounts.spans[account].ends_at),
                "kept_until_us": microseconds(accounts.spans[account].kept_until),
                "spent_pico": min(balance.spent, _INTEGER_MAX),
                "reserved_pico": min(balance.reserved, _INTEGER_MAX),
            }
            for account, balance in accounts.balances.items()
            if account in accounts.spans
        ]
        if rows:
            putting = insert(_ACCOUNTS)
            new = {name: putting.excluded[name] for name in ("spent_pico", "reserved_pico")}
            connection.execute(
                putting.on_conflict_do_update(index_elements=["account"], set_=new), rows
            )
        for part in _in_parts(tickets):
            connection.execute(delete(_HOLDS).where(_HOLDS.c.ticket.in_(part)))
        held = [
            {
                "ticket": ticket,
                "account": _key(account),
                "owner": self._owner,
                "pico": min(amount, _INTEGER_MAX),
                "expired": 0,
            }
            for ticket, amounts in accounts.holds.items()
            for account, amount in amounts.items()
        ]
        if held:
            connection.execute(insert(_HOLDS), held)


def _expire(connection: Connection, owner: str) -> None:
    """Nobody will settle what it holds: it may be billed, so it counts as spent."""
    held = (_HOLDS.c.owner == owner) & (_HOLDS.c.expired == 0)
    for row in connection.execute(select(_HOLDS).where(held)).all():
        connection.execute(
            update(_ACCOUNTS)
            .where(_ACCOUNTS.c.account == row.account)
            .values(
                spent_pico=_ACCOUNTS.c.spent_pico + row.pico,
                reserved_pico=_ACCOUNTS.c.reserved_pico - row.pico,
            )
        )
    connection.execute(update(_HOLDS).where(held).values(expired=1))
    connection.execute(delete(_OWNERS).where(_OWNERS.c.owner == owner))


def _read_holds(
    connection: Connection, accounts: Accounts, tickets: Sequence[str]
) -> list[tuple[Account, int]]:
    """Read what is held for requests; return what of it counts as spent already."""
    expired = []
    for part in _in_parts(tickets):
        for row in connection.execute(select(_HOLDS).where(_HOLDS.c.ticket.in_(part))):
            account = _account(row.account)
            accounts.holds.setdefault(row.ticket, {})[account] = row.pico
            if row.expired:
                expired.append((account, row.pico))
    return expired


def _read_balances(connection: Connection, accounts: Accounts, wanted: Collection[Account]) -> None:
    for part in _in_parts([_key(account) for account in wanted]):
        _take(connection.execute(select(_ACCOUNTS).where(_ACCOUNTS.c.account.in_(part))), accounts)


def _take(rows: Iterable[Any], accounts: Accounts) -> None:
    for row in rows:
        account = Account(row.budget, row.whose, row.period)
        accounts.balances[account] = Balance(int(row.spent_pico), int(row.reserved_pico))
        accounts.spans[account] = Span(row.period, instant(row.ends_us), instant(row.kept_until_us))


def _key(account: Account) -> str:
    return "\x1f".join(account)


def _account(key: str) -> Account:
    budget, _, rest = key.partition("\x1f")  # a tenant may be called anything, a budget may not
    whose, _, period = rest.rpartition("\x1f")
    return Account(budget, whose, period)


def _in_parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the keys in lists that a statement can hold."""
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


@contextmanager
def _told() -> Iterator[None]:
    """Say what went wrong in the words of SQLite or of the system."""
    try:
        yield
    except DBAPIError as error:
        raise BudgetStoreError(str(error.orig)) from None
    except SQLAlchemyError as error:
        raise BudgetStoreError(type(error).__name__) from None
    except OSError as error:
        raise BudgetStoreError(error.strerror or type(error).__name__) from None
    except (TypeError, ValueError, OverflowError):
        raise BudgetStoreError("it holds what hybridllm has not written") from None
