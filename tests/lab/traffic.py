"""Requests to a router, many at a time or so many in a second, and what became of them."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hybridllm import Receipt, receipt
from hybridllm.errors import HybridLLMError
from runtime.world import many

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request.

    Attributes:
        began_s: The loop's time.
        took_s: Until the answer, the stream's end, or the error.
        error: None if it was answered.
        receipt: None for an error that has none.
    """

    began_s: float
    took_s: float
    error: BaseException | None
    receipt: Receipt | None

    def tried(self, name: str) -> int:
        """How often a backend was asked."""
        return 0 if self.receipt is None else sum(a.backend == name for a in self.receipt.attempts)

    @property
    def failed_over(self) -> bool:
        """Whether more than one attempt was needed."""
        return self.receipt is not None and len(self.receipt.attempts) > 1

    @property
    def lost_s(self) -> float:
        """What the attempts before the last one cost."""
        if self.receipt is None or not self.receipt.attempts:
            return 0.0
        return self.receipt.duration_s - self.receipt.attempts[-1].duration_s


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of some requests, in the order in which they began."""

    all: Sequence[Outcome]

    def between(self, begin_s: float, end_s: float) -> Outcomes:
        """Those that began then."""
        return Outcomes([each for each in self.all if begin_s <= each.began_s < end_s])

    @property
    def failed(self) -> list[Outcome]:
        """Those that ended with an error."""
        return [each for each in self.all if each.error is not None]

    @property
    def success(self) -> float:
        """The share of those that were answered."""
        return 1 - len(self.failed) / len(self.all)

    @property
    def attempts(self) -> int:
        """Attempts in all; receipts tell."""
        return sum(len(each.receipt.attempts) for each in self.all if each.receipt is not None)

    @property
    def amplification(self) -> float:
        """Attempts per request."""
        return self.attempts / len(self.all)

    def share_of(self, name: str) -> float:
        """The share of the attempts that went to a backend."""
        return sum(each.tried(name) for each in self.all) / max(1, self.attempts)

    def errors_of(self, name: str) -> list[str | None]:
        """The error of each attempt at a backend, in order; None: it was served there."""
        told = [each.receipt for each in self.all if each.receipt is not None]
        return [a.error for receipt in told for a in receipt.attempts if a.backend == name]

    def took_s(self, share: float, *, of: Iterable[Outcome] | None = None) -> float:
        """How long they took, at a quantile in [0, 1]."""
        times = sorted(each.took_s for each in (self.all if of is None else of))
        return times[min(len(times) - 1, int(share * len(times)))]

    def lost_s(self) -> float:
        """What a failover cost: the median over those that failed over."""
        return statistics.median(each.lost_s for each in self.all if each.failed_over)


async def outcome_of(ask: Ask) -> Outcome:
    """Ask once. An error that is not of this package's own is a bug, and is raised."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    answer, error = None, None
    try:
        answer = await ask()
    except HybridLLMError as failed:
        error = failed
    took_s = loop.time() - began_s
    told = receipt(error if error is not None else answer)
    return Outcome(began_s, took_s, error, told)


async def calls(count: int, ask: Ask, *, at_once: int = 1) -> Outcomes:
    """So many requests, some at once; each worker goes on with the next as soon as it can."""
    got = await many(count, at_once, lambda _: outcome_of(ask))
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return Outcomes(got)


async def steady(
    per_s: float, seconds: float, ask: Ask, *, at: Sequence[tuple[float, Callable[[], Any]]] = ()
) -> Outcomes:
    """So many requests in every second, whatever becomes of them: as users come.

    Args:
        per_s: Requests in a second.
        seconds: For how long.
        ask: Makes one.
        at: (seconds from the beginning, what is done then), in order.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    events = list(at)
    tasks: list[asyncio.Task[Outcome]] = []
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            due_s = number / per_s
            await asyncio.sleep(max(0.0, began_s + due_s - loop.time()))
            while events and events[0][0] <= due_s:
                events.pop(0)[1]()
            tasks.append(group.create_task(outcome_of(ask)))
    return Outcomes([task.result() for task in tasks])


async def served_again(ask: Ask, *, in_a_row: int = 20, within_s: float = 10.0) -> None:
    """Ask until so many in a row are answered; fail if that takes longer."""
    loop = asyncio.get_running_loop()
    began_s, answered = loop.time(), 0
    while answered < in_a_row:
        told = await outcome_of(ask)
        answered = answered + 1 if told.error is None else 0
        assert loop.time() - began_s <= within_s, f"not served again: {told.error}"
        await asyncio.sleep(0.02)
