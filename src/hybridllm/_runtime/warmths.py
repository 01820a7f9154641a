"""Who sleeps and who has just woken: read by every request's turn, told by failures and by the waker.

Synchronous but for `wait`. Backends without a `cold_start` are never here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from hybridllm._core.policy.compiled import Backend
from hybridllm._core.resilience.outcome import Failure
from hybridllm._core.resilience.warmth import (
    AWAKE_S,
    RAMP_S,
    Asleep,
    asleep_since,
    ramp_limit,
    seems_asleep,
)
from hybridllm._runtime.records import Record
from hybridllm._runtime.returns import Returns

BEAT_S = 1.0
"""So long after a ramp everybody looks once more."""

_logger = logging.getLogger("hybridllm")


class Warmths:
    """The backends that sleep, wake up, or have just woken.

    Args:
        now_s: The clock's monotonic seconds.
        records: The fleet's, of every (backend, model) that was asked.
        unwell: Those of them whose breaker has something to say.
        returns: Who is coming back.

    Attributes:
        begin: Called with a backend that is to be woken; None: nobody can.
        wanted_at_s: By name: when a request last would have used one that sleeps.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        records: Mapping[tuple[str, str], Record],
        unwell: set[tuple[str, str]],
        returns: Returns,
    ) -> None:
        self._now_s = now_s
        self._records = records
        self._unwell = unwell
        self._returns = returns
        self._asleep: dict[str, Asleep] = {}
        self._woke_at_s: dict[str, float] = {}
        self._ramps_until_s = float("-inf")
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self.begin: Callable[[Backend], None] | None = None
        self.wanted_at_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._asleep)

    @property
    def asleep(self) -> Collection[str]:
        """The backends that sleep or wake up."""
        return self._asleep.keys()

    def failed(self, backend: Backend, failure: Failure) -> bool:
        """Learn from a failed attempt; return whether it means that the backend sleeps."""
        if backend.cold_start is None:
            return False
        if not seems_asleep(failure, answered_ago_s=self._answered_ago_s(backend.name)):
            return False
        self.wake(backend)
        return backend.name in self._asleep

    def answers(self, backend: str) -> bool:
        """Whether a backend has answered somebody lately, so that it is awake."""
        return self._answered_ago_s(backend) <= AWAKE_S

    def wake(self, backend: Backend) -> None:
        """Wake a backend that sleeps, or is about to be needed; does nothing if it wakes up already."""
        if backend.cold_start is None or backend.name in self._asleep or self.begin is None:
            return
        now_s = self._now_s()
        self._asleep[backend.name] = asleep_since(now_s, backend.cold_start)
        self.wanted_at_s[backend.name] = now_s
        self._woke_at_s.pop(backend.name, None)
        _logger.info(
            "backend %s is woken; expected in %g s", backend.name, backend.cold_start.takes_s
        )
        self.begin(backend)

    def woke(self, backend: str) -> None:
        """Take a backend into use that slept: a probe was answered. What it failed at is forgotten."""
        found = self._asleep.pop(backend, None)
        if found is None:
            return  # another policy has something else under its name
        now_s = self._woke_at_s[backend] = self._now_s()
        self._ramps_until_s = now_s + RAMP_S + BEAT_S
        _logger.info("backend %s is awake after %.1f s", backend, now_s - found.since_s)
        for key, record in self._records.items():
            if key[0] == backend:
                record.refresh()
                self._unwell.discard(key)
                self._returns.begin(f"{backend}/{key[1]}")
        self._tell(backend)

    def forget(self, backend: str) -> None:
        """Know nothing of a backend any more: whoever asks it next finds out."""
        self._asleep.pop(backend, None)
        self.wanted_at_s.pop(backend, None)
        self._tell(backend)

    def keep(self, backends: Collection[str]) -> None:
        """Forget all but these."""
        for name in self._asleep.keys() - set(backends):
            self.forget(name)
        for name in self._woke_at_s.keys() - set(backends):
            del self._woke_at_s[name]

    def back_in_s(self, backend: str) -> float | None:
        """Return in how many seconds a backend is expected to be awake; None: it is."""
        found = self._asleep.get(backend)
        return None if found is None else found.back_in_s(self._now_s())

    def wanted(self, backend: str) -> None:
        """Note that a request would have used it."""
        self.wanted_at_s[backend] = self._now_s()

    def ramps(self, now_s: float) -> bool:
        """Return whether anybody has just woken."""
        return now_s < self._ramps_until_s

    def ramping(self, backend: str, in_flight: int) -> bool:
        """Return whether one that has just woken has as many requests as it should have by now."""
        woke_at_s = self._woke_at_s.get(backend)
        if woke_at_s is None or (now_s := self._now_s()) >= self._ramps_until_s:
            return False
        limit = ramp_limit(now_s - woke_at_s)
        return limit is not None and in_flight >= limit

    async def wait(self, backends: Collection[str], limit_s: float) -> bool:
        """Wait until one of these is awake, at most `limit_s`; return whether one is."""
        try:
            async with asyncio.timeout(limit_s):
                while all(name in self._asleep for name in backends):
                    await self._told(backends)
        except TimeoutError:
            return False
        return True

    async def _told(self, backends: Collection[str]) -> None:
        """Wait until something is known of one of these; each waits by itself, for they wait for others."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for name in backends:
            self._waiters.setdefault(name, set()).add(told)
        try:
            await told
        finally:
            for name in backends:
                waiting = self._waiters.get(name, set())
                waiting.discard(told)
                if not waiting:
                    self._waiters.pop(name, None)

    def _answered_ago_s(self, backend: str) -> float:
        at_s = self._woke_at_s.get(backend, float("-inf"))
        for key, record in self._records.items():
            if key[0] == backend:
                at_s = max(at_s, record.throttle.accepted_at_s)
        return self._now_s() - at_s

    def _tell(self, backend: str) -> None:
        for told in self._waiters.pop(backend, ()):
            if not told.done():
                told.set_result(None)
