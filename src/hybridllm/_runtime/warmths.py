"""Who sleeps and who has just woken: read by every request's turn, told by failures and by the waker.

Synchronous but for `wait`. Backends without a `cold_start` are never here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from hybridllm._core.policy.compiled import Backend
from hybridllm._core.resilience.outcome import Failure
from hybridllm._core.resilience.warmth import Asleep, asleep_since, ramp_limit, seems_asleep

_logger = logging.getLogger("hybridllm")


class Warmths:
    """The backends that sleep, wake up, or have just woken.

    Args:
        now_s: The clock's monotonic seconds.

    Attributes:
        begin: Called with a backend that is to be woken; None: nobody can.
        wanted_at_s: By name: when a request last would have used one that sleeps.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._asleep: dict[str, Asleep] = {}
        self._woke_at_s: dict[str, float] = {}
        self._waiters: dict[str, asyncio.Event] = {}
        self.begin: Callable[[Backend], None] | None = None
        self.wanted_at_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._asleep)

    def failed(self, backend: Backend, failure: Failure, *, answered_ago_s: float) -> bool:
        """Learn from a failed attempt; return whether it means that the backend sleeps."""
        woke_ago_s = self._now_s() - self._woke_at_s.get(backend.name, float("-inf"))
        if not seems_asleep(failure, answered_ago_s=min(answered_ago_s, woke_ago_s)):
            return False
        self.wake(backend)
        return backend.name in self._asleep

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
        """Note that a probe was answered."""
        found = self._asleep.pop(backend, None)
        if found is not None:
            now_s = self._now_s()
            self._woke_at_s[backend] = now_s
            _logger.info("backend %s is awake after %.1f s", backend, now_s - found.since_s)
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

    def back_in_s(self, backend: str) -> float | None:
        """Return in how many seconds a backend is expected to be awake; None: it is."""
        found = self._asleep.get(backend)
        return None if found is None else found.back_in_s(self._now_s())

    def wanted(self, backend: str) -> None:
        """Note that a request would have used it."""
        self.wanted_at_s[backend] = self._now_s()

    def ramping(self, backend: str, in_flight: int) -> bool:
        """Return whether one that has just woken has as many requests as it should have by now."""
        woke_at_s = self._woke_at_s.get(backend)
        if woke_at_s is None:
            return False
        limit = ramp_limit(self._now_s() - woke_at_s)
        return limit is not None and in_flight >= limit

    async def wait(self, backends: Collection[str], limit_s: float) -> bool:
        """Wait until one of these is awake, at most `limit_s`; return whether one is."""
        event = asyncio.Event()
        for name in backends:
            event = self._waiters.setdefault(name, event)
        try:
            async with asyncio.timeout(limit_s):
                while all(name in self._asleep for name in backends):
                    await event.wait()
        except TimeoutError:
            return False
        return True

    def _tell(self, backend: str) -> None:
        event = self._waiters.pop(backend, None)
        if event is not None:
            event.set()
