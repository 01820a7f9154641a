"""A state of the world as people write it down, and who would answer in it.

For tests of policies and for `explain`: what is not said is fine, idle and not measured. Who answers is
found by walking the very steps of a request, with those who are down failing to connect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

from hybridllm._core.decide.given import (
    GivenLoad,
    GivenVolume,
    given_of,
    held_in,
    loads_of,
    without_credit,
)
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Latency, Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.request.facts import Facts
from hybridllm._core.resilience.classify import classify_wire
from hybridllm._core.resilience.next_step import Call, GiveUp, Wake, next_step
from hybridllm._core.resilience.outcome import Failure, FailureKind
from hybridllm._core.resilience.standing import Standing

MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""The time where none is said, so that a test says the same on every day."""

EXHAUSTED, WARMING_UP = "route_exhausted", "warming_up"
"""What is raised where nobody answers: everybody is down, or only who sleeps could."""

_IDLE: Mapping[str, int] = MappingProxyType({})
_UNSAID: Mapping[str, GivenLoad] = MappingProxyType({})
_UNMEASURED: Mapping[str, Latency] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class World:
    """A state of the backends, the time, and chance.

    Attributes:
        down: Backends that refuse every connection.
        in_flight: Requests under way per backend.
        latency: Per backend, for every model on it, or per `backend/model`, which goes before the backend's
            own figures, percentile by percentile.
        chance: In [0, 1); what a split draws where it has nothing to stick to.
        loads: What is said of the load of backends; `*` is every backend of one's own.
        volumes: What is said to have come in.
        spent: What was spent of each budget, in 10^-12 USD, of everybody who has one for himself alike.
        break_even: True: the APIs would cost more than own machines; False: less; None: nobody knows.
    """

    down: frozenset[str] = frozenset()
    in_flight: Mapping[str, int] = field(default_factory=lambda: _IDLE)
    latency: Mapping[str, Latency] = field(default_factory=lambda: _UNMEASURED)
    now_utc: datetime = MONDAY_NOON
    chance: float = 0.0
    loads: Mapping[str, GivenLoad] = field(default_factory=lambda: _UNSAID)
    volumes: tuple[GivenVolume, ...] = ()
    break_even: bool | None = None
    spent: Mapping[str, int] = field(default_factory=lambda: _IDLE)

    def snapshot(self, policy: Policy, facts: Facts) -> Snapshot:
        """Return it as the decision of a request looks at it: latency by candidate of the policy."""
        measured: dict[str, Latency] = {}
        if self.latency:
            for served in policy.candidates.values():
                for candidate in served:
                    latency = self._latency(candidate.backend.name, candidate.name)
                    if latency is not None:
                        measured[candidate.name] = latency
        return Snapshot(
            self.in_flight,
            measured,
            self.now_utc,
            self.chance,
            loads=loads_of(policy, self.loads, self.in_flight),
            held=held_in(policy, facts, self.volumes, break_even=self.break_even),
        )

    def _latency(self, backend: str, candidate: str) -> Latency | None:
        general, own = self.latency.get(backend), self.latency.get(candidate)
        if general is None or own is None:
            return own or general
        return Latency({**general.ttft_ms, **own.ttft_ms}, {**general.total_ms, **own.total_ms})


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers a request.

    Attributes:
        index: Of the candidate, in the plan's `kept`.
        reason: Of the attempt, as the receipt shows it.
        waits: What the request waits for before, in words; empty: for nothing.
    """

    index: int
    reason: AttemptReason
    waits: str = ""


def ending(plan: Plan, world: World) -> Answering | str:
    """Return who answers, or what is raised instead: `route_exhausted`, `warming_up`.

    The request's deadline is far away: a refused connection costs no time, and who waits for a slot or for
    a backend to wake up gets it.
    """
    down, kept, policy = world.down, plan.kept, plan.policy
    standing, waits = standing_in(plan, world), ""
    failures: list[tuple[int, Failure]] = []
    while True:
        step = next_step(
            kept=kept,
            failures=failures,
            retries_max=policy.retries_max,
            attempts_max=policy.attempts_max,
            remaining_s=float("inf"),
            jitter=0.0,
            standing=standing,
            spilled=plan.spilled,
        )
        if isinstance(step, GiveUp):
            return EXHAUSTED
        if isinstance(step, Wake):
            backends = [kept[place].candidate.backend for place in step.places]
            if not any(one.cold_start and one.cold_start.waits for one in backends):
                return WARMING_UP
            standing, waits = _awake(standing), "until it is awake"
        elif not isinstance(step, Call):
            standing, waits = replace(standing, full=frozenset()), "for a slot"
        elif kept[step.index].candidate.backend.name not in down:
            return Answering(step.index, step.reason, waits)
        else:
            failures.append((step.index, classify_wire(FailureKind.CONNECT)))


def standing_in(plan: Plan, world: World) -> Standing:
    """Return who of a plan can be asked, by what is said of loads."""
    refused: dict[int, str] = {}
    gates: dict[int, float] = {}
    cold: dict[int, float] = {}
    full = []
    for place, kept in enumerate(plan.kept):
        backend = kept.candidate.backend
        if backend.name in plan.waits:
            full.append(place)
        said = given_of(backend, world.loads)
        if said is None:
            continue
        if said.cold_s is not None:
            refused[place] = f"waking up, {said.cold_s:.0f} s to go"
            cold[place] = said.cold_s
        elif said.rate_limited or without_credit(plan.policy, backend, said):
            refused[place] = "rate limited" if said.rate_limited else "our credit is used up"
            gates[place] = float("inf")
        elif said.out:
            refused[place] = "breaker open"
    return Standing(refused, gates, frozenset(full), cold=cold)


def _awake(standing: Standing) -> Standing:
    refused = {place: why for place, why in standing.refused.items() if place not in standing.cold}
    return replace(standing, refused=refused, cold={})
