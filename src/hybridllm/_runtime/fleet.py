"""What we know of each backend now: requests under way, breakers, gates, slots, how soon they answer.

Every method is synchronous: nothing happens between reading and writing. What is taken here is given
back here, once, through a `Permit`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from hybridllm._core.decide.match import Held
from hybridllm._core.decide.overflow import Source
from hybridllm._core.decide.snapshot import IDLE, Snapshot
from hybridllm._core.policy.compiled import Candidate, Policy
from hybridllm._core.policy.succession import Endpoint, carried_on, endpoints
from hybridllm._core.resilience import breaker
from hybridllm._core.resilience.breaker import BreakerState, Phase
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind
from hybridllm._core.resilience.pace import Pace, after_answer
from hybridllm._runtime.latencies import Latencies
from hybridllm._runtime.loads import Loads
from hybridllm._runtime.permit import Permit
from hybridllm._runtime.records import Record
from hybridllm._runtime.returns import Returns
from hybridllm._runtime.slots import Slots
from hybridllm._runtime.standings import Standings
from hybridllm._runtime.totals import Totals
from hybridllm._runtime.uses import Uses
from hybridllm._runtime.warmths import Warmths

if TYPE_CHECKING:
    from hybridllm._core.request.read import Call
    from hybridllm._runtime.cool_offs import Closed, CoolOffs

_logger = logging.getLogger("hybridllm")

Key = tuple[str, str]
"""(backend, model)."""

Told = Callable[[Candidate, BreakerState, BreakerState], None]
"""Hears of every transition of a breaker: candidate, state before, state after."""


class Fleet:
    """The state of the backends in this process.

    Args:
        now_s: The clock's monotonic seconds.
        draw: A number in [0, 1], drawn anew at each call.
        config: When a breaker opens, and for how long.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        draw: Callable[[], float] = lambda: 0.5,
        config: breaker.BreakerConfig | None = None,
    ) -> None:
        self._now_s = now_s
        self._draw = draw
        self._config = config or breaker.BreakerConfig()
        self._in_flight: dict[str, int] = {}
        self.latencies = Latencies(now_s)
        self.slots = Slots(self._in_flight, now_s)
        self.uses = Uses(now_s)
        self._records: dict[Key, Record] = {}
        self._unwell: set[Key] = set()  # whose breakers have something to say
        self._paces: tuple[dict[str, Pace], dict[str, Pace]] = ({}, {})  # answers, first tokens
        self.returns = Returns(now_s)
        self.warmths = Warmths(now_s, self._records, self._unwell, self.returns)
        self.totals = Totals()
        self._cool_offs: CoolOffs | None = None  # made when somebody is first left alone
        self.loads = Loads(self, now_s)
        self.slots.saturated, self.slots.room = self.loads.saturated, self.loads.free
        self.slots.changed, self.slots.ramping = self.loads.changed, self.warmths.ramping
        self.slowest_s = 0.0  # of all waits that were measured
        self.standings = Standings(self, now_s, draw)
        self._turn = 0  # how many policies came after the first
        # Endpoints that were put in another one's place, and when.
        self._since: dict[Endpoint, int] = {}
        self.tell: Told | None = None

    def snapshot(
        self,
        policy: Policy,
        *,
        now_utc: datetime,
        chance: float,
        two_of: float | None = None,
        stream: bool = False,
        hot: frozenset[Source] = frozenset(),
        held: frozenset[Held] = IDLE.held,
    ) -> Snapshot:
        """Return an immutable value of all that a decision by this policy may look at."""
        in_flight = self._in_flight.copy() if self._in_flight else IDLE.in_flight
        latency = self.latencies.snapshot() if policy.measures else IDLE.latency
        loads = self.loads.of() if self.loads else IDLE.loads
        if not policy.balances:
            return Snapshot(in_flight, latency, now_utc, chance, loads=loads, held=held, hot=hot)
        return Snapshot(
            in_flight,
            latency,
            now_utc,
            chance,
            self._paces[stream].copy(),
            self.returns.weights() if self.returns else IDLE.returning,
            self._now_s(),
            two_of,
            loads,
            held,
            hot,
        )

    def take(self, candidate: Candidate, call: Call | None = None) -> Permit:
        """Take a permit for one attempt of a call, and count it as under way.

        An open breaker gives a permit too, without a probe's standing: whoever asks has been through
        `standing`, so it asks because nobody else is left (breakers never empty a candidate set).
        """
        key = (candidate.backend.name, candidate.model.name)
        record = self._record(key)
        now_s = self._now_s()
        before = record.breaker
        permit = record.admit(self._config, now_s)
        if record.breaker.phase is not before.phase:
            self._changed(candidate, before, record.breaker)
        in_flight = self._in_flight
        in_flight[key[0]] = in_flight.get(key[0], 0) + 1
        taken = Permit(self, candidate, permit, record.breaker.phase, self._turn, now_s, record)
        if self.loads and call is not None:
            self.loads.begun(taken, call)
        return taken

    def give_back(
        self,
        permit: Permit,
        effect: BreakerEffect,
        failure: Failure | None,
        now_s: float | None,
    ) -> None:
        """End an attempt; called by its `Permit` only."""
        candidate = permit.candidate
        name = candidate.backend.name
        left = self._in_flight[name] - 1
        if left:
            self._in_flight[name] = left
        else:
            del self._in_flight[name]
        if self.loads:
            self.loads.over(permit, answered=effect is BreakerEffect.SUCCESS)
        if self.slots:
            self._slot_freed(name, permit, effect, failure)
        if permit.turn != self._turn and not self.stands(candidate, permit.turn):
            return
        now_s = self._now_s() if now_s is None else now_s
        if effect is BreakerEffect.SUCCESS:
            if permit.has_proved:
                effect = BreakerEffect.ABANDONED
            elif not permit.slow and permit.record.good(permit.generation, now_s):
                return  # nearly every attempt ends here
        if failure is not None and effect is BreakerEffect.FAILURE:
            permit.record.failed = (failure.label, now_s)
        slow = permit.slow or (failure is not None and failure.timed_out)
        self._settle(permit, effect, now_s, slow=slow)

    def proved(self, permit: Permit) -> None:
        """A probe's stream has brought its first token: that answers what the probe was sent to ask."""
        candidate = permit.candidate
        if permit.turn == self._turn or self.stands(candidate, permit.turn):
            is_probe = permit.generation == permit.record.breaker.generation
            self._settle(permit, BreakerEffect.SUCCESS, self._now_s(), slow=False)
            if is_probe:  # not one that expired, nor one beside it in panic
                permit.generation = permit.record.breaker.generation  # what comes now is told anew

    def first_token(
        self, permit: Permit, seconds: float, now_s: float, *, prompt_tokens: int | None
    ) -> bool:
        """Note how long a first token took, or how long nobody saw one; return whether that was slow.

        Args:
            permit: Of the attempt.
            seconds: From sending.
            now_s: Monotonic.
            prompt_tokens: Length of the prompt; None: no token came.
        """
        name, record = permit.candidate.name, permit.record
        self.latencies.first_token(name, seconds, now_s)
        self.slowest_s = max(self.slowest_s, seconds)
        slow = record.first_token(seconds, now_s)
        if record.first_token_pace is not None:
            self._paces[True][name] = record.first_token_pace
        if self.loads and prompt_tokens is not None:
            self.loads.first_token(permit, seconds, now_s, prompt_tokens=prompt_tokens)
        if self.slots and prompt_tokens is not None:
            backend = permit.candidate.backend.name
            self.slots.first_token(backend, seconds, prompt_tokens=prompt_tokens)
        return slow

    def answered(self, permit: Permit, seconds: float, now_s: float) -> None:
        """Note how long a whole answer took, or how long nobody saw one."""
        name, record = permit.candidate.name, permit.record
        self.latencies.answer(name, seconds, now_s)
        self.slowest_s = max(self.slowest_s, seconds)
        record.pace = self._paces[False][name] = after_answer(record.pace, seconds, now_s)

    def outrun(self, permit: Permit, ran_s: float, now_s: float, *, stream: bool) -> None:
        """Note that another attempt answered first: this one would have taken at least so long.

        Else a slow backend that others cover up for would never look slow.
        """
        name, record = permit.candidate.name, permit.record
        pace = record.first_token_pace if stream else record.pace
        if pace is not None and ran_s <= pace.value_s:
            return
        pace = self._paces[stream][name] = after_answer(pace, ran_s, now_s)
        if stream:
            record.first_token_pace = pace
        else:
            record.pace = pace

    def heard_health(self, backend: str, *, healthy: bool) -> None:
        """Tell the open breakers of a backend what its health page said."""
        now_s = self._now_s()
        for key in self._unwell:
            if key[0] == backend:
                record = self._records[key]
                record.breaker = breaker.after_health(
                    record.breaker, self._config, healthy=healthy, now_s=now_s
                )

    def cool_off(self, candidate: Candidate, failure: Failure) -> None:
        """Leave a candidate, or its whole backend, alone if the failure says so, or that it sleeps."""
        if self.warmths.failed(candidate.backend, failure):
            return
        if failure.cool_off_s is None or failure.gate is None:
            return
        if self._cool_offs is None:
            from hybridllm._runtime.cool_offs import CoolOffs

            self._cool_offs = CoolOffs(self._now_s)
        model = None if failure.cool_off_backend else candidate.model.name
        name = candidate.backend.name
        if failure.cool_off_backend and self._cool_offs.gate(name, "") is None:
            # A backend's own words are never logged; the words of a LOCAL failure are ours.
            why = failure.message if failure.kind is FailureKind.LOCAL else failure.label
            _logger.warning("backend %s is left alone for %g s: %s", name, failure.cool_off_s, why)
        self._cool_offs.add(name, model, failure.gate, failure)

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
        for key in self._records.keys() - kept:
            del self._records[key]
            self._unwell.discard(key)
        if self._cool_offs is not None:
            self._cool_offs.keep(kept)
        names = {f"{backend}/{model}" for backend, model in kept if model is not None}
        self.latencies.keep(names)
        for seen in self._paces:
            for name in seen.keys() - names:
                del seen[name]
        self.returns.keep(names)
        same = {backend for backend, model in kept if model is None}
        self.warmths.keep([name for name in same if policy.backends[name].cold_start is not None])
        self.loads.follow(policy, same)
        self.uses.keep(same)
        self.totals.keep(policy.backends)
        self.slots.follow(policy.backends, same, policy.loaded)
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

    @property
    def breakers(self) -> Mapping[Key, BreakerState]:
        """The breakers that have something to say: not closed, or failures since the last success."""
        return {key: self._records[key].breaker for key in self._unwell}

    @property
    def unwell(self) -> Collection[Key]:
        """The (backend, model) of those."""
        return self._unwell

    def under_way(self, backend: str) -> int:
        """How many requests are under way there."""
        return self._in_flight.get(backend, 0)

    def busy(self, backend: str) -> bool:
        """Whether requests are under way there."""
        return backend in self._in_flight

    @property
    def ailing(self) -> frozenset[str]:
        """Backends with an open breaker whose time is not over: after it, the next request is the probe."""
        now_s = self._now_s()
        states = ((key[0], self._records[key].breaker) for key in self._unwell)
        return frozenset(
            name for name, state in states if state.phase is Phase.OPEN and now_s < state.until_s
        )

    def record(self, candidate: Candidate) -> Record:
        """Return what is remembered of a candidate."""
        return self._record((candidate.backend.name, candidate.model.name))

    def remembered(self, candidate: Candidate) -> Record | None:
        """Return the same without making one: None if it was never asked. Any thread may look."""
        return self._records.get((candidate.backend.name, candidate.model.name))

    def pace(self, candidate: Candidate, *, stream: bool) -> Pace | None:
        """Return how long a candidate lets one wait; None: not measured."""
        return self._paces[stream].get(candidate.name)

    def gate(self, candidate: Candidate) -> Closed | None:
        """Return the gate that refuses a candidate now, or None."""
        if self._cool_offs is None:
            return None
        return self._cool_offs.gate(candidate.backend.name, candidate.model.name)

    @property
    def gated(self) -> Collection[str]:
        """Backends of which any gate is closed."""
        return () if self._cool_offs is None else self._cool_offs.backends

    def _record(self, key: Key) -> Record:
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record()
        return record

    def _settle(self, permit: Permit, effect: BreakerEffect, now_s: float, *, slow: bool) -> None:
        candidate, record = permit.candidate, permit.record
        key = (candidate.backend.name, candidate.model.name)
        if self._records.get(key) is not record:
            return  # another policy has no such endpoint any more
        before = record.breaker
        jitter = 0.5 if effect is BreakerEffect.SUCCESS and not slow else self._draw()
        record.settle(
            self._config,
            permit.generation,
            effect,
            now_s,
            jitter=jitter,
            slow=slow,
            number=permit.number,
        )
        if record.unwell:
            self._unwell.add(key)
        elif self._unwell:
            self._unwell.discard(key)
        if record.breaker.phase is not before.phase:  # last: who hears of it looks at who is unwell
            self._changed(candidate, before, record.breaker)

    def _changed(self, candidate: Candidate, before: BreakerState, after: BreakerState) -> None:
        if after.phase is Phase.CLOSED:
            self.returns.begin(candidate.name)
        if self.tell is not None:
            self.tell(candidate, before, after)

    def _slot_freed(
        self, name: str, permit: Permit, effect: BreakerEffect, failure: Failure | None
    ) -> None:
        answered = effect is BreakerEffect.SUCCESS
        if answered:
            self.slots.held(name, self._now_s() - permit.taken_at_s)
        overload = failure is not None and failure.overload
        self.slots.ended(name, overload=overload, answered=answered)
        self.slots.freed(name)
