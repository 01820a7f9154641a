"""The ledger's thread: takes what requests have left in memory, and puts it into the database in groups.

Owns every touch of the database and of the disk but one: the event loop appends to the segment that it was
given. Whatever goes wrong is kept and tried again; a row leaves the journal once it is in the database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from hybridllm._core.ledger.batch import Batch, recovered
from hybridllm._core.ledger.lines import Row, storable
from hybridllm._core.ledger.made import unsettled
from hybridllm._core.ledger.periods import DAY_US
from hybridllm._core.ledger.rows import INTENT, AttemptRow
from hybridllm._runtime.ledger.machines import Machines
from hybridllm._runtime.ledger.pages import Pages
from hybridllm._runtime.ledger.ports import Journal, LedgerStore, LedgerStoreError, Segment
from hybridllm._runtime.ledger.shared import Page, Shared

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

GATHER_S = 0.01
"""So long rows gather, once there is one."""
ROWS_AT_ONCE = 1_000
INTENT_S = 1.0
"""What is under way for longer is shown in the database, too."""
LOOK_S = 30.0
"""Between two looks for what processes that are gone have left."""
RETRY_S = (0.1, 2.0)
"""Between two tries while the database cannot be written: at first, and at last."""
PRUNE_ROWS = 1_000
PAUSE_S = 10.0
"""So long a fork waits for the thread: more than that does for a database that is locked."""
INTENT_DAYS_MAX = 2
"""No attempt takes as long: one that has no end then will have none."""
_THREAD = "hybridllm-ledger"

_logger = logging.getLogger("hybridllm")


@dataclass(slots=True, eq=False)
class _Held:
    """An attempt under way."""

    row: AttemptRow
    page: Page | None
    since_s: float
    shown: bool = False


class Writer:
    """The thread of one ledger in one process. It ends when `stop` is called, and writes what is left.

    Args:
        name: Of the ledger, for messages; without a password.
        retention_days: Rows that are older than the latest by more are removed; None: none are.
        policy: Returns the one in force: it says what machines cost by the month.
    """

    def __init__(
        self,
        name: str,
        store: LedgerStore,
        journal: Journal,
        *,
        retention_days: int | None,
        policy: Callable[[], Policy],
    ) -> None:
        self.name = name
        self.shared = Shared()
        self.pages = Pages(name, journal, self.shared)
        self.opened = threading.Event()
        self._store = store
        self._journal = journal
        self._retention_days = retention_days
        self._machines = Machines(store, policy)
        self._stop = threading.Event()
        self._at_work = threading.Lock()
        self._batch = Batch()  # that is to be written
        self._stand_on: list[Page | None] = []  # one of each row that the batch settles
        self._held: dict[str, _Held] = {}
        self._retry_s = 0.0
        self._latest_us = 0
        self._pruned_day = 0
        self._look_at_s = 0.0
        self.thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)

    def pause(self) -> bool:
        """Keep the thread from its work, for a process that is about to be forked; return whether it rests.

        What a database's library locks for a moment would stay locked in the child, for ever. And SQLite
        would take the child for the parent, who has the file open and its locks: so nobody has it open.
        """
        if not self._at_work.acquire(timeout=PAUSE_S):
            return False
        self._store.close()
        return True

    def resume(self) -> None:
        """Let the thread work again, in the process whose it is."""
        self._at_work.release()

    def stop(self) -> None:
        """Have it write what is left, once, and end."""
        self._stop.set()
        self.shared.wake.set()

    def ended(self, seconds: float) -> bool:
        """Wait for the thread to end; return whether it has."""
        self.thread.join(seconds)
        return not self.thread.is_alive()

    @property
    def _pruning(self) -> bool:
        return self._latest_us // DAY_US > self._pruned_day

    def _work(self) -> None:
        shared = self.shared
        try:
            with self._at_work:
                self.pages.turn()
                self._try_to(self._store.open)
        finally:
            self.opened.set()
        while not self._stop.is_set():
            try:
                with self._at_work:
                    self._cycle()
            except (
                Exception
            ) as error:  # a border: the rows are in the journal, the thread must live on
                shared.errors += 1
                _logger.exception("ledger %s: unexpected %s", self.name, type(error).__name__)
                self._retry_s = RETRY_S[1]
            self._wait()
        self._end()

    def _wait(self) -> None:
        """Wait for rows, and then for more of them; or for the next look."""
        shared = self.shared
        if self._retry_s:
            self._stop.wait(self._retry_s)
        else:
            shared.wake.wait(INTENT_S if self._held or self._pruning else LOOK_S)
        shared.wake.clear()
        shared.stirred = False
        if not self._retry_s and len(shared.rows) < ROWS_AT_ONCE:
            self._stop.wait(GATHER_S)

    def _cycle(self) -> None:
        if self.shared.error is not None and not self._batch:
            self._try_to(self._store.open)
        self._flush()
        self.pages.turn()
        self.pages.drop()
        if self.shared.error is None:
            self._look_around()

    def _flush(self, rows_left_max: int = ROWS_AT_ONCE) -> bool:
        """Write what came until so few rows wait that more are to gather; return whether that went well."""
        while True:
            self.pages.turn()  # at each turn: without a page that is ready a row costs twenty times as much
            self._gather()
            if self._batch and not self._try_to(self._write):
                self.pages.sync()
                return False
            for page in self._stand_on:
                if page is not None:
                    page.done += 1
            self.shared.written += len(self._batch)
            self._batch, self._stand_on = Batch(), []
            self.shared.waiting = 0
            if len(self.shared.rows) <= rows_left_max:
                return self._replay()

    def _gather(self) -> None:
        """Take rows into the batch, as many as go into one transaction."""
        rows, shared = self.shared.rows, self.shared
        now_s = time.monotonic()  # noqa: TID251 - a thread has no loop whose clock it could ask
        while rows and len(self._batch) < ROWS_AT_ONCE:
            row, page = rows.popleft()
            self._take(row, page, now_s)
        self._show_intents(now_s)
        shared.waiting = len(self._batch)

    def _show_intents(self, now_s: float) -> None:
        for held in self._held.values():
            if now_s - held.since_s < INTENT_S:
                break  # the others came later
            if not held.shown:
                held.shown = True
                self._batch.add(unsettled(held.row))

    def _take(self, row: Row, page: Page | None, now_s: float) -> None:
        if isinstance(row, AttemptRow):
            if row.outcome == INTENT:
                self._held[row.attempt_id] = _Held(row, page, now_s)
                return
            held = self._held.pop(row.attempt_id, None)
            if held is not None:
                self._stand_on.append(held.page)
        self._stand_on.append(page)
        self._batch.add(row)
        self._latest_us = max(self._latest_us, row.started_us)

    def _write(self) -> None:
        attempts = [*self._batch.attempts.values()]
        requests = [*self._batch.requests.values()]
        try:
            self._store.write(attempts, requests)
        except (ValueError, OverflowError):  # what no database takes: it must not stop the others
            self._store.write([*map(storable, attempts)], [*map(storable, requests)])

    def _replay(self) -> bool:
        """Write the rows that only the journal holds; return whether there are none left."""
        for page in tuple(self.pages.all()):
            spilled = page.spilled
            if spilled == page.replayed:
                continue
            if not self._try_to(partial(self._write_page, page)):
                return False
            page.replayed = spilled
        return True

    def _write_page(self, page: Page) -> None:
        batch = Batch()
        for row in page.segment.read().rows:
            batch.add(row)
        for key, row in batch.attempts.items():
            if row.outcome == INTENT:
                batch.attempts[key] = unsettled(row)
            elif (held := self._held.pop(key, None)) is not None and held.page is not None:
                held.page.done += 1
        self._write_all(batch)

    def _write_all(self, batch: Batch) -> None:
        attempts, requests = iter(batch.attempts.values()), iter(batch.requests.values())
        while True:
            part = list(islice(attempts, ROWS_AT_ONCE)), list(islice(requests, ROWS_AT_ONCE))
            if not any(part):
                return
            self._store.write([*map(storable, part[0])], [*map(storable, part[1])])
            self.shared.written += len(part[0]) + len(part[1])

    def _try_to(self, act: Callable[[], object]) -> bool:
        """Do something with the database; if that fails, say so once, and wait longer each time."""
        shared = self.shared
        try:
            act()
        except LedgerStoreError as error:
            shared.errors += 1
            if shared.error is None:
                _logger.warning(
                    "ledger %s: cannot be written: %s. Rows wait in memory and in the journal, and are "
                    "written once it can",
                    self.name,
                    error,
                )
            shared.error = str(error)
            self._retry_s = min(RETRY_S[1], max(RETRY_S[0], 2 * self._retry_s))
            return False
        if shared.error is not None:
            _logger.info("ledger %s: can be written again", self.name)
        shared.error, self._retry_s = None, 0.0
        return True

    def _look_around(self) -> None:
        """Now and then: take over what is left of other processes, and remove what is too old."""
        now_s = time.monotonic()  # noqa: TID251 - so too
        if now_s >= self._look_at_s and self._try_to(self._adopt):
            self._look_at_s = now_s + LOOK_S
        if self._machines.due(self._latest_us):
            self._try_to(partial(self._machines.tell, self._latest_us))
        if self._pruning:
            self._try_to(self._prune)

    def _prune(self) -> None:
        """Remove some rows that are too old; what is left of them waits for the next cycle."""
        latest_us = self._latest_us
        self._store.give_up(latest_us - INTENT_DAYS_MAX * DAY_US)
        days = self._retention_days
        if days is None or not self._store.prune(latest_us - days * DAY_US, PRUNE_ROWS):
            self._pruned_day = latest_us // DAY_US

    def _adopt(self) -> None:
        for segment in self._journal.orphans():
            done = False
            try:
                found = segment.read()
                self._write_all(recovered(found.rows))
                done = True
                self._told_of(segment, torn=found.torn, damaged=found.damaged, rows=len(found.rows))
            finally:
                if not done:
                    segment.close()
            if found.damaged:
                segment.set_aside()
            else:
                segment.drop()

    def _told_of(self, segment: Segment, *, torn: bool, damaged: int, rows: int) -> None:
        if damaged:
            self.shared.errors += 1
            _logger.warning(
                "ledger %s: %d lines of %s are damaged; the other %d rows are in the ledger, and the file is "
                "kept beside it",
                self.name,
                damaged,
                segment.name,
                rows,
            )
        elif rows or torn:
            _logger.info(
                "ledger %s: %d rows of a process that is gone were taken over", self.name, rows
            )

    def _end(self) -> None:
        """Write what is left, and leave the journal to whoever comes next if that cannot be done."""
        shared = self.shared
        with suppress(Exception):  # the journal has it, and this thread has nothing more to do
            self._flush(0)
            if shared.error is None and self._machines.due(self._latest_us):
                self._machines.tell(self._latest_us)
        ends = (page for row, page in shared.rows if row.outcome != INTENT)
        homeless = [*self._stand_on, *ends].count(None)
        shared.lost += homeless
        left = self.pages.close()
        if left or homeless:
            _logger.warning(
                "ledger %s: could not be written at the end: %s. %d rows wait in its journal, and are taken "
                "over by the next router that writes it; %d rows are lost",
                self.name,
                shared.error or "attempts are under way",
                left,
                homeless,
            )
        with suppress(Exception):
            self._store.close()
