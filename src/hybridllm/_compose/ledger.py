"""The ledger that a router is given: where it is, how long it keeps rows, what happens when it takes none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.ledger.keeper import LedgerKeeper

RETENTION_DAYS_MAX = 36_500
_PENDING = ".pending"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A durable record of what every attempt and every request cost; no prompts, no answers.

    Attributes:
        place: An SQLite file's path, made if it is not there; or the URL of an SQLite or a PostgreSQL
            database: `postgresql+psycopg://user@host/name`. Several routers and processes may share one.
        retention_days: Rows that are older than the latest by more are removed; None: none are.
        unavailable: What happens to requests while neither the database nor the journal can be written.
            allow: they are sent, and what is lost is counted. deny: they raise `LedgerError`, and nothing is
            sent.
        journal_dir: A folder of this machine's disk for rows that are not in the database yet; made if it is
            not there. Default: beside an SQLite file, its name with `.pending`; for a database elsewhere,
            in `~/.local/state/hybridllm`.

    Raises:
        InvalidRequest: If a value is not what it may be.
    """

    place: str | Path = field(repr=False)  # it may hold a password
    retention_days: int | None = 400
    unavailable: Literal["allow", "deny"] = "allow"
    journal_dir: str | Path | None = None

    def __post_init__(self) -> None:
        if (
            not isinstance(self.place, str | Path)
            or not str(self.place)
            or ":memory:" in str(self.place)
        ):
            raise InvalidRequest(
                f"ledger: {self.place!r} is no place; it is a file's path, or a database's URL such as "
                "postgresql+psycopg://user@host/name"
            )
        days = self.retention_days
        if days is not None and (days.__class__ is not int or not 1 <= days <= RETENTION_DAYS_MAX):
            raise InvalidRequest(
                f"ledger: retention_days must be a whole number from 1 to {RETENTION_DAYS_MAX}, or None to "
                f"keep all; got {days!r}"
            )
        if self.unavailable not in ("allow", "deny"):
            raise InvalidRequest(
                f"ledger: unavailable must be 'allow' or 'deny', got {self.unavailable!r}"
            )


def ledger_of(given: Ledger | str | Path) -> Ledger:
    """Return a ledger as it was given: as one, or by its place alone."""
    return given if isinstance(given, Ledger) else Ledger(given)


def built_ledger(ledger: Ledger, policy: Callable[[], Policy]) -> LedgerKeeper:
    """Return what keeps a ledger; it opens nothing yet.

    Args:
        ledger: As the router was given it.
        policy: Returns the one in force.

    Raises:
        LedgerError: If it is no place that a ledger can be kept in, or a driver is not installed.
    """
    from hybridllm._adapters.ledger.journal import JournalFolder
    from hybridllm._adapters.ledger.reader import ledger_url, shown
    from hybridllm._adapters.ledger.store import LedgerDatabase
    from hybridllm._runtime.ledger.keeper import LedgerKeeper
    from hybridllm._runtime.ledger.writer import Writer

    url = ledger_url(ledger.place)
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    name = shown(url)
    if ledger.journal_dir is not None:
        folder = Path(ledger.journal_dir).absolute()
    elif url.get_backend_name() == "sqlite":
        folder = Path(f"{url.database}{_PENDING}")
    else:
        folder = Path.home() / ".local/state/hybridllm" / sha256(name.encode()).hexdigest()[:12]
    LedgerDatabase(url)  # what is wrong with the place itself is told now

    def writer() -> Writer:
        return Writer(
            name,
            LedgerDatabase(url),
            JournalFolder(folder),
            retention_days=ledger.retention_days,
            policy=policy,
        )

    return LedgerKeeper(name, writer, deny=ledger.unavailable == "deny")
