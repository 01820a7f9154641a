"""What is remembered of one candidate, and how one attempt changes it: values in one place each.

The values and their transitions are `_core.resilience`'s; here they are put in place of each other.
"""

from __future__ import annotations

from math import exp

from hybridllm._core.resilience import breaker
from hybridllm._core.resilience.breaker import BreakerConfig, BreakerState, Phase
from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm._core.resilience.pace import Pace, after_answer
from hybridllm._core.resilience.throttle import UNTRIED, Throttle, after_accepted, after_sent

SLOW_TIMES, SLOW_S_MIN = 5.0, 2.0
"""A first token is slow that takes so many times the usual, and so many seconds."""

_USUAL_MEMORY_S = 300.0
_PRISTINE = BreakerState()


class Record:
    """One candidate.

    Attributes:
        pace: To a whole answer; `first_token_pace` to a stream's first token. None: never measured.
        usual_s: To a first token, over minutes; 0: never measured.
        failed: (label, monotonic seconds) of the last failure that counted; None: none yet.
        begun: Attempts so far.
    """

    __slots__ = (
        "_usual_at_s",
        "begun",
        "breaker",
        "failed",
        "first_token_pace",
        "pace",
        "throttle",
        "usual_s",
    )

    def __init__(self) -> None:
        self.breaker: BreakerState = _PRISTINE
        self.failed: tuple[str, float] | None = None
        self.begun = 0
        self.throttle: Throttle = UNTRIED
        self.pace: Pace | None = None
        self.first_token_pace: Pace | None = None
        self.usual_s = 0.0
        self._usual_at_s = 0.0

    @property
    def unwell(self) -> bool:
        """Whether its breaker has anything to say: it is not closed, or the last attempts failed."""
        return self.breaker.phase is not Phase.CLOSED or self.breaker.row > 0

    def admit(self, config: BreakerConfig, now_s: float) -> breaker.Permit | None:
        """Ask the breaker for one attempt; None: it refuses."""
        self.throttle = after_sent(self.throttle, now_s)
        self.begun += 1
        if self.breaker.phase is Phase.CLOSED:
            return self.breaker.generation
        self.breaker, permit = breaker.admit(self.breaker, config, now_s)
        return permit

    def settle(
        self,
        config: BreakerConfig,
        permit: breaker.Permit | None,
        effect: BreakerEffect,
        now_s: float,
        *,
        jitter: float,
        slow: bool,
        number: int,
    ) -> None:
        """Take an attempt's permit back; `number` is what `begun` was when it began."""
        if effect is BreakerEffect.SUCCESS:
            self.throttle = after_accepted(self.throttle, now_s)
        self.breaker = breaker.settle(
            self.breaker,
            config,
            permit,
            effect,
            now_s,
            jitter=jitter,
            slow=slow,
            number=number,
            begun=self.begun,
        )

    def answered(self, seconds: float, now_s: float) -> None:
        """Note how long a whole answer took."""
        self.pace = after_answer(self.pace, seconds, now_s)

    def first_token(self, seconds: float, now_s: float) -> bool:
        """Note how long a first token took; return whether that was slow."""
        self.first_token_pace = after_answer(self.first_token_pace, seconds, now_s)
        usual_s = self.usual_s
        slow = seconds > SLOW_S_MIN and usual_s > 0.0 and seconds > SLOW_TIMES * usual_s
        if usual_s == 0.0:
            self.usual_s = seconds
        else:
            new = 1.0 - exp(min(0.0, self._usual_at_s - now_s) / _USUAL_MEMORY_S)
            self.usual_s = usual_s + (seconds - usual_s) * new
        self._usual_at_s = now_s
        return slow
