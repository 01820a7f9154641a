"""How much of what a candidate reads it had read before: cached prompt tokens, as its answers tell.

A backend that does not tell is unknown, not cold: vLLM tells only with `--enable-prompt-tokens-details`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from hybridllm._core.money.usage import Usage, UsageSource

MEMORY_S = 300.0
"""An answer counts this long, in the mean, for what is so lately."""


@dataclass(frozen=True, slots=True)
class Cached:
    """Of the answers that told it, since the first one.

    Attributes:
        prompt_tokens: All of them together.
        cached_tokens: Those of them that were cached.
        prompt_tokens_lately: The same, older answers counting less and less, as it was at `at_s`.
        cached_tokens_lately: So were these.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompt_tokens_lately: float = 0.0
    cached_tokens_lately: float = 0.0
    at_s: float = 0.0

    @property
    def share_lately(self) -> float | None:
        """What share of the prompts' tokens was cached lately; None: nobody has told yet."""
        if not self.prompt_tokens_lately:
            return None
        return self.cached_tokens_lately / self.prompt_tokens_lately


NOTHING_TOLD = Cached()


def after_usage(cached: Cached, usage: Usage, now_s: float) -> Cached:
    """Return what is known after one more answer."""
    tokens = usage.cached_input_tokens
    if tokens is None or usage.source is not UsageSource.PROVIDER or not usage.input_tokens:
        return cached
    old = exp(min(0.0, cached.at_s - now_s) / MEMORY_S)
    return Cached(
        cached.prompt_tokens + usage.input_tokens,
        cached.cached_tokens + tokens,
        cached.prompt_tokens_lately * old + usage.input_tokens,
        cached.cached_tokens_lately * old + tokens,
        now_s,
    )
