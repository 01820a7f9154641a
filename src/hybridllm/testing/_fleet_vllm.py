"""A vLLM server in a simulated fleet: engines in the loop's time, what they tell, sleep and death."""

from __future__ import annotations

import asyncio
import math

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireRequest, WireResponse
from hybridllm.testing._ailments import Ailment, Crowded, Killed, condition
from hybridllm.testing._engine import Engine, Job
from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._fleet_answers import struck
from hybridllm.testing._fleet_backend import (
    PAGE_S,
    FleetAnswer,
    FleetBackend,
    HealthAnswers,
    Wakefulness,
)
from hybridllm.testing._fleet_stream import SSE, Ticket, VllmStream
from hybridllm.testing._fleet_telling import Loads, Telling, back_s
from hybridllm.testing._fleet_vllm_answers import (
    SHAPES,
    asked,
    job_for,
    refused,
    whole,
)
from hybridllm.testing._headers import Headers
from hybridllm.testing._metrics import (
    LOAD_FORMAT_HEADER,
    METRICS_TYPE,
    engine_rank,
    load_header,
    page,
)
from hybridllm.testing._metrics_styles import styled_page
from hybridllm.testing._reply import Reply
from hybridllm.testing._shapes_vllm import BUSY
from hybridllm.testing._validation import BadRequest
from hybridllm.testing._vllm_service import VllmService

_HEAD_S = 0.01  # until a stream has its head, queued or not, and until a refusal is told
_JSON = (("content-type", "application/json"),)
_FULL = Reply.json(SHAPES.error(503, BUSY), status=503).after(_HEAD_S)
_NOT_THERE = Reply.fail(FailureKind.CONNECT).after(0.001)
_SERVES = frozenset({FaultKind.NONE, FaultKind.SLOW, FaultKind.CUT})


class VllmBackend(FleetBackend):
    """See `FleetBackend`.

    Attributes:
        service: How it serves while it is well.
        rejected: Requests that its full queue has turned away.
    """

    def __init__(
        self,
        name: str,
        service: VllmService,
        *,
        seed: int,
        health: HealthAnswers,
        dimensions: int = 0,
    ) -> None:
        super().__init__(name, seed=seed, health=health)
        self.service = service
        self.rejected = 0
        self._context_tokens = service.context_tokens or service.room_tokens
        self._dimensions = dimensions
        self._awake_from_s = math.inf if service.asleep else 0.0
        self._engines = self._new_engines()
        self._tickets: dict[Job, Ticket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._telling = Telling()
        self._back_s = 0.0

    @property
    def at_work(self) -> int:
        """See `FleetBackend`."""
        return sum(engine.running for engine in self._engines)

    @property
    def waiting(self) -> int:
        """See `FleetBackend`."""
        return sum(engine.waiting for engine in self._engines)

    @property
    def state(self) -> Wakefulness:
        """See `FleetBackend`."""
        if asyncio.get_running_loop().time() >= self._awake_from_s:
            return "awake"
        return "asleep" if math.isinf(self._awake_from_s) else "loading"

    def strike(self, ailment: Ailment, *, from_s: float, until_s: float) -> None:
        """See `FleetBackend`."""
        super().strike(ailment, from_s=from_s, until_s=until_s)
        self._back_s = back_s(self._spells)
        if self._tickets:
            self._settle()

    def sleep(self) -> None:
        """See `FleetBackend`."""
        self._crash()
        self._awake_from_s = math.inf

    def wake(self) -> None:
        """See `FleetBackend`."""
        if self.state == "asleep":
            now_s = asyncio.get_running_loop().time()
            self.woken_at_s.append(now_s)
            self._awake_from_s = now_s + self.service.cold_start_s

    async def checked(self, request: WireRequest) -> WireResponse:
        """See `FleetBackend`."""
        if self.state != "awake":
            self.health_checks += 1
            return await self._opened(self._away())
        return await super().checked(request)

    async def metrics(self, request: WireRequest) -> WireResponse:
        """See `FleetBackend`."""
        now_s = asyncio.get_running_loop().time()
        self.metrics_at_s.append(now_s)
        if self.state != "awake":
            return await self._opened(self._away())
        self._settle()
        text = self._page()
        told = Reply.raw(text.encode(), headers={"content-type": METRICS_TYPE}).after(PAGE_S)
        reply = self._as_found(told, request)
        for wrong, _ in self._now.metrics:
            if wrong.fault is not None:
                reply = struck(wrong.fault, reply, connect_timeout_s=request.connect_timeout_s)
        return await self._opened(reply)

    async def answer(self, request: WireRequest) -> WireResponse:
        """See `FleetBackend`."""
        self.requests_at_s.append(asyncio.get_running_loop().time())
        if self.state != "awake":
            reply = self._away()
            if self.service.woken_by_request:
                self.wake()
            return await self._opened(reply)
        self._settle()
        fault = self._drawn(self._now)
        if fault is not None and fault.kind not in _SERVES:
            empty = Reply(200, SSE)
            reply = struck(fault, empty, connect_timeout_s=request.connect_timeout_s)
            return await self._opened(reply)
        if fault is not None and fault.kind is FaultKind.SLOW:
            await self.wait(fault.seconds)
        return await self._serve(request, fault)

    async def _serve(self, request: WireRequest, fault: Fault | None) -> WireResponse:
        headers = Headers(request.headers)
        try:
            wanted = asked(request.body or b"{}", self._context_tokens, self._dimensions)
            rank = engine_rank(self._engines, headers.get("x-data-parallel-rank"))
        except BadRequest as refusal:
            return await self._opened(refused(refusal).after(_HEAD_S))
        self._settle()
        crowd = self._now.crowd
        if crowd is not None and crowd.queue_max is not None:
            room = crowd.slots * len(self._engines) + crowd.queue_max
            if self.at_work + self.waiting >= room:
                self.rejected += 1
                return await self._opened(_FULL)
        tells = self.service.tells_cached
        ticket = self._submit(self._engines[rank], job_for(wanted, self._draw_answer_tokens()))
        try:
            if wanted.streams:
                await self.wait(_HEAD_S)
                return VllmStream(
                    self, ticket, wanted, tells_cached=tells, fault=fault, left=self._leave
                )
            await ticket.ended()
        except BaseException:
            self._leave(ticket)
            raise
        load = load_header(self._told(), headers.get(LOAD_FORMAT_HEADER))
        reply = Reply(200, (*_JSON, *load), (whole(wanted, ticket.job, tells_cached=tells),))
        if fault is not None:
            reply = struck(fault, reply, connect_timeout_s=request.connect_timeout_s)
        return FleetAnswer(self, reply, None)

    def _leave(self, ticket: Ticket) -> None:
        """Stop working for somebody who does not wait any more."""
        if ticket.job in self._tickets:
            self._settle()
        if self._tickets.pop(ticket.job, None) is not None:
            ticket.engine.cancel(ticket.job)
            self._settle()

    def _submit(self, engine: Engine, job: Job) -> Ticket:
        ticket = Ticket(engine, job)
        self._tickets[job] = ticket
        engine.submit(job, now_s=asyncio.get_running_loop().time())
        self._settle()
        return ticket

    def _draw_answer_tokens(self) -> int:
        service = self.service
        if not service.spread:
            return service.answer_tokens
        drawn = self._chance.lognormvariate(math.log(service.answer_tokens), service.spread)
        return max(1, round(drawn))

    def _away(self) -> Reply:
        """Return what becomes of a request while it sleeps or loads."""
        status = self.service.asleep_status
        if status is None or self.state == "loading":
            return _NOT_THERE
        return Reply.status(status).after(_HEAD_S)

    def _usual_crowd(self) -> Crowded:
        return Crowded(self.service.slots, self.service.queue_max)

    def _new_engines(self) -> list[Engine]:
        return [Engine(self.service) for _ in range(self.service.data_parallel)]

    def _truth(self) -> Loads:
        return tuple(engine.told() for engine in self._engines)

    def _told(self) -> Loads:
        """Return what it tells of its load, as page and header do."""
        now_s = asyncio.get_running_loop().time()
        return self._telling.told(
            self._truth(), [wrong for wrong, _ in self._now.metrics], now_s=now_s
        )

    def _page(self) -> str:
        service, loads = self.service, self._told()
        style = service.metrics_style
        if style != "vllm":
            return styled_page(style, loads, model=service.model)
        return page(loads, model=service.model, kv_blocks=service.kv_blocks, rejected=self.rejected)

    def _settle(self, due_s: float = 0.0) -> None:
        """Let everything happen that was to happen up to now, and set the timer for what comes."""
        # A timer may go off a hair before its time: what it was set for is due nevertheless.
        now_s = max(asyncio.get_running_loop().time(), due_s)
        while (change_s := self._now.worse_at_s) <= now_s:
            change_s = now_s if change_s < 0 else change_s
            self._advance(change_s)
            self._change(change_s)
        self._advance(now_s)
        self.at_work_max = max(self.at_work_max, self.at_work)
        if self._back_s:
            self._telling.note(self._truth(), now_s=now_s, back_s=self._back_s)
        self._set_timer()

    def _advance(self, now_s: float) -> None:
        for engine in self._engines:
            for job in engine.advance(now_s):
                ticket = self._tickets.pop(job) if job.ended else self._tickets[job]
                ticket.tell()

    def _change(self, now_s: float) -> None:
        """Begin another condition."""
        now = self._now = condition(self._spells, now_s, self._usual_crowd())
        frozen = now.frozen or any(wrong.kind == "frozen" for wrong, _ in now.metrics)
        self._telling.freeze(self._truth() if frozen else None)
        if any(
            isinstance(each.ailment, Killed) and each.from_s <= now_s < each.until_s
            for each in self._spells
        ):
            self._crash()
        for engine in self._engines:
            engine.advance(now_s)
            engine.speed = 0.0 if now.frozen else 1 / now.slowness
            engine.slots = self.service.slots if now.crowd is None else now.crowd.slots

    def _crash(self) -> None:
        """Cut off what is under way; whoever starts it again starts from nothing."""
        tickets, self._tickets = self._tickets, {}
        self._engines = self._new_engines()
        self.rejected = 0
        for ticket in tickets.values():
            ticket.dead = True
            ticket.tell()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._tickets:
            return
        next_s = min(engine.next_s() for engine in self._engines)
        next_s = min(next_s, self._now.worse_at_s)
        if next_s < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(next_s, self._settle, next_s)
