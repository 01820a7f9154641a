"""One backend of a simulated fleet: its ailments and its health page, whatever it serves.

Every wait is an `asyncio.sleep`, so in virtual time a second costs nothing.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest, WireResponse
from hybridllm.testing._ailments import Ailment, Condition, Crowded, Spell, condition, deaths
from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._fleet_answers import struck
from hybridllm.testing._headers import Headers
from hybridllm.testing._reply import Reply

HealthAnswers = Literal["honest", "lying"]
Wakefulness = Literal["awake", "asleep", "loading"]

PAGE_S = 0.005  # what a health check or a page takes where all is well
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
_WELL = Reply.json({"status": "ok"}).after(PAGE_S)
_NO_PAGE = Reply.json({"detail": "Not Found"}, status=404).after(PAGE_S)


class FleetBackend(ABC):
    """One backend of a `SimulatedFleet`; made by it.

    Attributes:
        name: As the policy has it.
        health: `honest`: a health check finds what a request would find, where its status could tell.
            `lying`: all is well, always, as vLLM says of a server that hangs.
        requests_at_s: When each request arrived, refused ones too; in the loop's time.
        health_checks: How many were answered or refused.
        metrics_at_s: When its metrics page was looked at.
        at_work_max: The most requests that ever held a slot at once.
        woken_at_s: When it began to load, each time that it slept.
    """

    def __init__(self, name: str, *, seed: int, health: HealthAnswers) -> None:
        self.name = name
        self.health = health
        self.requests_at_s: list[float] = []
        self.health_checks = 0
        self.metrics_at_s: list[float] = []
        self.at_work_max = 0
        self.woken_at_s: list[float] = []
        self._chance = Random(f"{seed}/{name}")  # noqa: S311 - a simulation, no secret
        self._health_chance = Random(f"{seed}/{name}/health")  # noqa: S311
        self._spells: list[Spell] = []
        self._deaths_s: tuple[float, ...] = ()
        self._now = Condition(worse_at_s=-1.0)

    @property
    @abstractmethod
    def at_work(self) -> int:
        """Requests that hold a slot now."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Requests that wait for a slot."""

    @property
    def state(self) -> Wakefulness:
        """Whether it is awake; only one with a `VllmService` ever sleeps."""
        return "awake"

    def strike(self, ailment: Ailment, *, from_s: float, until_s: float) -> None:
        """Let something ail it for a time; see `SimulatedFleet.strike`."""
        self._spells.append(Spell(ailment, from_s, until_s))
        self._deaths_s = deaths(self._spells)
        self._now.worse_at_s = -1.0

    def requests(self, from_s: float = 0.0, until_s: float = float("inf")) -> int:
        """Return how many requests arrived in a time."""
        return sum(from_s <= at_s < until_s for at_s in self.requests_at_s)

    def sleep(self) -> None:
        """Fall asleep: what is under way is cut off, and what the cache knew is forgotten.

        Raises:
            ValueError: If it is none that sleeps.
        """
        raise ValueError(f"backend {self.name!r} never sleeps: it has no VllmService")

    def wake(self) -> None:
        """Begin to load, if it sleeps.

        Raises:
            ValueError: If it is none that sleeps.
        """
        raise ValueError(f"backend {self.name!r} never sleeps: it has no VllmService")

    @abstractmethod
    async def answer(self, request: WireRequest) -> WireResponse:
        """Take a request, and return the head of its answer when that is due.

        Raises:
            WireError: If a fault says so.
        """

    async def checked(self, request: WireRequest) -> WireResponse:
        """Answer a health check."""
        self.health_checks += 1
        reply = _WELL
        if self.health == "honest":
            reply = self._as_found(reply, request)
        return await self._opened(reply)

    async def metrics(self, request: WireRequest) -> WireResponse:
        """Answer a look at its metrics page."""
        self.metrics_at_s.append(asyncio.get_running_loop().time())
        return await self._opened(self._as_found(_NO_PAGE, request))

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

    def _usual_crowd(self) -> Crowded | None:
        """Its capacity while it is well; None: without limit."""
        return None

    def _condition(self, now_s: float) -> Condition:
        if now_s >= self._now.worse_at_s:
            self._now = condition(self._spells, now_s, self._usual_crowd())
        return self._now

    def _drawn(self, now: Condition) -> Fault | None:
        """Return the fault that strikes a request."""
        for fault in now.faults:
            if fault.probability >= 1 or self._chance.random() < fault.probability:
                return fault
        return None

    def _as_found(self, page: Reply, request: WireRequest) -> Reply:
        """Return what a look at a page finds; a limit on requests does not concern pages."""
        for fault in self._condition(asyncio.get_running_loop().time()).faults:
            limited = fault.kind is FaultKind.STATUS and fault.status_code == 429
            drawn = fault.probability >= 1 or self._health_chance.random() < fault.probability
            if fault.kind in _SICK and drawn and not limited:
                return struck(fault, page, connect_timeout_s=request.connect_timeout_s)
        return page

    async def _opened(
        self, reply: Reply, given_back: Callable[[], None] | None = None
    ) -> FleetAnswer:
        """Return an answer when its head is due; `given_back` is called once, however it ends."""
        try:
            await self.wait(reply.delay_s)
            if reply.headless:
                await strike(reply)
        except BaseException:
            if given_back is not None:
                given_back()
            raise
        return FleetAnswer(self, reply, given_back)


class FleetAnswer:
    """The head and the body of an answer, as a `WireResponse`."""

    __slots__ = ("_backend", "_given_back", "_next", "_reply", "closed", "headers", "status")

    def __init__(
        self, backend: FleetBackend, reply: Reply, given_back: Callable[[], None] | None
    ) -> None:
        self._backend = backend
        self._reply = reply
        self._given_back = given_back
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
        if self._given_back is not None:
            given_back, self._given_back = self._given_back, None
            given_back()


async def strike(reply: Reply) -> None:
    """Hang or fail, if the reply says so.

    Raises:
        WireError: If it fails.
    """
    if reply.failure is not None:
        raise WireError(reply.failure, "simulated failure")
    if reply.hangs:
        await asyncio.get_running_loop().create_future()
