"""Looks at the health pages of backends whose breaker is open: they are tried again soon after they are back.

A good page lets one probe through, and never more: it says 200 while the engine behind it hangs. Looking
starts when a breaker opens and ends when none is open; nothing is asked of a backend that is well. The
request has no body and tells nothing of anybody's; a backend of the list of models gets our key, as every
request does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import Context

from hybridllm._core.policy.compiled import Backend
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.ports import Clock, Wire, WireError, WireRequest
from hybridllm._runtime.target import KeyMissing, Targets

EVERY_S = 2.0
ANSWER_S = 2.0
"""How long a page may take."""

_logger = logging.getLogger("hybridllm")


class HealthWatch:
    """Looks while somebody ails.

    Args:
        backends: Those of the policy in force.
    """

    def __init__(
        self,
        fleet: Fleet,
        wire: Wire,
        targets: Targets,
        clock: Clock,
        backends: Callable[[], Mapping[str, Backend]],
    ) -> None:
        self._fleet = fleet
        self._wire = wire
        self._targets = targets
        self._clock = clock
        self._backends = backends
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def wake(self) -> None:
        """Begin to look, if nobody does; a breaker has opened."""
        if self._looking is None and not self._closed and self._ailing():
            # In a context of its own: the request that met the failure is not what this is done for.
            self._looking = asyncio.get_running_loop().create_task(
                self._look(), name="hybridllm-health", context=Context()
            )

    async def close(self) -> None:
        """Stop looking, for good."""
        self._closed = True
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait({looking})

    def _ailing(self) -> list[Backend]:
        backends = self._backends()
        names = sorted(self._fleet.ailing)
        found = [backends[name] for name in names if name in backends]
        return [backend for backend in found if backend.health_url is not None]

    async def _look(self) -> None:
        try:
            while True:
                await self._clock.sleep(EVERY_S)
                ailing = self._ailing()
                if not ailing:
                    return
                async with asyncio.TaskGroup() as group:
                    for backend in ailing:
                        group.create_task(self._look_at(backend))
        finally:
            if self._looking is asyncio.current_task():
                self._looking = None

    async def _look_at(self, backend: Backend) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                healthy = await self._healthy(backend)
        except Exception as error:  # noqa: BLE001 - a border: whatever goes wrong, nothing good was seen
            if not isinstance(error, TimeoutError | WireError | KeyMissing):
                _logger.warning("a health page was not looked at: %s", type(error).__name__)
            healthy = False
        self._fleet.heard_health(backend.name, healthy=healthy)

    async def _healthy(self, backend: Backend) -> bool:
        """Whether somebody is there: any answer but a redirect, a server's error or a wish for peace."""
        url = backend.health_url
        if url is None:
            return False
        target = self._targets.of(backend)
        connect_s = backend.timeouts.connect_s
        request = WireRequest("GET", url, target.headers, None, connect_s, target.private)
        answer = await self._wire.send(request)
        try:
            status = answer.status
            return status < 300 or (400 <= status < 500 and status != 429)
        finally:
            await answer.close(reusable=False)
