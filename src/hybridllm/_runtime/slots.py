"""Slots: how many requests a backend may have at once, and who waits for one.

Only backends whose policy sets `concurrency` have a limit. Those that overflows leave have a queue too, where
who may not leave waits while they are saturated; and those that sleep, for when they have just woken. A slot
that is freed is promised to one waiter, the most urgent who came first, before anybody else can take it. The
queue is short and the wait bounded: who does not get a slot is told so, with a time to come back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from hybridllm._core.policy.compiled import Backend
from hybridllm._core.request.hints import PRIORITIES
from hybridllm._core.resilience import limit
from hybridllm._core.resilience.limit import LimitState

WAIT_S_MAX = {"interactive": 1.0, "batch": 10.0, "background": 30.0}
WAIT_SHARE = {"interactive": 0.1, "batch": 0.5, "background": 0.5}
"""The longest wait for a slot, in seconds and as a share of the time left."""

_QUEUE_MAX = 1_024
"""Of a backend without a limit."""

_HELD_WEIGHT = 0.1
_RETRY_AFTER_S = (0.1, 60.0)


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who waits for a slot.

    Attributes:
        granted: The backend that has one; None: sent away.
        queues: In how many it stands.
        promised_by: Whose count of promises it is in.
    """

    granted: asyncio.Future[str | None]
    queues: int
    promised_by: _Lane | None = None


class _Lane:
    """One backend with a limit, or that may be saturated without one."""

    __slots__ = ("backend", "held_s", "promised", "queues", "state")

    def __init__(self, backend: Backend, state: LimitState | None) -> None:
        self.backend = backend
        self.state = state
        self.promised = 0
        self.queues: tuple[deque[_Waiter], ...] = tuple(deque() for _ in PRIORITIES)
        self.held_s = 0.0  # how long a slot is held, on average

    @property
    def waiting(self) -> int:
        return sum(map(len, self.queues))

    @property
    def limit(self) -> int | None:
        return None if self.state is None else int(self.state.limit)

    @property
    def queue_max(self) -> int:
        return _QUEUE_MAX if self.state is None else 2 * int(self.state.limit)


class Slots:
    """The limits and queues of the backends that have one.

    Args:
        in_flight: Requests under way per backend; the fleet's, read only.
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, in_flight: Mapping[str, int], now_s: Callable[[], float]) -> None:
        self._in_flight = in_flight
        self._now_s = now_s
        self._lanes: dict[str, _Lane] = {}
        self.saturated: Callable[[str], bool] = _never
        self.ramping: Callable[[str, int], bool] = _never
        self.room: Callable[[str], int | None] = _unknown
        self.changed: Callable[[str], object] = (
            _never  # told when slots are promised, or not any more
        )

    def follow(
        self,
        backends: Mapping[str, Backend],
        same: Collection[str] | None = None,
        loaded: Collection[str] = (),
    ) -> None:
        """Have a lane for each of these backends that has a limit, or that overflows leave.

        Args:
            backends: By name.
            loaded: Those that overflows leave.
            same: Those that are where they were: they keep what was learnt. None: all.
        """
        former, self._lanes = self._lanes, {}
        for name, backend in backends.items():
            config = backend.concurrency
            if config is None and name not in loaded and backend.cold_start is None:
                continue
            lane = former.pop(name, None)
            if lane is None:
                lane = _Lane(backend, None if config is None else limit.new_limit(config))
            elif lane.backend.concurrency != config or (same is not None and name not in same):
                lane.state = None if config is None else limit.new_limit(config)
                lane.held_s = 0.0
            lane.backend = backend
            self._lanes[name] = lane
        for lane in former.values():  # no limit any more: everybody may go
            self._wake_all(lane)
        for name in self._lanes:
            self.freed(name)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def full(self, backend: str, *, promised: str | None = None) -> bool:
        """Return whether a backend has no slot for somebody who comes now.

        Args:
            backend: Its name.
            promised: The backend of which the asker was promised a slot.
        """
        lane = self._lanes.get(backend)
        if lane is None or backend == promised:
            return False
        taken = self._in_flight.get(backend, 0) + lane.promised
        if self.ramping(backend, taken):
            return True
        return lane.limit is not None and (taken >= lane.limit or lane.waiting > 0)

    def must_wait(self, backend: str, *, promised: str | None = None) -> bool:
        """Return whether somebody who may go nowhere else must wait: it is saturated, or others wait."""
        lane = self._lanes.get(backend)
        if lane is None or backend == promised:
            return False
        return lane.waiting > 0 or self.saturated(backend)

    async def wait(self, backends: Sequence[str], *, priority: str, limit_s: float) -> str | None:
        """Wait for a slot on one of these backends; return which, or None: there is none in time.

        The slot is promised to the caller until it calls `take` (at once, before it awaits anything).
        """
        rank = PRIORITIES.index(priority)
        lanes = [self._lanes[name] for name in backends if name in self._lanes]
        room = [lane for lane in lanes if lane.waiting < lane.queue_max]
        if not room:
            shed = next((lane for lane in lanes if _shed(lane, rank)), None)
            if shed is None:
                return None
            room = [shed]
        waiter = _Waiter(asyncio.get_running_loop().create_future(), len(room))
        for lane in room:
            lane.queues[rank].append(waiter)
        try:
            async with asyncio.timeout(limit_s):
                granted = await waiter.granted
        except TimeoutError:
            granted = _answer(waiter)  # it may have come in the very moment
        except BaseException:
            if waiter.promised_by is not None:
                self._over(waiter.promised_by)
                self.freed(waiter.promised_by.backend.name)
            raise
        finally:
            for lane in room:
                if waiter in lane.queues[rank]:
                    lane.queues[rank].remove(waiter)
        if waiter.promised_by is not None:
            self._over(waiter.promised_by)
        return granted

    def _over(self, lane: _Lane) -> None:
        """A slot is not promised any more."""
        lane.promised -= 1
        self.changed(lane.backend.name)

    def hold(self, backend: str) -> Callable[[], None]:
        """Keep a slot for somebody who takes it a moment later; return what ends that."""
        lane = self._lanes.get(backend)
        if lane is None:
            return _nothing
        lane.promised += 1
        held = [lane]

        def let_go() -> None:
            if held:
                held.pop().promised -= 1

        return let_go

    def promised(self, backend: str) -> int:
        """Return how many slots are kept for those who take them a moment later."""
        lane = self._lanes.get(backend)
        return 0 if lane is None else lane.promised

    def freed(self, backend: str) -> None:
        """Promise free slots of a backend to those who wait for them."""
        lane = self._lanes.get(backend)
        if lane is None:
            return
        free = self._free(lane)
        while free > 0 and (waiter := _next_waiter(lane)) is not None:
            waiter.promised_by = lane
            lane.promised += 1
            waiter.granted.set_result(backend)
            self.changed(backend)
            free -= 1

    def _free(self, lane: _Lane) -> int:
        """How many more may go now: where slots were seen, as many as are free.

        Without a limit twice as many at most as are under way: a slow start.
        """
        name = lane.backend.name
        under_way = self._in_flight.get(name, 0) + lane.promised
        if lane.waiting and (self.saturated(name) or self.ramping(name, under_way)):
            return 0
        room = self.room(name) if lane.waiting else None
        most = lane.limit
        if most is None:
            most, in_flight_max = 2 * max(1, under_way), lane.backend.saturation.in_flight_max
            most = most if in_flight_max is None else min(most, in_flight_max)
        return most - under_way if room is None else min(most - under_way, room - lane.promised)

    def held(self, backend: str, seconds: float) -> None:
        """Note how long a slot was held."""
        lane = self._lanes.get(backend)
        if lane is not None:
            weight = _HELD_WEIGHT if lane.held_s else 1.0
            lane.held_s += (seconds - lane.held_s) * weight

    def first_token(self, backend: str, seconds: float, *, prompt_tokens: int) -> None:
        """Let the limit learn from a first token."""
        lane = self._lanes.get(backend)
        if lane is not None and lane.state is not None and lane.backend.concurrency is not None:
            lane.state = limit.after_first_token(
                lane.state,
                lane.backend.concurrency,
                seconds,
                prompt_tokens=prompt_tokens,
                in_flight=self._in_flight.get(backend, 0),
                now_s=self._now_s(),
            )
            self.freed(backend)  # the limit may have grown

    def ended(self, backend: str, *, overload: bool, answered: bool) -> None:
        """Let the limit learn from the end of an attempt."""
        lane = self._lanes.get(backend)
        if lane is None or lane.state is None or lane.backend.concurrency is None:
            return
        config, now_s = lane.backend.concurrency, self._now_s()
        if overload:
            lane.state = limit.after_overload(lane.state, config, now_s=now_s)
        elif answered:
            in_flight = self._in_flight.get(backend, 0)
            lane.state = limit.after_answer(lane.state, config, in_flight=in_flight, now_s=now_s)

    def retry_after_s(self, backends: Sequence[str]) -> float:
        """Return after how many seconds a slot may be had: when the queue has been served."""
        least, most = _RETRY_AFTER_S
        waits = [
            lane.held_s * (lane.waiting + 1) / max(1, lane.limit or self._in_flight.get(name, 0))
            for name in backends
            if (lane := self._lanes.get(name)) is not None
        ]
        return min(most, max(least, min(waits, default=1.0)))

    def seen(self, backend: str) -> tuple[int | None, int] | None:
        """Return (limit, waiting) of a backend; None: nobody ever waits for it."""
        lane = self._lanes.get(backend)
        return None if lane is None else (lane.limit, lane.waiting)

    def _wake_all(self, lane: _Lane) -> None:
        while (waiter := _next_waiter(lane)) is not None:
            waiter.granted.set_result(lane.backend.name)


def _shed(lane: _Lane, rank: int) -> bool:
    """Send the newest of the least urgent away, if it is less urgent than `rank`.

    Who waits for a slot elsewhere too goes on waiting there.
    """
    for queue in reversed(lane.queues[rank + 1 :]):
        while queue:
            waiter = queue.pop()
            if not waiter.granted.done():
                waiter.queues -= 1
                if not waiter.queues:
                    waiter.granted.set_result(None)
                return True
    return False


def _never(*_: object) -> bool:
    return False


def _unknown(_: str) -> None:
    return None


def _nothing() -> None:
    """Nothing is held."""


def _answer(waiter: _Waiter) -> str | None:
    granted = waiter.granted
    return granted.result() if granted.done() and not granted.cancelled() else None


def _next_waiter(lane: _Lane) -> _Waiter | None:
    for queue in lane.queues:
        while queue:
            waiter = queue.popleft()
            if not waiter.granted.done():
                return waiter
    return None
