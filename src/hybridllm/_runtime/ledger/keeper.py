"""What requests tell the ledger: each row is in the journal when the call returns, and nothing is waited for.

The event loop does no more than one short write into the system's memory; all else is the thread's. Bound to
no event loop. A process that was forked begins anew: rows, files, thread and database are its parent's.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridllm._core.ledger.lines import Row, attempt_line, request_line
from hybridllm._core.ledger.made import ended_row, intent_row, keys_text, request_row
from hybridllm._core.receipt import AttemptOutcome
from hybridllm._runtime.ledger.shared import ROWS_MAX, Page
from hybridllm._runtime.ledger.writer import Writer
from hybridllm._runtime.one_thread import OneThread

if TYPE_CHECKING:
    from hybridllm._core.receipt import Attempt, Receipt
    from hybridllm._core.request.facts import Facts
    from hybridllm._runtime.run import Trial

OPEN_S = 3.0
"""So long the first request waits for the ledger to be opened."""
FULL = 0.95
"""Of a page; then the next one is taken."""
CLOSE_S = 5.0
"""For the last writing."""

_logger = logging.getLogger("hybridllm")
_keepers: weakref.WeakSet[LedgerKeeper] = weakref.WeakSet()
_forsaken: list[Writer] = []  # another process's: kept, so that no destructor closes anything


@dataclass(frozen=True, slots=True)
class LedgerState:
    """How the ledger is.

    Attributes:
        name: Its place, without a password.
        written: Rows that are in the database, since this router began.
        waiting: Rows that are not yet.
        lost: Rows that were lost, since neither database, journal nor memory took them.
        errors: How often something went wrong.
        error: Why the database cannot be written now; `unjournaled`: why the journal cannot. None: it can.
    """

    name: str
    written: int = 0
    waiting: int = 0
    lost: int = 0
    errors: int = 0
    error: str | None = None
    unjournaled: str | None = None


class LedgerKeeper:
    """Keeps one ledger, for one router.

    Args:
        name: Of the ledger, for messages; without a password.
        make: Makes the writer of this process.
        deny: Whether requests are refused while neither database nor journal takes what they would leave.
    """

    def __init__(self, name: str, make: Callable[[], Writer], *, deny: bool) -> None:
        self.name = name
        self._make = make
        self._deny = deny
        self._writer: Writer | None = None
        self._closed = False
        self._pending: list[tuple[bytes, Row]] = []  # of attempts whose request ends at once
        self._faults = 0
        self._paused = False
        _keepers.add(self)

    def begin(self) -> None:
        """Begin in this process; once more it does nothing."""
        if self._writer is not None or self._closed:
            return
        self._writer = writer = self._make()
        writer.thread.start()
        weakref.finalize(
            self, writer.stop
        ).atexit = False  # a router that was dropped leaves no thread

    @property
    def opening(self) -> bool:
        """Whether the ledger is still being opened."""
        return self._writer is not None and not self._writer.opened.is_set()

    async def opened(self) -> None:
        """Wait until it is opened, or that was tried; for `OPEN_S` seconds at most."""
        writer = self._writer
        if writer is not None:
            await _in_a_thread(lambda: writer.opened.wait(OPEN_S))

    @property
    def refusal(self) -> str | None:
        """Why no request may be sent now; None: it may."""
        if not self._deny or self._writer is None:
            return None
        shared = self._writer.shared
        if shared.error is None:
            return None
        page, full = shared.page, len(shared.rows) >= ROWS_MAX
        journaled = shared.spare is not None or (page is not None and page.trouble is None)
        return None if journaled and not full else shared.error

    def intent(self, trial: Trial) -> None:
        """See `LedgerPort.intent`."""
        run, kept = trial.run, trial.kept
        plan = run.plan
        try:
            trial.row = row = intent_row(
                run.request_id,
                trial.number,
                kept.candidate,
                plan.facts,
                started_at=trial.started_at,
                reason=trial.reason,
                policy=plan.policy.name,
                route=plan.route,
                keys=keys_text(keys) if (keys := run.keys) else None,
                shadow=run.shadow_of is not None,
            )
            self._pending.append((attempt_line(row), row))
            self._append()
        except Exception as error:  # noqa: BLE001 - a border: no request fails for its bookkeeping
            self._fault(error)

    def attempt(self, trial: Trial, attempt: Attempt) -> None:
        """See `LedgerPort.attempt`."""
        if trial.row is None:
            return
        try:
            row = ended_row(trial.row, attempt)
            self._pending.append((attempt_line(row), row))
            if attempt.outcome is not AttemptOutcome.SERVED or trial.run.settled:
                self._append()
        except Exception as error:  # noqa: BLE001 - so too
            self._fault(error)

    def request(self, receipt: Receipt, facts: Facts) -> None:
        """See `LedgerPort.request`."""
        try:
            row = request_row(receipt, facts)
            self._pending.append((request_line(row), row))
            self._append()
        except Exception as error:  # noqa: BLE001 - so too
            self._fault(error)

    @property
    def errors(self) -> int:
        """See `LedgerPort.errors`."""
        return self.state().errors

    def state(self) -> LedgerState:
        """Return how the ledger is now; may be asked in any thread."""
        if self._writer is None:
            return LedgerState(self.name, errors=self._faults)
        shared = self._writer.shared
        return LedgerState(
            self.name,
            shared.written,
            len(shared.rows) + shared.waiting + len(self._pending),
            shared.lost,
            shared.errors + self._faults,
            shared.error,
            shared.unjournaled,
        )

    async def close(self) -> None:
        """Write what is left, for `CLOSE_S` seconds at most, and end the thread."""
        self._closed = True
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.stop()
        if not await _in_a_thread(lambda: writer.ended(CLOSE_S)):
            _logger.warning(
                "ledger %s: was not written within %g s at the end; its journal is taken over later",
                self.name,
                CLOSE_S,
            )

    def forking(self) -> None:
        """Called before the process is forked."""
        self._paused = self._writer is not None and self._writer.pause()

    def resume(self) -> None:
        """Called in the parent, after that."""
        if self._paused and self._writer is not None:
            self._writer.resume()

    def forked(self) -> None:
        """Called in the child: forget what is the parent's, and release its files without unlocking them."""
        writer, self._writer, self._pending = self._writer, None, []
        if writer is not None:
            self._closed = self._closed or not self._paused  # the file cannot be shared safely
            _forsaken.append(writer)
            for page in tuple(writer.pages.all()):
                page.segment.forsake()

    def _append(self) -> None:
        """Put what is pending into the journal, and hand it to the thread."""
        pending, self._pending = self._pending, []
        writer = self._writer
        if writer is None:
            self._faults += len(pending)  # ended after the router: nobody is there to write it
            return
        shared, page = writer.shared, writer.shared.page
        if (spare := shared.spare) is not None and (
            page is None or page.trouble is not None or page.segment.fullness > FULL
        ):
            if page is not None:
                shared.retired.append(page)
            page = shared.page = spare
            shared.spare = None
        page = _journaled(page, pending)
        room = ROWS_MAX - len(shared.rows)
        if room > 0:
            shared.rows.extend([(row, page) for _, row in pending])
        elif page is not None:
            page.spilled += len(pending)
        else:
            shared.lost += len(pending)
        shared.stir()

    def _fault(self, error: Exception) -> None:
        """A bug of ours; it costs a row, and is told once."""
        self._faults += 1
        if self._faults == 1:
            _logger.error(
                "ledger %s: a row was not made: %s: %s", self.name, type(error).__name__, error
            )


def _journaled(page: Page | None, pending: list[tuple[bytes, Row]]) -> Page | None:
    """Append rows to a page; return it, or None if they stand on none."""
    if page is None or page.trouble is not None:
        return None
    try:
        page.segment.append(b"".join([line for line, _ in pending]))
    except OSError as error:
        page.trouble = error.strerror or type(error).__name__
        return None
    page.appended += len(pending)
    return page


async def _in_a_thread(wait: Callable[[], bool]) -> bool:
    thread = OneThread("hybridllm-ledger-wait")
    try:
        return await thread.run(wait) is True
    finally:
        await thread.close()


def _each(act: Callable[[LedgerKeeper], None]) -> Callable[[], None]:
    def call() -> None:
        for keeper in tuple(_keepers):
            act(keeper)

    return call


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(LedgerKeeper.forking),
        after_in_parent=_each(LedgerKeeper.resume),
        after_in_child=_each(LedgerKeeper.forked),
    )
