"""What we know of each backend now: requests under way, breakers, cool-offs.

Every method is synchronous: nothing happens between reading and writing. What is taken here is given
back here, once, through a `Permit`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.snapshot import IDLE, Snapshot
from hybridllm._core.policy.compiled import Candidate, Policy
from hybridllm._core.policy.succession import Endpoint, carried_on, endpoints
from hybridllm._core.resilience import breaker
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind
from hybridllm._runtime.latencies import Latencies

if TYPE_CHECKING:
    from hybridllm._runtime.cool_offs import CoolOffs

_logger = logging.getLogger("hybridllm")
_PRISTINE = breaker.BreakerState()
_PRISTINE_PERMIT: breaker.Permit | None = breaker.Permit(_PRISTINE.generation)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Who of a plan is refused now.

    Attributes:
        reasons: Per place in the plan, in words.
        cooling: The places that a cool-off refuses; the rest of `reasons` are open breakers.
    """

    reasons: Mapping[int, str]
    cooling: frozenset[int] = frozenset()


NOBODY_REFUSED = Refusals(MappingProxyType({}))


class Permit:
    """The right to make one attempt. Handed back exactly once, however the attempt ends."""

    __slots__ = ("_candidate", "_fleet", "_out", "_permit", "_turn", "breaker_phase")

    def __init__(
        self,
        fleet: Fleet,
        candidate: Candidate,
        permit: breaker.Permit | None,
        phase: str,
        turn: int,
    ) -> None:
        self._fleet = fleet
        self._out = True
        self._candidate = candidate
        self._permit = permit
        self._turn = turn
        self.breaker_phase = phase

    def settle(self, effect: BreakerEffect) -> None:
        """Hand it back and say how it went; a second call does nothing."""
        out, self._out = self._out, False
        if out:
            self._fleet.give_back(self._candidate, self._permit, effect, self._turn)

    @property
    def stands(self) -> bool:
        """False once another policy has put something else in its endpoint's place.

        What such an attempt tells of the endpoint holds for nobody any more.
        """
        return self._fleet.stands(self._candidate, self._turn)


class Fleet:
    """The state of the backends in this process.

    Args:
        now_s: The clock's monotonic seconds.
        config: When a breaker opens, and for how long.
    """

    def __init__(
        self, now_s: Callable[[], float], config: breaker.BreakerConfig | None = None
    ) -> None:
        self._now_s = now_s
        self._config = config or breaker.BreakerConfig()
        self._in_flight: dict[str, int] = {}
        self.latencies = Latencies(now_s)
        # Only breakers that have something to say; a closed one without failures is not kept.
        self._breakers: dict[tuple[str, str], breaker.BreakerState] = {}
        self._cool_offs: CoolOffs | None = None  # made when somebody is first left alone
        self._turn = 0  # how many policies came after the first
        # Endpoints that were put in another one's place, and when.
        self._since: dict[Endpoint, int] = {}

    def snapshot(self, policy: Policy, *, now_utc: datetime, chance: float) -> Snapshot:
        """Return an immutable value of all that a decision by this policy may look at."""
        if policy.measures:
            return Snapshot(self._in_flight.copy(), self.latencies.snapshot(), now_utc, chance)
        in_flight = self._in_flight.copy() if self._in_flight else IDLE.in_flight
        return Snapshot(in_flight, IDLE.latency, now_utc, chance)

    def refusals(self, kept: tuple[Kept, ...]) -> Refusals:
        """Return who of the plan is refused now, by breaker or cool-off."""
        if not self._breakers and self._cool_offs is None:
            return NOBODY_REFUSED
        reasons: dict[int, str] = {}
        cooling: set[int] = set()
        now_s = self._now_s()
        for place, one in enumerate(kept):
            key = (one.candidate.backend.name, one.candidate.model.name)
            reason = self._cool_offs.reason(*key) if self._cool_offs is not None else None
            if reason is not None:
                reasons[place] = reason
                cooling.add(place)
                continue
            state = self._breakers.get(key)
            if state is not None and breaker.refuses(state, now_s):
                reasons[place] = f"breaker {state.phase.value}"
        return Refusals(reasons, frozenset(cooling))

    def take(self, candidate: Candidate) -> Permit:
        """Take a permit for one attempt, and count it as under way.

        An open breaker gives a permit too, without a probe's standing: whoever asks has been through
        `gated`, so it asks because nobody else is left (breakers never empty a candidate set).
        """
        key = (candidate.backend.name, candidate.model.name)
        state = self._breakers.get(key)
        if state is None:
            permit = _PRISTINE_PERMIT
            phase = breaker.Phase.CLOSED
        else:
            state, permit = breaker.admit(state, self._config, self._now_s())
            self._breakers[key] = state
            phase = state.phase
        in_flight = self._in_flight
        in_flight[key[0]] = in_flight.get(key[0], 0) + 1
        return Permit(self, candidate, permit, phase.value, self._turn)

    def give_back(
        self, candidate: Candidate, permit: breaker.Permit | None, effect: BreakerEffect, turn: int
    ) -> None:
        """End an attempt; called by its `Permit` only."""
        name = candidate.backend.name
        left = self._in_flight[name] - 1
        if left:
            self._in_flight[name] = left
        else:
            del self._in_flight[name]
        if turn != self._turn and not self.stands(candidate, turn):
            return
        key = (name, candidate.model.name)
        state = self._breakers.get(key)
        if state is None:
            if effect is not BreakerEffect.FAILURE:
                return
            state = _PRISTINE
        state = breaker.settle(state, self._config, permit, effect, self._now_s())
        if state == _PRISTINE:
            self._breakers.pop(key, None)
        else:
            self._breakers[key] = state

    def cool_off(self, candidate: Candidate, failure: Failure) -> None:
        """Leave a candidate, or its whole backend, alone if the failure says so."""
        if failure.cool_off_s is None:
            return
        if self._cool_offs is None:
            from hybridllm._runtime.cool_offs import CoolOffs

            self._cool_offs = CoolOffs(self._now_s)
        model = None if failure.cool_off_backend else candidate.model.name
        reason = f"cool-off after {failure.label}"
        if failure.cool_off_backend:
            # A backend's own words are never logged; the words of a LOCAL failure are ours.
            why = failure.message if failure.kind is FailureKind.LOCAL else failure.label
            name = candidate.backend.name
            _logger.warning("backend %s is left alone for %g s: %s", name, failure.cool_off_s, why)
        self._cool_offs.add(
            candidate.backend.name, model, seconds=failure.cool_off_s, reason=reason
        )

    def follow(self, former: Policy, policy: Policy, rekeyed: Collection[str]) -> None:
        """Go over to another policy: what was learnt of endpoints that it does not share goes.

        Attempts under way stay counted, by the backend's name; what those on such endpoints come to
        changes nothing any more.

        Args:
            former: The policy so far.
            policy: The one from now on.
            rekeyed: Backends whose key has another value now.
        """
        kept = carried_on(former, policy, rekeyed=rekeyed)
        self._turn += 1
        for key in self._breakers.keys() - kept:
            del self._breakers[key]
        if self._cool_offs is not None:
            self._cool_offs.keep(kept)
        self.latencies.keep({f"{backend}/{model}" for backend, model in kept if model is not None})
        if not self._in_flight:
            self._since.clear()  # nobody is under way who could speak of a former one
            return
        now = dict.fromkeys(endpoints(policy) - kept, self._turn)
        self._since = {key: turn for key, turn in self._since.items() if key in kept} | now

    def stands(self, candidate: Candidate, turn: int) -> bool:
        """Return whether a candidate's endpoint is still the one of that turn."""
        key = (candidate.backend.name, candidate.model.name)
        return turn == self._turn or self._since.get(key, 0) <= turn

    @property
    def in_flight(self) -> int:
        """Attempts under way now, all backends together."""
        return sum(self._in_flight.values())

    @property
    def in_flight_by_backend(self) -> Mapping[str, int]:
        """The same for each backend that has any."""
        return self._in_flight.copy()
