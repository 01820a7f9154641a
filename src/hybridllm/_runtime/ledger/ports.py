"""What the ledger's writer needs of a disk and a database; `_adapters/ledger` implements it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol

from hybridllm._core.ledger.apportion import FixedDay
from hybridllm._core.ledger.lines import Lines
from hybridllm._core.ledger.rows import AttemptRow, RequestRow


class LedgerStoreError(Exception):
    """The database or the journal cannot be used now. Its text says why, and what to do."""


class Segment(Protocol):
    """One file of a journal, locked by its process.

    Attributes:
        name: Its path.
    """

    name: str

    @property
    def fullness(self) -> float:
        """The share of it that is written; it takes more than the whole, but not as fast."""
        ...

    def append(self, lines: bytes) -> None:
        """Write lines, without waiting for the disk. Called in the event loop.

        Raises:
            OSError: If they are not all in the file; then nothing more may be appended to it.
        """
        ...

    def read(self) -> Lines:
        """Return what it holds.

        Raises:
            LedgerStoreError: If it cannot be read.
        """
        ...

    def sync(self) -> None:
        """Have it outlive the machine.

        Raises:
            OSError: If the disk does not take it.
        """
        ...

    def drop(self) -> None:
        """Remove it: all of it is in the database. Its lock goes with it."""
        ...

    def set_aside(self) -> None:
        """Keep it under another name, for a person to look at; it is not read again."""
        ...

    def close(self) -> None:
        """Leave it for whoever finds it. Its lock goes."""
        ...

    def forsake(self) -> None:
        """In the child of a fork: let go of it; its lock and all that is in it are the parent's."""
        ...


class Journal(Protocol):
    """A folder of segments; several processes may have the same one."""

    def opened(self) -> Segment:
        """Return a new segment.

        Raises:
            LedgerStoreError: If none can be made.
        """
        ...

    def orphans(self) -> Iterator[Segment]:
        """Yield the segments whose process is gone; each is locked for this one.

        Raises:
            LedgerStoreError: If the folder cannot be read.
        """
        ...


class LedgerStore(Protocol):
    """The database. Used in one thread; opened by the first call that needs it, and again after an error."""

    def open(self) -> None:
        """Open it: tables are made, or migrated, where they are not as they should be.

        Raises:
            LedgerStoreError: If it cannot be used.
        """
        ...

    def write(self, attempts: Sequence[AttemptRow], requests: Sequence[RequestRow]) -> None:
        """Put rows, all of them or none; one that is there stays, unless this one knows more.

        Raises:
            LedgerStoreError: If it cannot be done.
        """
        ...

    def prune(self, before_us: int, rows_max: int) -> int:
        """Remove some of what began before, at most so many rows of each table; return how many went.

        Raises:
            LedgerStoreError: If it cannot be done.
        """
        ...

    def give_up(self, before_us: int) -> None:
        """Mark the intents that began before as `unknown`: their end will not come.

        Raises:
            LedgerStoreError: If it cannot be done.
        """
        ...

    def machines(self, policy: str, said: Sequence[FixedDay], today: date, now_us: int) -> None:
        """Note what a policy says that machines cost from today on, and share out the days before.

        Raises:
            LedgerStoreError: If it cannot be done.
        """
        ...

    def close(self) -> None:
        """Close it."""
        ...
