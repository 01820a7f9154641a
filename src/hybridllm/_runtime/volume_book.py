"""The file that keeps volumes over restarts: written and read in a thread, in batches, and never waited for.

What is to be written is kept until it is known to be in the file, so that a file that is locked, full or
broken for a while costs nothing but a warning. What a batch holds is written once, whatever becomes of the
task that asked for it. A process that was forked leaves its parent's counts to the parent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from hybridllm._core.volume.days import NOTHING, Amounts
from hybridllm._core.volume.stored import DayKey, GateKey, Stored, StoredState, Wanted
from hybridllm._runtime.one_thread import OneThread

ROWS_MAX = 100_000
"""Totals that wait to be written: so many days of so many scopes, and no more."""
_THREAD = "hybridllm-volumes"

_logger = logging.getLogger("hybridllm")


class VolumeStoreError(Exception):
    """The file cannot be used now. Its text says why, in the words of SQLite or of the system."""


class VolumeStore(Protocol):
    """One file; used in one thread. Several processes may have the same one."""

    def read(self, wanted: Wanted) -> Stored:
        """Return what is kept; the file stays as it is.

        Raises:
            VolumeStoreError: If it cannot be read.
        """
        ...

    def exchange(self, kept: Stored, wanted: Wanted) -> Stored:
        """Add totals, put states, and return what is there then: all of it, or nothing is done.

        Raises:
            VolumeStoreError: If it cannot be done.
        """
        ...


@dataclass(slots=True, eq=False)
class _Batch:
    """Counts that go into the file together. `written` is set in the thread, once they are there."""

    days: dict[DayKey, Amounts] = field(default_factory=dict)
    states: dict[GateKey, StoredState] = field(default_factory=dict)
    written: bool = False

    def take(self, other: _Batch) -> None:
        for key, amounts in other.days.items():
            self.days[key] = self.days.get(key, NOTHING).plus(amounts)
        self.states |= other.states


class VolumeBook:
    """What waits to be written, and the file.

    Args:
        name: Of the file, as it was given.
        open_store: Makes the store; called in the thread, for it loads SQLAlchemy.
    """

    def __init__(self, name: str, open_store: Callable[[], VolumeStore]) -> None:
        self.name = name
        self._open_store = open_store
        self._store: VolumeStore | None = None
        self._thread = OneThread(_THREAD)
        self._next = _Batch()
        self._unwritten: list[_Batch] = []
        self._failed = False  # the last time
        self._full = False

    @property
    def waiting(self) -> bool:
        """Whether something is to be written."""
        return bool(self._next.days or self._next.states or self._unwritten)

    def add(self, day: int, totals: Iterable[tuple[str, Amounts]]) -> None:
        """Write more of a day, soon."""
        days = self._next.days
        for scope, amounts in totals:
            key = (scope, day)
            if key not in days and len(days) >= ROWS_MAX:
                self._say_full()
                continue
            days[key] = days.get(key, NOTHING).plus(amounts)

    def note(self, key: GateKey, state: StoredState) -> None:
        """Write a condition's state, soon."""
        self._next.states[key] = state

    @property
    def scopes(self) -> frozenset[str]:
        """Those of which something is to be written."""
        batches = (self._next, *self._unwritten)
        return frozenset(scope for batch in batches for scope, _ in batch.days)

    def unwritten(self, key: DayKey) -> Amounts:
        """Return what a day's total in the file does not hold yet."""
        total = self._next.days.get(key, NOTHING)
        for batch in self._unwritten:
            total = total.plus(batch.days.get(key, NOTHING))
        return total

    async def read(self, wanted: Wanted) -> Stored | None:
        """Return what is kept; None if it cannot be read, which is in the log."""
        return self._told(await self._thread.run(partial(self._read, wanted)))

    async def exchange(self, wanted: Wanted) -> Stored | None:
        """Write what waits, and return what is there then; None if that failed, which is in the log."""
        if self._next.days or self._next.states:
            self._unwritten.append(self._next)
            self._next = _Batch()
        done = await self._thread.run(partial(self._exchange, tuple(self._unwritten), wanted))
        self._unwritten = [batch for batch in self._unwritten if not batch.written]
        if self._unwritten:
            together = _Batch()
            for batch in (*self._unwritten, self._next):
                together.take(batch)
            self._unwritten, self._next = [], together
        return self._told(done)

    def forked(self) -> None:
        """Begin anew in a child: what waits is its parent's to write, and so is the thread."""
        self._thread = OneThread(_THREAD)
        self._store, self._next, self._unwritten = None, _Batch(), []

    async def close(self) -> None:
        """End the thread; say what was not written."""
        rows = len(self._next.days) + sum(len(batch.days) for batch in self._unwritten)
        if rows:
            _logger.warning(
                "volume file %s: could not be written at the end: the latest counts are lost (%d totals of a "
                "day and a scope)",
                self.name,
                rows,
            )
        await self._thread.close()

    def _read(self, wanted: Wanted) -> Stored:
        """In the thread."""
        return self._opened().read(wanted)

    def _exchange(self, batches: tuple[_Batch, ...], wanted: Wanted) -> Stored:
        """In the thread, where one comes after the other: a batch that an earlier call wrote is written."""
        left = [batch for batch in batches if not batch.written]
        together = _Batch()
        for batch in left:
            together.take(batch)
        found = self._opened().exchange(Stored(together.days, together.states), wanted)
        for batch in left:
            batch.written = True
        return found

    def _opened(self) -> VolumeStore:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _told(self, done: Stored | Exception) -> Stored | None:
        if not isinstance(done, Exception):
            if self._failed:
                _logger.info("volume file %s: can be used again, nothing was lost", self.name)
            self._failed = False
            return done
        if not self._failed:
            why = str(done) if isinstance(done, VolumeStoreError) else type(done).__name__
            _logger.warning(
                "volume file %s: cannot be used: %s. Volumes are counted on in memory, and written once it "
                "can; if that does not happen before the process ends, they are lost",
                self.name,
                why,
            )
        self._failed = True
        return None

    def _say_full(self) -> None:
        if not self._full:
            _logger.warning(
                "volume file %s: more than %d totals wait to be written; further ones are not kept",
                self.name,
                ROWS_MAX,
            )
        self._full = True
