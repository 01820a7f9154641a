"""What is wanted of latency, and when a second backend is asked to keep it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slo:
    """A latency objective: percentile -> milliseconds. Empty: no objective.

    Attributes:
        ttft_ms: Time to a stream's first token.
        total_ms: Time to a whole answer.
    """

    ttft_ms: tuple[tuple[int, float], ...] = ()
    total_ms: tuple[tuple[int, float], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ttft_ms or self.total_ms)


NO_SLO = Slo()


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a second backend is asked for the same, before the first has answered.

    Attributes:
        percentile: Of measured waits, after which it is; None: after `after_s`.
        prompt_tokens_max: Longer prompts are not hedged; None: all are.
    """

    percentile: int | None = 95
    after_s: float = 0.0
    prompt_tokens_max: int | None = None
