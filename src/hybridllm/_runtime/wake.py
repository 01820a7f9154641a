"""Wakes backends that sleep: asks whoever can wake them, and tries until one answers.

What is sent to the backend is a probe of our own making and holds nothing of anybody's. Trying goes on while
requests would use it, and ends a minute after the last one: what nobody wants may sleep.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context

from hybridllm._core.policy.base_url import private_by_default
from hybridllm._core.policy.compiled import Backend, Candidate, Capability, Policy
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.ports import Clock, Wire, WireError, WireRequest
from hybridllm._runtime.target import KeyMissing, Targets

PROBE_EVERY_S = 1.0
RAMP_EVERY_S = 0.5
PROBE_S_MAX, FIRST_PROBE_S_MAX = 10.0, 2.0
ASK_S_MAX = 30.0
UNWANTED_S = 60.0
ANSWER_BYTES_MAX = 1 << 20

WakeHook = Callable[[str], Awaitable[None] | None]
"""Called with the name of a backend that is to be woken."""

_logger = logging.getLogger("hybridllm")


class Waker:
    """Wakes the backends that the fleet finds asleep.

    Args:
        policy: The one in force.
        hook: The application's own way to wake one; None: it has none.
    """

    def __init__(
        self,
        fleet: Fleet,
        wire: Wire,
        targets: Targets,
        clock: Clock,
        policy: Callable[[], Policy],
        hook: WakeHook | None,
    ) -> None:
        self._fleet = fleet
        self._wire = wire
        self._targets = targets
        self._clock = clock
        self._policy = policy
        self._hook = hook
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ramps: set[asyncio.Task[None]] = set()
        for name in list(fleet.warmths.asleep):
            fleet.warmths.forget(name)  # who woke it before is gone with its event loop
        fleet.warmths.begin = self.begin

    def begin(self, backend: Backend) -> None:
        """Begin to wake a backend."""
        if backend.name not in self._tasks:
            # In a context of its own: the request that met it asleep is not what this is done for.
            self._tasks[backend.name] = asyncio.get_running_loop().create_task(
                self._wake(backend), name="hybridllm-wake", context=Context()
            )

    async def close(self) -> None:
        """Stop, for good."""
        self._fleet.warmths.begin = None
        tasks = [*self._tasks.values(), *self._ramps]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _wake(self, backend: Backend) -> None:
        """Try whether it sleeps at all; else ask who can wake it, and try until it answers."""
        name = backend.name
        try:
            if not await self._tried(name, FIRST_PROBE_S_MAX):
                await self._ask(backend)
                await self._try(name)
        finally:
            self._tasks.pop(name, None)
            self._fleet.warmths.forget(name)

    async def _try(self, name: str) -> None:
        """Try until it answers, or nobody wants it."""
        warmths = self._fleet.warmths
        while (wanted_at_s := warmths.wanted_at_s.get(name)) is not None:
            if self._clock.monotonic_s() - wanted_at_s >= UNWANTED_S:
                _logger.info("backend %s is left asleep: nobody wants it", name)
                return
            if await self._tried(name, PROBE_S_MAX):
                return
            await self._clock.sleep(PROBE_EVERY_S)

    async def _tried(self, name: str, limit_s: float) -> bool:
        """Try once; return whether it answered, and is used again."""
        if not await self._answers(name, limit_s):
            return False
        self._fleet.warmths.woke(name)
        self._begin_ramp(name)
        return True

    def _begin_ramp(self, backend: str) -> None:
        """Let those who wait go while it is given more: nothing else may happen that would."""

        async def ramp() -> None:
            while self._fleet.warmths.ramps(self._clock.monotonic_s()):
                await self._clock.sleep(RAMP_EVERY_S)
                self._fleet.slots.freed(backend)

        task = asyncio.get_running_loop().create_task(ramp(), name="hybridllm-ramp")
        self._ramps.add(task)
        task.add_done_callback(self._ramps.discard)

    async def _ask(self, backend: Backend) -> None:
        """Ask those who can wake it."""
        if self._hook is not None:
            try:
                asked = self._hook(backend.name)
                if inspect.isawaitable(asked):
                    async with asyncio.timeout(ASK_S_MAX):
                        await asked
            except Exception:
                _logger.exception("the wake hook failed for backend %s", backend.name)
        url = backend.cold_start.wake_url if backend.cold_start is not None else None
        if url is None:
            return
        headers = {"Content-Type": "application/json"}
        private = backend.private or private_by_default(url)
        request = WireRequest(
            "POST", url, headers, b"{}", backend.timeouts.connect_s, private_allowed=private
        )
        status = await self._status(request, ASK_S_MAX)
        if status is None or status >= 300:
            said = "no answer" if status is None else f"status {status}"
            _logger.warning("who should wake backend %s gave %s", backend.name, said)

    async def _answers(self, backend: str, limit_s: float) -> bool:
        """Whether it answers a request as they come: a health page would say 200 too early.

        It is asked where the policy in force has it, which may be another one than it fell asleep under.
        """
        candidate = next(
            (
                one
                for served in self._policy().candidates.values()
                for one in served
                if one.backend.name == backend
            ),
            None,
        )
        if candidate is None or candidate.backend.cold_start is None:
            return False
        try:
            request = self._probe(candidate)
        except KeyMissing:
            return False
        takes_s = candidate.backend.cold_start.takes_s
        return await self._status(request, min(takes_s, limit_s)) == 200

    def _probe(self, candidate: Candidate) -> WireRequest:
        target = self._targets.of(candidate.backend)
        body: dict[str, object] = {"model": candidate.wire_model}
        if Capability.EMBEDDINGS in candidate.model.capabilities:
            url = target.urls["embeddings"]
            body["input"] = "ping"
        else:
            url = target.urls["chat"]
            body |= {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
        return WireRequest(
            "POST",
            url,
            target.headers,
            json.dumps(body).encode(),
            candidate.backend.timeouts.connect_s,
            target.private,
        )

    async def _status(self, request: WireRequest, limit_s: float) -> int | None:
        """Return the status of a whole answer; None: none came."""
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._wire.send(request)
                try:
                    size = 0
                    while size <= ANSWER_BYTES_MAX and (piece := await answer.chunk()):
                        size += len(piece)
                    return answer.status
                finally:
                    await answer.close(reusable=False)
        except Exception as error:  # noqa: BLE001 - a border: whatever goes wrong, nobody has answered
            if not isinstance(error, TimeoutError | WireError):
                _logger.warning("a backend could not be woken: %s", type(error).__name__)
            return None
