"""Waiting for a vLLM in a simulated fleet, and reading what it streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError
from hybridllm.testing._engine import Engine, Job
from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._fleet_answers import struck
from hybridllm.testing._fleet_backend import FleetAnswer, FleetBackend
from hybridllm.testing._fleet_vllm_answers import Asked, piece
from hybridllm.testing._headers import Headers
from hybridllm.testing._reply import Reply

SSE = (("content-type", "text/event-stream; charset=utf-8"),)


class Ticket:
    """Somebody waits for a job.

    Attributes:
        engine: That has it.
        job: What he waits for.
        dead: Whether the server died over it.
    """

    __slots__ = ("_waiter", "dead", "engine", "job")

    def __init__(self, engine: Engine, job: Job) -> None:
        self.engine = engine
        self.job = job
        self.dead = False
        self._waiter: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Wake whoever waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def more_than(self, tokens: int) -> None:
        """Wait for more tokens than these, or the end.

        Raises:
            WireError: RESET, if the server dies.
        """
        while self._alive() and self.job.tokens <= tokens and not self.job.ended:
            await self._news()

    async def ended(self) -> None:
        """Wait for the end.

        Raises:
            WireError: RESET, if the server dies.
        """
        while self._alive() and not self.job.ended:
            await self._news()

    def _alive(self) -> bool:
        if self.dead:
            raise WireError(FailureKind.RESET, "the simulated backend died")
        return True

    async def _news(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class VllmStream:
    """A stream, as a `WireResponse`: a piece whenever there are new tokens.

    Args:
        backend: Whose it is.
        ticket: For what is said.
        asked: What was asked.
        tells_cached: Whether its usage tells of the cache.
        fault: That may cut it.
        left: Is told when nobody reads any more.
    """

    def __init__(
        self,
        backend: FleetBackend,
        ticket: Ticket,
        asked: Asked,
        *,
        tells_cached: bool,
        fault: Fault | None,
        left: Callable[[Ticket], None],
    ) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = Headers(SSE)
        self._backend = backend
        self._ticket = ticket
        self._asked = asked
        self._tells_cached = tells_cached
        self._left = left
        self._fault = fault if fault is not None and fault.kind is FaultKind.CUT else None
        self._cut: FleetAnswer | None = None
        self._sent = 0
        self._ended = False
        self._closed = False

    async def chunk(self) -> bytes:
        """See `WireResponse`."""
        if self._closed:
            raise WireError(FailureKind.LOCAL, "the answer was closed before it was read")
        if self._cut is not None:
            return await self._cut.chunk()
        if self._ended:
            return b""
        job, tells = self._ticket.job, self._tells_cached
        await self._ticket.more_than(self._sent)
        said = piece(self._asked, job, sent=self._sent, tells_cached=tells)
        if self._fault is not None:
            end = piece(
                self._asked,
                replace(job, ended=True, reason="stop"),
                sent=job.tokens,
                tells_cached=tells,
            )
            reply = struck(self._fault, Reply(200, SSE, (said, end)), connect_timeout_s=0.0)
            self._cut = FleetAnswer(self._backend, reply, None)
            return await self._cut.chunk()
        self._sent, self._ended = job.tokens, job.ended
        return said

    async def close(self, *, reusable: bool) -> None:
        """See `WireResponse`."""
        del reusable
        self._closed = True
        self._left(self._ticket)
