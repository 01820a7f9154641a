"""Worlds to survive in: equal backends, a fault for a time, traffic at a rate; all of it from seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hybridllm import Router
from hybridllm.testing import (
    Ailment,
    Ask,
    Fault,
    Flapping,
    Journey,
    LoopClock,
    Service,
    SimulatedFleet,
    Slower,
    run_in_virtual_time,
    send_all,
    traffic,
)

FIRST_TOKEN_LIMIT_S = (
    2.0  # of a stream, and of a whole answer, as in the specification's simulation
)
NAMES = ("one", "two", "three")
# The specification's simulation had no generation: an answer is there with its first token.
SERVICE = Service(first_token_s=0.4, spread=0.39, answer_tokens=1)

AILMENTS: dict[str, Ailment] = {
    "refuse": Fault.refuse(),
    "503": Fault.status(503),
    "hang": Fault.hang(),
    "blackhole": Fault.blackhole(),
    "reset": Fault.reset_before_head(),
    "garbage": Fault.html(),
    "slow x10": Slower(10),
    "20 % errors": Fault.status(500, probability=0.2),
    "50 % errors": Fault.status(500, probability=0.5),
    "flapping": Flapping(Fault.refuse(), down_s=5, up_s=5),
}
SLOW_TO_TELL = frozenset(
    {"hang", "blackhole", "slow x10"}
)  # a limit has to pass before it is known


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulation.

    Attributes:
        fault: A name of `AILMENTS`.
        struck: How many of the `of` backends have it.
        rate: Requests a second.
        calm_s: Before the fault.
        fault_s: How long it lasts.
        after_s: From its end on.
        streams: Share of requests that want a stream.
    """

    fault: str
    struck: int
    of: int
    rate: float
    seed: int
    calm_s: float = 20.0
    fault_s: float = 90.0
    after_s: float = 30.0
    streams: float = 0.25
    health: Any = "honest"

    @property
    def name(self) -> str:
        return f"{self.struck}/{self.of} {self.fault}"

    @property
    def healed_s(self) -> float:
        """When the fault ends."""
        return self.calm_s + self.fault_s

    @property
    def end_s(self) -> float:
        return self.healed_s + self.after_s

    @property
    def backends(self) -> tuple[str, ...]:
        return NAMES[: self.of]

    @property
    def ill(self) -> tuple[str, ...]:
        return self.backends[: self.struck]


@dataclass(slots=True)
class Course:
    """What was seen of a simulation.

    Attributes:
        phases: (time, name of a struck backend's breaker phase, the worst of them), as it changed.
    """

    cell: Cell
    fleet: SimulatedFleet
    journeys: list[Journey]
    phases: list[tuple[float, str]] = field(default_factory=list)
    probes_healthy: int = 0


def policy_text(backends: tuple[str, ...], retries: str = "") -> str:
    """Equal backends, one model, one route that leaves the order to load and pace."""
    limit = f"{FIRST_TOKEN_LIMIT_S:g}s"
    places = "\n".join(
        f"  {name}: {{kind: api, base_url: 'https://{name}.test/v1', "
        f"timeouts: {{first_token: {limit}, attempt: {limit}}}}}"
        for name in backends
    )
    served = ", ".join(f"{name}: m" for name in backends)
    return f"""
version: 1
backends:
{places}
models: {{m: {{on: {{{served}}}}}}}
routes: [{{name: all, use: m}}]
retries: {{{retries}}}
"""


def fleet_of(cell: Cell) -> SimulatedFleet:
    """The backends of a cell, its fault to come."""
    urls = {name: f"https://{name}.test/v1" for name in cell.backends}
    fleet = SimulatedFleet(urls, seed=cell.seed, service=SERVICE, health=cell.health)
    if cell.fault != "none":
        fleet.strike(cell.ill, AILMENTS[cell.fault], from_s=cell.calm_s, until_s=cell.healed_s)
    return fleet


def asks_of(cell: Cell) -> list[Ask]:
    """The traffic of a cell: the same for whoever routes it."""
    return traffic(cell.rate, until_s=cell.end_s, seed=cell.seed, streams=cell.streams)


def run(cell: Cell, *, retries: str = "") -> Course:
    """Run a cell through the real router; `retries` are of the policy."""

    async def course() -> Course:
        fleet = fleet_of(cell)
        router = Router.from_text(
            policy_text(cell.backends, retries),
            environ={},
            wire=fleet,
            clock=LoopClock(),
            chance=Random(f"router/{cell.seed}").random,
        )
        seen = Course(cell, fleet, [])
        async with router:
            look = looker(router, cell.ill, seen.phases)
            seen.journeys = await send_all(router, asks_of(cell), until_s=cell.end_s, look=look)
        return seen

    return run_in_virtual_time(course)


def looker(
    router: Router, names: tuple[str, ...], phases: list[tuple[float, str]]
) -> Callable[[float], None]:
    """Return what notes the breakers of some backends, whenever the worst of them changes."""

    def look(now_s: float) -> None:
        worst = worst_phase(router, names)
        if not phases or phases[-1][1] != worst:
            phases.append((now_s, worst))

    return look


def worst_phase(router: Router, names: tuple[str, ...]) -> str:
    """Open before half-open before closed, of the breakers of some backends."""
    if router._engine_once.made is None:
        return "closed"
    found = {
        state.phase.value
        for (backend, _), state in router._engine_once.made.fleet.breakers.items()
        if backend in names
    }
    return next((phase for phase in ("open", "half_open") if phase in found), "closed")
