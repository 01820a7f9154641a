"""A backend of a simulated fleet that answers as its `Service` says: a hosted API, or anything simple."""

from __future__ import annotations

import asyncio
from collections import deque

from hybridllm._runtime.ports import WireRequest, WireResponse
from hybridllm.testing._ailments import Condition, Crowded
from hybridllm.testing._fleet_answers import Service, said, struck
from hybridllm.testing._fleet_backend import FleetBackend, HealthAnswers
from hybridllm.testing._reply import Reply

_FULL = Reply.status(503, error_code="queue_full").after(0.01)


class PlainBackend(FleetBackend):
    """See `FleetBackend`.

    Attributes:
        service: How it answers while it is well; may be changed.
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
        super().__init__(name, seed=seed, health=health)
        self.service = service
        self._dimensions = dimensions
        self._at_work = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def at_work(self) -> int:
        """See `FleetBackend`."""
        return self._at_work

    @property
    def waiting(self) -> int:
        """See `FleetBackend`."""
        return len(self._queue)

    async def answer(self, request: WireRequest) -> WireResponse:
        """See `FleetBackend`."""
        now_s = asyncio.get_running_loop().time()
        self.requests_at_s.append(now_s)
        now = self._condition(now_s)
        reply = self._reply(request, now)
        if reply.headless or reply.status_code != 200:
            return await self._opened(reply)
        crowd = now.crowd
        if crowd is not None and self._at_work >= crowd.slots:
            if crowd.queue_max is not None and len(self._queue) >= crowd.queue_max:
                return await self._opened(_FULL)
            await self._turn()
        else:
            self._at_work += 1
        self.at_work_max = max(self.at_work_max, self._at_work)
        return await self._opened(reply, self._give_back)

    def _usual_crowd(self) -> Crowded | None:
        service = self.service
        return None if service.slots is None else Crowded(service.slots, service.queue_max)

    def _give_back(self) -> None:
        """End a request that held a slot, and hand its slot to the one that has waited longest."""
        crowd = self._condition(asyncio.get_running_loop().time()).crowd
        self._at_work -= 1
        while self._queue and (crowd is None or self._at_work < crowd.slots):
            turn = self._queue.popleft()
            if not turn.done():
                self._at_work += 1
                turn.set_result(None)

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
        fault = self._drawn(now)
        if fault is None:
            return reply
        return struck(fault, reply, connect_timeout_s=request.connect_timeout_s)

    async def _turn(self) -> None:
        """Wait for a slot, in the order of arrival."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._give_back()  # it was given a slot just as its caller left
            elif turn in self._queue:
                self._queue.remove(turn)
            raise
