"""The right to make one attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridllm._core.resilience.breaker import Permit as Generation
from hybridllm._core.resilience.breaker import Phase

if TYPE_CHECKING:
    from hybridllm._core.money.usage import Usage
    from hybridllm._core.policy.compiled import Candidate
    from hybridllm._core.resilience.outcome import BreakerEffect, Failure
    from hybridllm._runtime.fleet import Fleet
    from hybridllm._runtime.records import Record


class Permit:
    """The right to make one attempt. Handed back exactly once, however the attempt ends.

    Attributes:
        generation: Of the breaker, when it was given; None: the breaker refused, and nobody else was left.
        phase: Of the breaker, when it was given.
        turn: Of the policy, then.
        taken_at_s: Monotonic.
        number: Of the attempt, among those of its candidate.
        record: Of its candidate.
        slow: Whether its first token took far longer than usual.
        has_proved: Whether its success was told with its first token: its end is not told once more.
    """

    __slots__ = (
        "_fleet",
        "_out",
        "candidate",
        "generation",
        "has_proved",
        "number",
        "phase",
        "record",
        "slow",
        "taken_at_s",
        "turn",
    )

    def __init__(
        self,
        fleet: Fleet,
        candidate: Candidate,
        generation: Generation | None,
        phase: Phase,
        turn: int,
        taken_at_s: float,
        record: Record,
    ) -> None:
        self._fleet = fleet
        self._out = True
        self.candidate = candidate
        self.generation = generation
        self.phase = phase
        self.turn = turn
        self.taken_at_s = taken_at_s
        self.number = record.begun
        self.record = record
        self.slow = False
        self.has_proved = False

    def settle(
        self,
        effect: BreakerEffect,
        failure: Failure | None = None,
        *,
        now_s: float | None = None,
    ) -> None:
        """Hand it back and say how it went; a second call does nothing."""
        out, self._out = self._out, False
        if out:
            self._fleet.give_back(self, effect, failure, now_s)

    def used(self, usage: Usage, now_s: float) -> None:
        """Note what an answer says that it used."""
        self.record.used(usage, now_s)
        if self._fleet.loads:
            self._fleet.loads.used(self, usage.input_tokens + usage.output_tokens, now_s)

    def proved(self) -> None:
        """Say that the stream has brought its first token. The permit stays out."""
        if self._out and self.phase is Phase.HALF_OPEN:
            self.has_proved = True
            self._fleet.proved(self)

    @property
    def stands(self) -> bool:
        """False once another policy has put something else in its endpoint's place.

        What such an attempt tells of the endpoint holds for nobody any more.
        """
        return self._fleet.stands(self.candidate, self.turn)
