"""Budgets in a file that several processes share: asked in a thread, all who wait at once together.

Nothing waits in the event loop: while one transaction runs, those who come meanwhile gather for the next.
What is settled is kept until it is known to be in the file. As long as something is held, the file is told
every few seconds that this process lives; what a dead one held counts as spent, for it may be billed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from datetime import datetime
from functools import partial
from typing import cast

from hybridllm._core.budget.accounts import Accounts
from hybridllm._core.budget.admit import Balance, Granted, Refused
from hybridllm._core.budget.claims import Account, Ask, Claim
from hybridllm._core.ledger.periods import microseconds
from hybridllm._runtime.budgets.jobs import Admit, Answer, BudgetStore, Job, Settle, TopUp
from hybridllm._runtime.budgets.ports import BudgetStoreError
from hybridllm._runtime.one_thread import OneThread

BEAT_S = 5.0
"""So often a process that holds something says that it lives."""
CLOSE_S = 5.0
"""For what is not settled yet, at the end."""
JOBS_MAX = 500
"""In one transaction: others wait for the file meanwhile."""
_HOUR_S = 3_600.0
_THREAD = "hybridllm-budgets"

_logger = logging.getLogger("hybridllm")
_Waiting = tuple[Job, "asyncio.Future[Answer]"]


class SharedBudgets:
    """See `Budgets`.

    Args:
        place: Of the file, as it was given.
        open_store: Makes the store; called in the thread, for it loads SQLAlchemy.
    """

    def __init__(
        self, place: str, open_store: Callable[[], BudgetStore], *, beat_s: float = BEAT_S
    ) -> None:
        self.place = place
        self._open_store = open_store
        self._beat_s = beat_s
        self._forsaken: list[BudgetStore | None] = []  # another process's: nothing of it is closed
        self._failed = False  # the last time
        self._know_nothing()

    def _know_nothing(self) -> None:
        self._pid = os.getpid()
        self._store: BudgetStore | None = None
        self._thread = OneThread(_THREAD)
        self._waiting: list[_Waiting] = []
        self._unsettled: dict[str, Settle] = {}
        self._held: dict[str, dict[Account, int]] = {}
        self._seen = Accounts()
        self._tidied_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: tuple[asyncio.AbstractEventLoop, asyncio.TimerHandle] | None = None

    async def admit(self, ticket: str, ask: Ask, now_utc: datetime) -> Granted | Refused:
        """See `Budgets.admit`."""
        self._tidy(now_utc)
        try:
            verdict = cast("Granted | Refused", await self._asked(Admit(ticket, ask)))
        except BaseException:
            self.settle(ticket, {})  # it may have been granted: nobody knows yet
            raise
        if isinstance(verdict, Granted):
            amounts = zip(ask.claims, verdict.amounts_pico, strict=True)
            self._held[ticket] = {claim.account: amount for claim, amount in amounts}
            self._beat_later()
        return verdict

    async def top_up(self, ticket: str, claims: Sequence[Claim], more: Sequence[int]) -> int | None:
        """See `Budgets.top_up`."""
        lacking = cast("int | None", await self._asked(TopUp(ticket, tuple(claims), tuple(more))))
        if lacking is None:
            held = self._held.setdefault(ticket, {})
            for claim, amount in zip(claims, more, strict=True):
                held[claim.account] = held.get(claim.account, 0) + amount
        return lacking

    def settle(self, ticket: str, spent: Mapping[Account, int]) -> None:
        """See `Budgets.settle`."""
        self._held.pop(ticket, None)
        if self._pid == os.getpid():
            self._unsettled[ticket] = Settle(ticket, spent)
            self._stir()

    def known(self) -> Mapping[Account, Balance]:
        """See `Budgets.known`."""
        return self._seen.balances

    async def look(self, now_utc: datetime) -> None:
        """See `Budgets.look`; a file that cannot be read is told of in the log."""
        self._ours()
        now_us = microseconds(now_utc)
        done = await self._thread.run(lambda: self._opened().look(now_us))
        if self._told(done):
            self._see(cast("Accounts", done))

    def cut_off(self) -> None:
        """Count what was under way as spent: it may be billed. In a child it is the parent's to pay."""
        self._ours()
        self._task = self._timer = None
        for ticket, held in list(self._held.items()):
            self.settle(ticket, held)

    async def close(self) -> None:
        """See `Budgets.close`."""
        if self._pid != os.getpid():
            return
        if self._timer is not None:
            self._timer[1].cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                self._stir()
                if self._task is not None:
                    await asyncio.shield(self._task)
        if self._unsettled:
            _logger.warning(
                "budgets in %s: the cost of %d requests could not be written at the end; what was reserved "
                "for them counts as spent",
                self.place,
                len(self._unsettled),
            )
        store = self._store
        if store is not None:
            await self._thread.run(store.close)
        await self._thread.close()

    async def _asked(self, job: Job) -> Answer:
        self._ours()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, answer))
        self._stir()
        return await answer

    def _ours(self) -> None:
        """In a child everything begins anew: connection, thread and reservations are the parent's."""
        if self._pid != os.getpid():
            self._forsaken.append(self._store)
            self._know_nothing()

    def _stir(self) -> None:
        """Have what waits carried out, unless it is being done."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # its loop is closed: it is done with the next request, or at the end
            return
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            # No TaskGroup: it serves whoever comes, and each of them may leave.
            self._task = loop.create_task(self._carry_out(), name=_THREAD, context=Context())

    async def _carry_out(self) -> None:
        """Carry out what waits, until nothing does or the file fails."""
        good = True
        while self._waiting or (self._unsettled and good):
            waiting = [one for one in self._waiting if not one[1].done()][:JOBS_MAX]
            self._waiting = [one for one in self._waiting if not one[1].done()][JOBS_MAX:]
            settling = list(self._unsettled.values())[:JOBS_MAX]
            jobs = [*settling, *(job for job, _ in waiting)]
            done = await self._thread.run(partial(self._in_thread, jobs))
            good = self._told(done)
            if isinstance(done, Exception):
                for _, answer in waiting:
                    if not answer.done():
                        answer.set_exception(BudgetStoreError(_words(done)))
                continue
            answers, accounts = done
            self._see(accounts)
            for settled in settling:
                if self._unsettled.get(settled.ticket) is settled:
                    del self._unsettled[settled.ticket]
            for (_, answer), found in zip(waiting, answers[len(settling) :], strict=True):
                if not answer.done():
                    answer.set_result(found)
        self._beat_later()

    def _beat_later(self) -> None:
        """Say that this process lives, and try again what could not be written, after a while."""
        if self._held or self._unsettled:
            loop = asyncio.get_running_loop()
            if self._timer is None or self._timer[0] is not loop:
                self._timer = (loop, loop.call_later(self._beat_s, self._beat))

    def _beat(self) -> None:
        self._timer = None
        if self._held or self._unsettled:
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_heard)
            self._waiting.append((TopUp("", (), ()), answer))
            self._stir()

    def _see(self, accounts: Accounts) -> None:
        self._seen.balances |= accounts.balances
        self._seen.spans |= accounts.spans

    def _tidy(self, now_utc: datetime) -> None:
        at = self._tidied_at
        if at is None or abs((now_utc - at).total_seconds()) >= _HOUR_S:
            self._tidied_at = now_utc
            for account, span in list(self._seen.spans.items()):
                if span.kept_until <= now_utc:
                    self._seen.spans.pop(account)
                    self._seen.balances.pop(account, None)

    def _in_thread(self, jobs: Sequence[Job]) -> tuple[list[Answer], Accounts]:
        return self._opened().carry_out(jobs)

    def _opened(self) -> BudgetStore:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _told(self, done: object) -> bool:
        """Tell the log when the file begins to fail, and when it can be used again."""
        failed = isinstance(done, Exception)
        if isinstance(done, Exception) and not self._failed:
            _logger.warning(
                "budgets in %s cannot be looked up: %s. Requests that they bind are denied until they can",
                self.place,
                _words(done),
            )
        elif self._failed and not failed:
            _logger.info("budgets in %s: can be used again", self.place)
        self._failed = failed
        return not failed


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, BudgetStoreError) else type(error).__name__


def _heard(answer: asyncio.Future[Answer]) -> None:
    """Nobody waits for it: what failed is in the log."""
    if not answer.cancelled():
        answer.exception()
