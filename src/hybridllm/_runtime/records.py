"""What is remembered of one candidate, and how one attempt changes it: values in one place each.

The values and their transitions are `_core.resilience`'s; here they are put in place of each other. What
nearly every request does, to be sent and to succeed, is counted, and put into the values once a second or
when they are looked at: nothing but the number matters.
"""

from __future__ import annotations

from math import exp

from hybridllm._core.affinity.cached import NOTHING_TOLD, after_usage
from hybridllm._core.money.usage import Usage
from hybridllm._core.resilience import breaker
from hybridllm._core.resilience.breaker import BreakerConfig, BreakerState, Phase
from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm._core.resilience.pace import Pace, after_answer
from hybridllm._core.resilience.throttle import UNTRIED, Throttle, after_accepted, after_sent

SLOW_TIMES, SLOW_S_MIN = 5.0, 2.0
"""A first token is slow that takes so many times the usual, and so many seconds."""

_USUAL_MEMORY_S = 300.0
_COUNTED_S = 1.0  # far below what a throttle remembers
_PRISTINE = BreakerState()


class Record:
    """One candidate.

    Attributes:
        pace: To a whole answer; `first_token_pace` to a stream's first token. None: never measured.
        usual_s: To a first token, over minutes; 0: never measured.
        failed: (label, monotonic seconds) of the last failure that counted; None: none yet.
        begun: Attempts so far.
        cached: How much of its prompts was cached, as its answers tell.
    """

    __slots__ = (
        "_accepted",
        "_good",
        "_good_at_s",
        "_sent",
        "_throttle",
        "_usual_at_s",
        "begun",
        "breaker",
        "cached",
        "failed",
        "first_token_pace",
        "pace",
        "usual_s",
    )

    def __init__(self) -> None:
        self.breaker: BreakerState = _PRISTINE
        self.failed: tuple[str, float] | None = None
        self.begun = 0
        self._throttle: Throttle = UNTRIED
        self._sent: tuple[int, float] = (
            0,
            0.0,
        )  # since the throttle was made, and when the last was
        self._accepted: tuple[int, float] = (0, 0.0)
        self._good = 0  # successes of the second of `_good_at_s` that are not in the window yet
        self._good_at_s = 0.0
        self.pace: Pace | None = None
        self.first_token_pace: Pace | None = None
        self.usual_s = 0.0
        self._usual_at_s = 0.0
        self.cached = NOTHING_TOLD

    @property
    def unwell(self) -> bool:
        """Whether its breaker has anything to say: it is not closed, or the last attempts failed."""
        return self.breaker.phase is not Phase.CLOSED or self.breaker.row > 0

    @property
    def throttle(self) -> Throttle:
        """How many requests were sent there, and how many it answered."""
        (sent, sent_at_s), (accepted, accepted_at_s) = self._sent, self._accepted
        if sent:
            self._throttle = after_sent(self._throttle, sent_at_s, count=sent)
            self._sent = (0, 0.0)
        if accepted:
            self._throttle = after_accepted(self._throttle, accepted_at_s, count=accepted)
            self._accepted = (0, 0.0)
        return self._throttle

    def admit(self, config: BreakerConfig, now_s: float) -> breaker.Permit | None:
        """Ask the breaker for one attempt; None: it refuses."""
        if now_s - self._throttle.at_s >= _COUNTED_S:
            _ = self.throttle
        self._sent = (self._sent[0] + 1, now_s)
        self.begun += 1
        if self.breaker.phase is Phase.CLOSED:
            return self.breaker.generation
        self.breaker, permit = breaker.admit(self.breaker, config, now_s)
        return permit

    def good(self, permit: breaker.Permit | None, now_s: float) -> bool:
        """Take back the permit of an attempt that succeeded, if that changes nothing but a number."""
        state = self.breaker
        if state.phase is not Phase.CLOSED or state.row or permit != state.generation:
            return False
        self._accepted = (self._accepted[0] + 1, now_s)
        if int(now_s) != int(self._good_at_s):
            self.count_good()
        self._good += 1
        self._good_at_s = now_s
        return True

    def count_good(self) -> None:
        """Put the successes that were counted into the breaker's window."""
        if self._good:
            self.breaker = breaker.after_successes(self.breaker, self._good, self._good_at_s)
            self._good = 0

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
        self.count_good()
        if effect is BreakerEffect.SUCCESS:
            self._accepted = (self._accepted[0] + 1, now_s)
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

    def used(self, usage: Usage, now_s: float) -> None:
        """Note what an answer says that it used."""
        if usage.cached_input_tokens is not None:
            self.cached = after_usage(self.cached, usage, now_s)

    def refresh(self) -> None:
        """Close the breaker: it is another server now, as far as anybody knows."""
        self.breaker = BreakerState(generation=breaker.Permit(self.breaker.generation + 1))
        self._good = 0

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
