"""The ledger's thread: takes what requests have left in memory, and puts it into the database in groups.

Owns every touch of the database and of the disk but one: the event loop appends to the segment that it was
given. Whatever goes wrong is kept and tried again; a row leaves the journal once it is in the database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from hybridllm._core.ledger.batch import Batch, recovered
from hybridllm._core.ledger.lines import Row, storable
from hybridllm._core.ledger.made import unsettled
from hybridllm._core.ledger.rows import INTENT, AttemptRow
from hybridllm._runtime.ledger.ports import Journal, LedgerStore, LedgerStoreError, Segment

GATHER_S = 0.01
"""So long rows gather, once there is one."""
ROWS_AT_ONCE = 1_000
SEGMENT_BYTES = 4 * 2**20
INTENT_S = 1.0
"""What is under way for longer is shown in the database, too."""
ROWS_MAX = 50_000
"""That are held in memory; with a journal more may wait there."""
LOOK_S = 30.0
"""Between two looks for what processes that are gone have left."""
RETRY_S = (0.1, 2.0)
"""Between two tries while the database cannot be written: at first, and at last."""
PRUNE_ROWS = 1_000
INTENT_DAYS_MAX = 2
"""No attempt takes as long: one that has no end then will have none."""
_DAY_US = 86_400 * 10**6
_THREAD = "hybridllm-ledger"

_logger = logging.getLogger("hybridllm")


@dataclass(slots=True, eq=False)
class Page:
    """A segment, and how much of it is still needed. The loop counts what it appends, the thread what is done.

    Attributes:
        appended: Rows in it; `done`: of those, how many are in the database.
        spilled: Rows of it that are held nowhere else; `replayed`: of those, how many are in the database.
        trouble: Why something could not be appended to it, which was the last; None: it is whole.
    """

    segment: Segment
    appended: int = 0
    done: int = 0
    spilled: int = 0
    replayed: int = 0
    trouble: str | None = None

    @property
    def needed(self) -> bool:
        """Whether it holds a row that the database does not."""
        return self.appended - self.spilled > self.done or self.spilled > self.replayed


@dataclass(slots=True, eq=False)
class Shared:
    """What the event loop and the thread hand each other; each field is changed by one of them.

    Attributes:
        rows: That came, each with the page that it stands on; None: on none.
        page: That the loop appends to; `spare`: the next one, for the loop to take.
        retired: Pages that the loop has left.
        lost: Rows that neither memory nor journal had room for.
        written: Rows that are in the database.
        errors: How often the database or the journal could not be written.
        error: Why it cannot now; None: it can.
        unjournaled: Why rows cannot be appended to the journal now; None: they can.
        waiting: Rows that the thread holds and has not written.
    """

    rows: deque[tuple[Row, Page | None]] = field(default_factory=deque)
    page: Page | None = None
    spare: Page | None = None
    retired: deque[Page] = field(default_factory=deque)
    wake: threading.Event = field(default_factory=threading.Event)
    stirred: bool = False
    lost: int = 0
    written: int = 0
    errors: int = 0
    error: str | None = None
    unjournaled: str | None = None
    waiting: int = 0

    def stir(self) -> None:
        """Wake the thread, if it is not about to look."""
        if not self.stirred:
            self.stirred = True
            self.wake.set()


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
    """

    def __init__(
        self, name: str, store: LedgerStore, journal: Journal, *, retention_days: int | None
    ) -> None:
        self.name = name
        self.shared = Shared()
        self.opened = threading.Event()
        self._store = store
        self._journal = journal
        self._retention_days = retention_days
        self._stop = threading.Event()
        self._batch = Batch()  # that is to be written
        self._pages: list[Page | None] = []  # one of each row that the batch settles
        self._held: dict[str, _Held] = {}
        self._kept: list[Page] = []  # that were retired and are needed
        self._retry_s = 0.0
        self._latest_us = 0
        self._pruned_day = 0
        self._look_at_s = 0.0
        self.thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)

    def stop(self) -> None:
        """Have it write what is left, once, and end."""
        self._stop.set()
        self.shared.wake.set()

    def pages(self) -> Iterator[Page]:
        """Yield the pages that are open."""
        shared = self.shared
        pages = (shared.page, shared.spare, *shared.retired, *self._kept)
        yield from (page for page in pages if page is not None)

    def ended(self, seconds: float) -> bool:
        """Wait for the thread to end; return whether it has."""
        self.thread.join(seconds)
        return not self.thread.is_alive()

    @property
    def _pruning(self) -> bool:
        return self._latest_us // _DAY_US > self._pruned_day

    def _work(self) -> None:
        shared = self.shared
        try:
            self._turn_page()
            self._try_to(self._store.open)
        finally:
            self.opened.set()
        while not self._stop.is_set():
            self._wait()
            try:
                self._cycle()
            except Exception as error:  # a border: rows wait in the journal, and the thread must live on
                shared.errors += 1
                _logger.exception("ledger %s: unexpected %s", self.name, type(error).__name__)
                self._retry_s = RETRY_S[1]
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
        self._turn_page()
        self._drop_pages()
        if self.shared.error is None:
            self._look_around()

    def _flush(self) -> bool:
        """Write what came; return whether all of it is in the database."""
        while True:
            self._gather()
            if not self._batch:
                return self._replay()
            if not self._try_to(self._write):
                self._keep_safe()
                return False
            for page in self._pages:
                if page is not None:
                    page.done += 1
            self.shared.written += len(self._batch)
            self._batch, self._pages = Batch(), []

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
                self._pages.append(held.page)
        self._pages.append(page)
        self._batch.add(row)
        self._latest_us = max(self._latest_us, row.started_us)

    def _write(self) -> None:
        attempts, requests = list(self._batch.attempts.values()), list(self._batch.requests.values())
        try:
            self._store.write(attempts, requests)
        except (ValueError, OverflowError):  # what no database takes: it must not stop the others
            self._store.write([*map(storable, attempts)], [*map(storable, requests)])

    def _replay(self) -> bool:
        """Write the rows that only the journal holds; return whether there are none left."""
        for page in self._open_pages():
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

    def _keep_safe(self) -> None:
        """While the database takes nothing, the journal is what there is: it is to outlive the machine."""
        for page in self._open_pages():
            with suppress(OSError):
                page.segment.sync()

    def _open_pages(self) -> Iterable[Page]:
        page = self.shared.page
        return self._kept if page is None or page in self._kept else (*self._kept, page)

    def _turn_page(self) -> None:
        """Have a page for the loop: the first, or the next where one is full or broken."""
        shared = self.shared
        page = shared.page
        if shared.spare is not None:
            return
        if page is not None and page.trouble is None:
            shared.unjournaled = None
            if page.segment.size < SEGMENT_BYTES:
                return
        try:
            made = Page(self._journal.opened())
        except LedgerStoreError as error:
            self._unjournaled(str(error))
            return
        if page is not None and page.trouble is not None:
            self._unjournaled(page.trouble)
        if page is None:
            shared.page = made
        else:
            shared.spare = made

    def _unjournaled(self, why: str) -> None:
        shared = self.shared
        shared.errors += 1
        if shared.unjournaled is None:
            _logger.warning(
                "ledger %s: its journal cannot be written: %s. Until it can, a process that is killed loses "
                "the rows of its last moments",
                self.name,
                why,
            )
        shared.unjournaled = why

    def _drop_pages(self) -> None:
        """Remove the pages that are in the database."""
        retired = self.shared.retired
        while retired:
            self._kept.append(retired.popleft())
        for page in self._kept:
            if not page.needed:
                page.segment.drop()
        self._kept = [page for page in self._kept if page.needed]

    def _look_around(self) -> None:
        """Now and then: take over what is left of other processes, and remove what is too old."""
        now_s = time.monotonic()  # noqa: TID251 - so too
        if now_s >= self._look_at_s and self._try_to(self._adopt):
            self._look_at_s = now_s + LOOK_S
        if self._pruning:
            self._try_to(self._prune)

    def _prune(self) -> None:
        """Remove some rows that are too old; what is left of them waits for the next cycle."""
        latest_us = self._latest_us
        self._store.give_up(latest_us - INTENT_DAYS_MAX * _DAY_US)
        days = self._retention_days
        if days is None or not self._store.prune(latest_us - days * _DAY_US, PRUNE_ROWS):
            self._pruned_day = latest_us // _DAY_US

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
            self._flush()
        for page in (shared.page, shared.spare):
            if page is not None:
                shared.retired.append(page)
        self._drop_pages()
        for page in self._kept:
            with suppress(OSError):
                page.segment.sync()
            page.segment.close()
        left = sum(page.appended for page in self._kept)
        if self._batch:
            _logger.warning(
                "ledger %s: could not be written at the end: %s. %s",
                self.name,
                shared.error,
                f"{left} rows wait in its journal, and are taken over by the next router that writes it"
                if left
                else f"{len(self._batch)} rows are lost",
            )
        with suppress(Exception):
            self._store.close()
