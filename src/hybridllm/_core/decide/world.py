"""A state of the world as people write it down, and who would answer in it.

For tests of policies and for `explain`: what is not said is fine, idle and not measured. Who answers is
found by walking the very steps of a request, with those who are down failing to connect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Latency, Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.classify import classify_wire
from hybridllm._core.resilience.next_step import Call, next_step
from hybridllm._core.resilience.outcome import Failure, FailureKind

MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""The time where none is said, so that a test says the same on every day."""

_IDLE: Mapping[str, int] = MappingProxyType({})
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
    """

    down: frozenset[str] = frozenset()
    in_flight: Mapping[str, int] = field(default_factory=lambda: _IDLE)
    latency: Mapping[str, Latency] = field(default_factory=lambda: _UNMEASURED)
    now_utc: datetime = MONDAY_NOON
    chance: float = 0.0

    def snapshot(self, policy: Policy) -> Snapshot:
        """Return it as a decision looks at it: latency by candidate of the policy."""
        measured: dict[str, Latency] = {}
        if self.latency:
            for served in policy.candidates.values():
                for candidate in served:
                    latency = self._latency(candidate.backend.name, candidate.name)
                    if latency is not None:
                        measured[candidate.name] = latency
        return Snapshot(self.in_flight, measured, self.now_utc, self.chance)

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
    """

    index: int
    reason: AttemptReason


def answering(plan: Plan, world: World) -> Answering | None:
    """Return who answers; None: everybody who may be asked is down, so that the route is exhausted.

    The request's deadline is far away: a refused connection costs no time.
    """
    down, kept, policy = world.down, plan.kept, plan.policy
    failures: list[tuple[int, Failure]] = []
    while True:
        step = next_step(
            kept=kept,
            failures=failures,
            retries_max=policy.retries_max,
            attempts_max=policy.attempts_max,
            remaining_s=float("inf"),
            jitter=0.0,
            spilled=plan.spilled,
        )
        if not isinstance(step, Call):
            return None
        if kept[step.index].candidate.backend.name not in down:
            return Answering(step.index, step.reason)
        failures.append((step.index, classify_wire(FailureKind.CONNECT)))
