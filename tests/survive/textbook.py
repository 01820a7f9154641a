"""The textbook beside us: retries, and one breaker per backend that knows nothing of the others.

Five failures in a row or half of the last ten seconds open it; it waits 5 s, then twice as long each time,
up to 60 s; one probe closes it or opens it again. An open breaker is never passed: where all are open,
the request fails. No budget. It is what most libraries offer, and here so that a reader sees why we do
otherwise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hybridllm._runtime.ports import WireError, WireRequest
from hybridllm.testing import Ask, SimulatedFleet, run_in_virtual_time
from survive.worlds import FIRST_TOKEN_LIMIT_S, Cell, asks_of, fleet_of

ROW = 5
SHARE, WINDOW_S, ATTEMPTS_MIN = 0.5, 10.0, 10
OPEN_S = 5.0
ATTEMPTS_MAX = 3
_BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


@dataclass(slots=True)
class Breaker:
    """Closed, open until a time, or half-open with one probe out."""

    open_s_max: float
    row: int = 0
    openings: int = 0
    open_until_s: float | None = None
    probing: bool = False
    recent: deque[tuple[float, bool]] = field(default_factory=deque)

    def admits(self, now_s: float) -> bool:
        if self.open_until_s is None:
            return True
        if self.probing or now_s < self.open_until_s:
            return False
        self.probing = True
        return True

    def settle(self, now_s: float, *, good: bool) -> None:
        if self.open_until_s is not None:
            if not self.probing:
                return  # it began before the breaker opened
            self.probing = False
            if good:
                self.open_until_s, self.row, self.openings = None, 0, 0
                self.recent.clear()
            else:
                self._open(now_s)
            return
        self.row = 0 if good else self.row + 1
        self.recent.append((now_s, good))
        while self.recent and self.recent[0][0] < now_s - WINDOW_S:
            self.recent.popleft()
        bad = sum(not each for _, each in self.recent)
        if self.row >= ROW or (
            len(self.recent) >= ATTEMPTS_MIN and bad >= SHARE * len(self.recent)
        ):
            self._open(now_s)

    def _open(self, now_s: float) -> None:
        self.open_until_s = now_s + min(self.open_s_max, OPEN_S * 2**self.openings)
        self.openings += 1
        self.row = 0
        self.recent.clear()


@dataclass(frozen=True, slots=True)
class TextbookFigures:
    """What the textbook comes to during the fault; `per_second` is (requests, answers) each second."""

    asked: int
    answered: int
    attempts: int
    per_second: tuple[tuple[int, int], ...] = ()

    @property
    def success(self) -> float:
        return self.answered / self.asked

    @property
    def amplification(self) -> float:
        return self.attempts / self.asked


def run_textbook(cell: Cell, *, open_s_max: float = 60.0) -> TextbookFigures:
    """Run the traffic and the fleet of a cell with textbook breakers instead of the router."""

    async def course() -> TextbookFigures:
        fleet, asks = fleet_of(cell), asks_of(cell)
        client = _Client(fleet, cell, open_s_max)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for ask in asks:
                await asyncio.sleep(max(0.0, ask.at_s - loop.time()))
                group.create_task(client.ask(ask))
        return client.figures(asks)

    return run_in_virtual_time(course)


class _Client:
    def __init__(self, fleet: SimulatedFleet, cell: Cell, open_s_max: float) -> None:
        self._fleet = fleet
        self._cell = cell
        self._breakers = {name: Breaker(open_s_max) for name in cell.backends}
        self._busy = dict.fromkeys(cell.backends, 0)
        self._chance = Random(f"textbook/{cell.seed}")
        self._answered: list[float] = []

    async def ask(self, ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        tried: set[str] = set()
        for _ in range(ATTEMPTS_MAX):
            untried = [name for name in self._breakers if name not in tried]
            untried.sort(key=lambda name: (self._busy[name], self._chance.random()))
            now_s = loop.time()
            name = next((one for one in untried if self._breakers[one].admits(now_s)), None)
            if name is None:
                return
            tried.add(name)
            self._busy[name] += 1
            good = await self._attempt(name)
            self._busy[name] -= 1
            self._breakers[name].settle(loop.time(), good=good)
            if good:
                self._answered.append(ask.at_s)
                return

    async def _attempt(self, name: str) -> bool:
        request = WireRequest("POST", f"https://{name}.test/v1/chat/completions", {}, _BODY)
        try:
            async with asyncio.timeout(FIRST_TOKEN_LIMIT_S):
                answer = await self._fleet.send(request)
                while await answer.chunk():
                    pass
                await answer.close(reusable=True)
                return answer.status == 200
        except (WireError, TimeoutError):
            return False

    def figures(self, asks: Sequence[Ask]) -> TextbookFigures:
        cell = self._cell
        struck = [ask.at_s for ask in asks if cell.calm_s <= ask.at_s < cell.healed_s]
        good = [at_s for at_s in self._answered if cell.calm_s <= at_s < cell.healed_s]
        seconds = range(int(cell.end_s))
        asked, answered = _per_second([ask.at_s for ask in asks]), _per_second(self._answered)
        return TextbookFigures(
            len(struck),
            len(good),
            self._fleet.requests(cell.calm_s, cell.healed_s),
            tuple((asked.get(s, 0), answered.get(s, 0)) for s in seconds),
        )


def _per_second(times_s: Sequence[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for at_s in times_s:
        found[int(at_s)] = found.get(int(at_s), 0) + 1
    return found
