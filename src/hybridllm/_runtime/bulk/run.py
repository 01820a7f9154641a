"""A bulk job under way: takes items, has each asked for, remembers it in the journal, hands results out.

Owns the order of what is written: the intent before a request leaves, the answer before it is handed out.
What bounds memory is `window`: so many items at most are taken and not yet handed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Literal

from hybridllm._core.bulk.journal_lines import done_line, failed_line, read_done, sent_line
from hybridllm._core.bulk.journal_state import NEW, Phase, Standing
from hybridllm._core.bulk.paid import Paid
from hybridllm._core.bulk.result import BulkProgress, BulkResult
from hybridllm._core.bulk.tally import Tally
from hybridllm._runtime.bulk.journal import Journal
from hybridllm._runtime.bulk.ports import Answerer, JournalFile, Prepared
from hybridllm._runtime.bulk.source import Item, Source
from hybridllm._runtime.bulk.tries import Ended, ask
from hybridllm._runtime.ports import Clock
from hybridllm.errors import (
    BulkFileError,
    OutcomeUnknown,
    RouterClosed,
    public_class,
)

PROGRESS_EVERY_S = 0.1
_NOT_READ = b""


@dataclass(frozen=True, slots=True)
class Options:
    """How a job runs; see `Router.map`."""

    operation: str
    concurrency: int
    window: int
    ordered: bool
    unknown: Literal["retry", "skip"]
    total: int | None
    on_progress: Callable[[BulkProgress], object] | None


class Run:
    """One job; belongs to the event loop in which it starts."""

    def __init__(
        self,
        source: Source,
        options: Options,
        answerer: Answerer,
        *,
        file: JournalFile | None,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self._source = source
        self._options = options
        self._answerer = answerer
        self._clock = clock
        self._draw = draw
        self._journal = None if file is None else Journal(file, clock)
        self._context = copy_context()  # the hints of the blocks in which the job was made
        self._on_progress = options.on_progress
        self._told_at_s = float("-inf")
        self._tally: Tally | None = None
        self._task: asyncio.Task[None] | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._results: dict[int, BulkResult] = {}
        self._taken = self._handed_out = 0
        self._ready, self._changed, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._ending: BaseException | None = None  # what the job ends with, once all is handed out
        self._stopping = False

    @property
    def progress(self) -> BulkProgress:
        """Where it stands."""
        if self._tally is None:
            return BulkProgress(total=self._options.total)
        return self._tally.progress(now_s=self._clock.monotonic_s())

    def start(self) -> None:
        """Begin, if it has not begun."""
        if self._task is None and not self._stopping:
            # No TaskGroup: it begins inside one call of the consumer and ends inside another. It is ended
            # by `close`, or by `abandon` when the consumer has let go of the job.
            self._tally = Tally(total=self._options.total, now_s=self._clock.monotonic_s())
            self._task = asyncio.get_running_loop().create_task(
                self._main(self._tally), name="hybridllm map", context=self._context
            )
            self._task.add_done_callback(self._is_over)

    async def ready(self) -> None:
        """Begin, and return once the journal has been read.

        Raises:
            BulkFileError: If it cannot be used.
        """
        self.start()
        if self._task is not None:
            await self._ready.wait()
            if self._ending is not None and not self._taken:
                raise self._last_words()

    async def next(self) -> BulkResult:
        """Return the next result.

        Raises:
            StopAsyncIteration: If there is none any more.
        """
        self.start()
        while True:
            index = self._handed_out if self._options.ordered else next(iter(self._results), -1)
            result = self._results.pop(index, None)
            if result is not None:
                self._handed_out += 1
                self._room.set()
                return result
            if self._task is None or self._task.done():
                if self._ending is not None:
                    raise self._last_words()
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    def stop(self) -> None:
        """Take no more items; those under way are finished."""
        self._stopping = True
        if self._feeder is not None:
            self._feeder.cancel()  # it may be waiting for an input that is long in coming

    def abandon(self) -> None:
        """Cancel everything under way; in the job's loop."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Cancel everything under way, and return when it is freed. Results that wait are dropped."""
        self.abandon()
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait({task})
        self._results.clear()
        self._ending = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Where it runs; None unless it is under way."""
        task = self._task
        return None if task is None or task.done() else task.get_loop()

    def _end_with(self, error: Exception) -> None:
        """Take no more items, and raise this when those under way have been handed out."""
        self._ending = error
        self.stop()

    def _last_words(self) -> BaseException:
        error, self._ending = self._ending, None
        return error if error is not None else StopAsyncIteration()

    def _is_over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            self._ending = self._ending or error
        for event in (self._ready, self._changed):
            event.set()

    async def _main(self, tally: Tally) -> None:
        journal = self._journal
        try:
            if journal is not None:
                await journal.open(self._options.operation)
                failed_usd = journal.state.failed_usd
                tally.paid_before(failed_usd, complete=journal.state.failed_cost_complete)
            self._ready.set()
            async with asyncio.TaskGroup() as helpers:
                writer = None if journal is None else helpers.create_task(journal.work())
                async with asyncio.TaskGroup() as items:
                    self._feeder = items.create_task(self._feed(items, tally))
                if writer is not None:
                    writer.cancel()
            self._tell(tally, last=True)
        except BulkFileError as error:
            self._ending = error.with_traceback(None)
        finally:
            if journal is not None:
                await journal.close()

    async def _feed(self, items: asyncio.TaskGroup, tally: Tally) -> None:
        """Take items as long as there is room, and begin each."""
        options = self._options
        while not self._stopping and self._ending is None:
            if (
                tally.under_way >= options.concurrency
                or self._taken - self._handed_out >= options.window
            ):
                self._room.clear()
                await self._room.wait()
                continue
            try:
                item = await self._source.next()
            except Exception as error:  # noqa: BLE001 - the caller's own: raised when all is handed out
                mine = error.__traceback__
                self._ending = error.with_traceback(None if mine is None else mine.tb_next)
                return
            if item is None:
                return
            self._begin(item, items, tally)

    def _begin(self, item: Item, items: asyncio.TaskGroup, tally: Tally) -> None:
        """Begin an item. Its first line is given to the journal here, so that they come in order."""
        journal, request = self._journal, item.request
        prepared: Prepared | Exception = (
            request
            if isinstance(request, Exception)
            else self._answerer.prepared(request, with_digest=journal is not None)
        )
        standing = NEW if journal is None else journal.state.of(item.index)
        if journal is not None and _is_another(standing, prepared):
            self._ending = _another_input(journal.name, item)
            return
        self._taken += 1
        result = partial(BulkResult, item.index, item.key)
        if not isinstance(prepared, Prepared):
            if journal is not None:
                _unheeded(
                    journal.append(failed_line(item.index, public_class(prepared).__name__, Paid()))
                )
            self._finished(result(error=prepared), tally)
            return
        unknown = standing.unknown_before or standing.phase is Phase.SENT
        if journal is not None and standing.phase is Phase.SENT and self._options.unknown == "skip":
            error = self._answerer.raised(_unknown(item, journal.name))
            self._finished(result(error=error, unknown_paid=True), tally)
            return
        tally.under_way += 1
        result = partial(result, unknown_paid=unknown)
        if journal is not None and standing.phase is Phase.DONE:
            items.create_task(self._resume(journal, standing, result, tally))
            return
        intent = None
        if journal is not None:
            intent = journal.append(sent_line(item.index, prepared.digest or _NOT_READ))
        items.create_task(self._ask(prepared, intent, result, tally))

    async def _resume(
        self, journal: Journal, standing: Standing, result: partial[BulkResult], tally: Tally
    ) -> None:
        """Hand out what an earlier run was answered."""
        try:
            told, paid = read_done(await journal.line(standing))
            given = result(answer=self._answerer.read(told), paid=paid, resumed=True)
        except (BulkFileError, ValueError) as error:
            message = f"{journal.name}: an answer in it cannot be read: {error}"
            self._end_with(BulkFileError(message, path=journal.name))
            given = result(error=BulkFileError(message, path=journal.name))
        tally.under_way -= 1
        self._finished(given, tally)

    async def _ask(
        self,
        prepared: Prepared,
        intent: asyncio.Future[None] | None,
        result: partial[BulkResult],
        tally: Tally,
    ) -> None:
        """Send an item once its intent is written; write how it ended; hand that out."""
        index: int = result.args[0]
        try:
            if intent is not None:
                await intent
        except BulkFileError as error:
            tally.under_way -= 1
            self._end_with(error)
            self._finished(result(error=error), tally)
            return
        ended = await ask(self._answerer, prepared, clock=self._clock, draw=self._draw, tally=tally)
        if isinstance(ended.error, RouterClosed):
            # Nothing more can be asked; whether this was paid is unknown.
            self._end_with(ended.error)
        elif self._journal is not None:
            try:
                await self._journal.append(self._line_of(index, ended))
            except BulkFileError as error:
                self._end_with(error)  # the answer is handed out all the same: it is paid for
        tally.under_way -= 1
        self._finished(
            result(ended.answer, ended.error, ended.receipt, ended.paid, tries=ended.tries), tally
        )

    def _line_of(self, index: int, ended: Ended) -> bytes:
        if ended.error is None:
            try:
                return done_line(index, self._answerer.written(ended.answer), ended.paid)
            except ValueError as error:
                return failed_line(index, public_class(error).__name__, ended.paid)
        return failed_line(index, public_class(ended.error).__name__, ended.paid)

    def _finished(self, result: BulkResult, tally: Tally) -> None:
        tally.ended(result, now_s=self._clock.monotonic_s())
        self._results[result.index] = result
        self._changed.set()
        self._room.set()
        self._tell(tally)

    def _tell(self, tally: Tally, *, last: bool = False) -> None:
        now_s = self._clock.monotonic_s()
        if self._on_progress is None or not (last or now_s - self._told_at_s >= PROGRESS_EVERY_S):
            return
        self._told_at_s = now_s
        try:
            self._on_progress(tally.progress(now_s=now_s))
        except Exception as error:  # noqa: BLE001 - the caller's own: raised when all is handed out
            self._on_progress = None
            self._end_with(error)


def _is_another(standing: Standing, prepared: Prepared | Exception) -> bool:
    """Whether the journal speaks of another item, and would be believed."""
    if standing.phase not in (Phase.SENT, Phase.DONE):
        return False  # one that failed is sent again, whatever it says now
    return not isinstance(prepared, Prepared) or prepared.digest != standing.digest


def _another_input(name: str, item: Item) -> BulkFileError:
    which = f"item {item.index}" + ("" if item.key is None else f" ({item.key!r})")
    return BulkFileError(
        f"{name}: the journal is of another input: {which} is not what it was when it was sent. Give this "
        "input a journal of its own; or restore the item",
        path=name,
    )


def _unknown(item: Item, name: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"item {item.index}: an earlier run sent it and ended before it knew the answer, so it may have been "
        f"paid for; unknown='skip' leaves it so (journal {name})"
    )


def _unheeded(written: asyncio.Future[None]) -> None:
    """Nobody waits for it; that a journal is broken is told by the next one who does."""
    written.add_done_callback(lambda done: done.cancelled() or done.exception())
