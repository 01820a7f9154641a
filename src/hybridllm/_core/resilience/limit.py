"""How many requests a backend may have at once: fixed, or found by watching how soon first tokens come.

An overloaded server of language models does not refuse, it queues: its first tokens come later. So the limit
shrinks by a tenth when a first token takes three times as long as is usual there for a prompt of that length,
or does not come at all, or when the backend says 429 or 503; and grows by one while it is made use of. Both
at most once a second. It never probes by sending less than is wanted.

Total time says nothing here: it depends on how long the answer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")

EVERY_S = 1.0
SHRINK = 0.9
SLOW = 3.0
"""Times the usual that make a first token a sign of overload."""

_USUAL_WEIGHT = 0.05  # of one sample; the first few count for more
_LENGTHS = (1_024, 4_096, 16_384)  # prompt tokens; longer prompts take longer to read


@dataclass(frozen=True, slots=True)
class Concurrency:
    """What the policy says: `concurrency: auto`, `64`, or `{start, min, max}`.

    Attributes:
        start: The limit at first.
        floor: The limit never shrinks below.
        ceiling: Nor grows above. All three alike: it is fixed.
    """

    start: int = 32
    floor: int = 4
    ceiling: int = 1_024

    @property
    def fixed(self) -> bool:
        """Whether it never changes."""
        return self.floor == self.ceiling


@dataclass(frozen=True, slots=True)
class LimitState:
    """The limit now.

    Attributes:
        limit: Requests at once; its whole part counts.
        shrunk_at_s: When it last shrank; so `grown_at_s`.
        usual_s: Seconds to a first token, by length of prompt; 0: not measured.
        samples: How many were measured, by length of prompt.
    """

    limit: float
    shrunk_at_s: float = float("-inf")
    grown_at_s: float = float("-inf")
    usual_s: tuple[float, ...] = (0.0,) * (len(_LENGTHS) + 1)
    samples: tuple[int, ...] = (0,) * (len(_LENGTHS) + 1)


def new_limit(config: Concurrency) -> LimitState:
    """Return the limit at first."""
    return LimitState(float(config.start))


def after_first_token(
    state: LimitState,
    config: Concurrency,
    seconds: float,
    *,
    prompt_tokens: int,
    in_flight: int,
    now_s: float,
) -> LimitState:
    """Return the limit after a stream's first token came."""
    if config.fixed:
        return state
    place = sum(prompt_tokens > length for length in _LENGTHS)
    usual, count = state.usual_s[place], state.samples[place]
    slow = count >= 5 and seconds > SLOW * usual
    weight = max(_USUAL_WEIGHT, 1.0 / (count + 1))
    learnt = LimitState(
        state.limit,
        state.shrunk_at_s,
        state.grown_at_s,
        _with(state.usual_s, place, usual + (seconds - usual) * weight),
        _with(state.samples, place, min(count + 1, 1_000)),
    )
    if slow:
        return after_overload(learnt, config, now_s=now_s)
    return after_answer(learnt, config, in_flight=in_flight, now_s=now_s)


def after_answer(
    state: LimitState, config: Concurrency, *, in_flight: int, now_s: float
) -> LimitState:
    """Return the limit after an answer: it grows while half of it is used."""
    if config.fixed or state.limit >= config.ceiling or 2 * in_flight < state.limit:
        return state
    if now_s - max(state.grown_at_s, state.shrunk_at_s) < EVERY_S:
        return state
    return LimitState(
        min(config.ceiling, state.limit + 1.0),
        state.shrunk_at_s,
        now_s,
        state.usual_s,
        state.samples,
    )


def after_overload(state: LimitState, config: Concurrency, *, now_s: float) -> LimitState:
    """Return the limit after a sign of overload: a first token that was slow or never came, a 429, a 503."""
    if config.fixed or now_s - state.shrunk_at_s < EVERY_S:
        return state
    return LimitState(
        max(float(config.floor), state.limit * SHRINK),
        now_s,
        state.grown_at_s,
        state.usual_s,
        state.samples,
    )


def _with(values: tuple[_T, ...], place: int, value: _T) -> tuple[_T, ...]:
    return (*values[:place], value, *values[place + 1 :])
