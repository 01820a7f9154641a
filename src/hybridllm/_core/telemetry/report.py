"""What a server tells of its load, as a value: nothing in it is ours, and nothing in it is guessed."""

from __future__ import annotations

from dataclasses import dataclass


class TelemetryProblem(ValueError):
    """What a server sent is no report: too large, or not what it should be. Holds no word of it."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One report. What it does not tell, or tells senselessly, is None, never 0.

    Attributes:
        server: Whose words they are: `vllm`, `sglang`, `tgi`, `llama.cpp`; empty: nobody's that is known.
        running: Requests that it works on, all engines together.
        waiting: Requests in its queue, all engines together.
        kv_used: Share of its KV cache in use, 0 to 1; of several engines the fullest.
        prompt_tokens: Prompt tokens processed since it started; a counter, as are those that follow.
        generation_tokens: Tokens generated.
        steps: A counter that moves with each step of its work, if it has any; where it stands still although
            requests run, nothing is done.
        cache_queries: Prompt tokens looked up in its prefix cache.
        cache_hits: Of them, found there.
        cache_hit_rate: The share found lately, 0 to 1, where it tells only that.
        kv_tokens: Tokens that its KV cache holds, all engines together.
        engines: Behind one address.
        asleep: Whether it sleeps.
        born: When its counters began, as it says itself: another value is another process.
    """

    server: str = ""
    running: float | None = None
    waiting: float | None = None
    kv_used: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    steps: float | None = None
    cache_queries: float | None = None
    cache_hits: float | None = None
    cache_hit_rate: float | None = None
    kv_tokens: int | None = None
    engines: int = 1
    asleep: bool | None = None
    born: float | None = None

    @property
    def tells(self) -> bool:
        """Whether there is anything of load in it."""
        return not (self.running is None and self.waiting is None and self.kv_used is None)

    @property
    def tokens(self) -> float | None:
        """Tokens processed since it started, prompt and generation; None: one of the two is not told."""
        if self.prompt_tokens is None or self.generation_tokens is None:
            return None
        return self.prompt_tokens + self.generation_tokens


NOTHING_TOLD = LoadReport()
