"""One backend of a simulated fleet: its ailments, its queue, the answers that it gives.

Every wait is an `asyncio.sleep`, so in virtual time a second costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Literal

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest
from hybridllm.testing._ailments import Ailment, Condition, Crowded, Spell, condition, deaths
from hybridllm.testing._faults import FaultKind
from hybridllm.testing._fleet_answers import Service, said, struck
from hybridllm.testing._headers import Headers
from hybridllm.testing._reply import Reply

HealthAnswers = Literal["honest", "lying"]

_HEALTH_S = 0.005  # what a health check takes where all is well
_SICK = frozenset(
    {
        FaultKind.REFUSE,
        FaultKind.BLACKHOLE,
        FaultKind.HANG,
        FaultKind.STATUS,
        FaultKind.RESET_BEFORE_HEAD,
        FaultKind.RESET_MID_HEAD,
        FaultKind.FIN_BEFORE_HEAD,
        FaultKind.GARBAGE,
    }
)
_WELL = Reply.json({"status": "ok"})
_FULL = Reply.status(503, error_code="queue_full").after(0.01)


class FleetBackend:
    """One backend of a `SimulatedFleet`; made by it.

    Attributes:
        name: As the policy has it.
        service: How it answers while it is well; may be changed.
        health: `honest`: a health check finds what a request would find, where its status could tell.
            `lying`: all is well, always, as vLLM says of a server that hangs.
        requests_at_s: When each request arrived, refused ones too; in the loop's time.
        health_checks: How many were answered or refused.
        at_work: Requests that hold a slot now.
        at_work_max: The most that ever did at once.
        waiting: Requests that wait for a slot.
    """

    def __init__(
        self,
        name: str,
        service: Service,
        *,
        seed: int,
        health: HealthAnswers,
        dimensions: int = 0,
    ) -> None:
        self.name = name
        self.service = service
        self.health = health
        self.requests_at_s: list[float] = []
        self.health_checks = 0
        self.at_work = 0
        self.at_work_max = 0
        self._chance = Random(f"{seed}/{name}")  # noqa: S311 - a simulation, no secret
        self._health_chance = Random(f"{seed}/{name}/health")  # noqa: S311
        self._dimensions = dimensions
        self._spells: list[Spell] = []
        self._deaths_s: tuple[float, ...] = ()
        self._now = Condition(worse_at_s=-1.0)
        self._queue: deque[asyncio.Future[None]] = deque()

    def strike(self, ailment: Ailment, *, from_s: float, until_s: float) -> None:
        """Let something ail it for a time; see `SimulatedFleet.strike`."""
        self._spells.append(Spell(ailment, from_s, until_s))
        self._deaths_s = deaths(self._spells)
        self._now.worse_at_s = -1.0

    def requests(self, from_s: float = 0.0, until_s: float = float("inf")) -> int:
        """Return how many requests arrived in a time."""
        return sum(from_s <= at_s < until_s for at_s in self.requests_at_s)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    async def answer(self, request: WireRequest) -> FleetAnswer:
        """Take a request, and return the head of its answer when that is due.

        Raises:
            WireError: If a fault says so.
        """
        now_s = asyncio.get_running_loop().time()
        self.requests_at_s.append(now_s)
        now = self._condition(now_s)
        reply = self._reply(request, now)
        if reply.headless or reply.status_code != 200:
            return await self._opened(reply, holds_slot=False)
        crowd = now.crowd
        if crowd is not None and self.at_work >= crowd.slots:
            if crowd.queue_max is not None and len(self._queue) >= crowd.queue_max:
                return await self._opened(_FULL, holds_slot=False)
            await self._turn()
        else:
            self.at_work += 1
        self.at_work_max = max(self.at_work_max, self.at_work)
        return await self._opened(reply, holds_slot=True)

    async def checked(self, request: WireRequest) -> FleetAnswer:
        """Answer a health check."""
        self.health_checks += 1
        reply = _WELL.after(_HEALTH_S)
        if self.health == "honest":
            for fault in self._condition(asyncio.get_running_loop().time()).faults:
                limited = fault.kind is FaultKind.STATUS and fault.status_code == 429
                drawn = fault.probability >= 1 or self._health_chance.random() < fault.probability
                if fault.kind in _SICK and drawn and not limited:
                    reply = struck(fault, reply, connect_timeout_s=request.connect_timeout_s)
                    break
        return await self._opened(reply, holds_slot=False)

    def give_back(self) -> None:
        """End a request that held a slot, and hand its slot to the one that has waited longest."""
        crowd = self._condition(asyncio.get_running_loop().time()).crowd
        self.at_work -= 1
        while self._queue and (crowd is None or self.at_work < crowd.slots):
            turn = self._queue.popleft()
            if not turn.done():
                self.at_work += 1
                turn.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait, unless the backend dies meanwhile.

        Raises:
            WireError: RESET, at the moment of its death.
        """
        if seconds <= 0:
            return
        now_s = asyncio.get_running_loop().time()
        for death_s in self._deaths_s:
            if now_s < death_s <= now_s + seconds:
                await asyncio.sleep(death_s - now_s)
                raise WireError(FailureKind.RESET, "the simulated backend died")
        await asyncio.sleep(seconds)

    def _condition(self, now_s: float) -> Condition:
        if now_s >= self._now.worse_at_s:
            service = self.service
            slots = service.slots
            crowd = None if slots is None else Crowded(slots, service.queue_max)
            self._now = condition(self._spells, now_s, crowd)
        return self._now

    def _reply(self, request: WireRequest, now: Condition) -> Reply:
        service = self.service
        first_token_s = service.draw_first_token_s(self._chance) * now.slowness
        words = said(
            request.body or b"{}",
            service.answer_tokens,
            service.tokens_per_s,
            self._dimensions,
        )
        reply = words.reply(first_token_s=first_token_s, slowness=now.slowness)
        for fault in now.faults:
            if fault.probability >= 1 or self._chance.random() < fault.probability:
                return struck(fault, reply, connect_timeout_s=request.connect_timeout_s)
        return reply

    async def _turn(self) -> None:
        """Wait for a slot, in the order of arrival."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give_back()  # it was given a slot just as its caller left
            elif turn in self._queue:
                self._queue.remove(turn)
            raise

    async def _opened(self, reply: Reply, *, holds_slot: bool) -> FleetAnswer:
        try:
            await self.wait(reply.delay_s)
            if reply.headless:
                await strike(reply)
        except BaseException:
            if holds_slot:
                self.give_back()
            raise
        return FleetAnswer(self, reply, holds_slot=holds_slot)


class FleetAnswer:
    """The head and the body of an answer, as a `WireResponse`."""

    __slots__ = ("_backend", "_holds_slot", "_next", "_reply", "closed", "headers", "status")

    def __init__(self, backend: FleetBackend, reply: Reply, *, holds_slot: bool) -> None:
        self._backend = backend
        self._reply = reply
        self._holds_slot = holds_slot
        self._next = 0
        self.closed = False
        self.status = reply.status_code
        self.headers: Mapping[str, str] = Headers(reply.headers)

    async def chunk(self) -> bytes:
        """The next piece; the first one comes with the head."""
        if self.closed:
            raise WireError(FailureKind.LOCAL, "the answer was closed before it was read")
        reply = self._reply
        if self._next < len(reply.chunks):
            if self._next:
                await self._backend.wait(reply.chunk_delay_s)
            self._next += 1
            return reply.chunks[self._next - 1]
        await strike(reply)
        self._give_back()
        return b""

    async def close(self, *, reusable: bool) -> None:
        """Give the connection back; a backend stops working then."""
        del reusable
        self.closed = True
        self._give_back()

    def _give_back(self) -> None:
        if self._holds_slot:
            self._holds_slot = False
            self._backend.give_back()


async def strike(reply: Reply) -> None:
    """Hang or fail, if the reply says so.

    Raises:
        WireError: If it fails.
    """
    if reply.failure is not None:
        raise WireError(reply.failure, "simulated failure")
    if reply.hangs:
        await asyncio.get_running_loop().create_future()
