"""What is wanted of latency, how long who may take, and when a second backend is asked."""

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


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; each is also clipped to what is left of the request's deadline.

    Attributes:
        total_s: The whole request, retries and stream included, unless the caller sets a deadline.
        connect_s: DNS, TCP and TLS of one attempt.
        first_token_s: From sending to the first semantic token of a stream.
        idle_s: Between two semantic tokens of a stream.
        attempt_s: One non-stream attempt; None: an equal share of the time left.
    """

    total_s: float = 60.0
    connect_s: float = 2.0
    first_token_s: float = 10.0
    idle_s: float = 20.0
    attempt_s: float | None = None
