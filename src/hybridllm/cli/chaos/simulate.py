"""One fault, one set of backends: the traffic through the real router, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from hybridllm import Router
from hybridllm.testing import LoopClock, SimulatedFleet, run_in_virtual_time, send_all, traffic

if TYPE_CHECKING:
    from hybridllm import Policy
    from hybridllm.cli.chaos.catalogue import Struck, Trouble
    from hybridllm.cli.chaos.mix import Mix
    from hybridllm.testing import Journey

CALM, FAULT = 1 / 6, 1 / 2  # of the whole time; the rest is what comes after
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Course:
    """When what happens, and how much.

    Attributes:
        rate: Requests a second.
        seconds: In all.
    """

    rate: float
    seconds: float
    seed: int

    @property
    def from_s(self) -> float:
        """When the fault begins."""
        return self.seconds * CALM

    @property
    def until_s(self) -> float:
        """When it ends."""
        return self.seconds * (CALM + FAULT)


@dataclass(slots=True)
class Seen:
    """What was seen of one simulation.

    Attributes:
        struck: None: nothing was.
        arrivals_s: Of requests at each backend, refused ones too.
        phases: Per backend, when its worst breaker went into which phase.
    """

    trouble: Trouble | None
    struck: Struck | None
    journeys: list[Journey]
    arrivals_s: dict[str, list[float]]
    phases: dict[str, list[tuple[float, str]]] = field(default_factory=dict)


def simulate(
    policy: Policy, mix: Mix, course: Course, trouble: Trouble | None, struck: Struck | None
) -> Seen:
    """Run the traffic while `trouble` strikes; both None: while all is well."""
    kinds = {kind.name: kind.params for kind in mix.kinds}
    asks = traffic(course.rate, until_s=course.seconds, seed=course.seed, mix=kinds)

    async def run() -> Seen:
        fleet = SimulatedFleet.of(policy, seed=course.seed)
        if trouble is not None and struck is not None:
            fleet.strike(
                struck.backends, trouble.ailment, from_s=course.from_s, until_s=course.until_s
            )
        router = Router(
            policy,
            environ=fleet.environ,
            wire=fleet,
            clock=LoopClock(),
            chance=Random(course.seed).random,  # noqa: S311 - a simulation, no secret
        )
        phases: dict[str, list[tuple[float, str]]] = {}
        async with router:
            journeys = await send_all(
                router, asks, until_s=course.seconds, look=_looking(router, phases), every_s=LOOK_S
            )
        arrivals = {name: backend.requests_at_s for name, backend in fleet.backends.items()}
        return Seen(trouble, struck, journeys, arrivals, phases)

    return run_in_virtual_time(run)


def _looking(
    router: Router, phases: dict[str, list[tuple[float, str]]]
) -> Callable[[float], None] | None:
    """Return what notes the phases of breakers as `Router.status` tells them; None: it tells none."""

    def look(now_s: float) -> None:
        for name, phase in _worst_phases(router.status()).items():
            noted = phases.setdefault(name, [])
            if not noted or noted[-1][1] != phase:
                noted.append((now_s, phase))

    return look


def _worst_phases(status: Any) -> dict[str, str]:
    """Return the worst phase of each backend's breakers."""
    worst: dict[str, str] = {}
    order = ("closed", "half_open", "open")
    for one in getattr(status, "candidates", ()):
        phase = str(one.breaker)
        if phase in order and order.index(phase) >= order.index(worst.get(one.backend, order[0])):
            worst[one.backend] = phase
    return worst
