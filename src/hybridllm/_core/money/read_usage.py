"""A backend's `usage` object, read without trusting it.

Owns what counts as a count. Absent is not zero, and a lie is absent: what is negative, not whole,
not finite, beyond any context, a string or a truth value is unknown. An integral float is a count
(`5.0`: proxies that hold all numbers as floats write that). If one of the two main counts is
unknown, so is the usage: the caller estimates and says so, and never adds up half of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hybridllm._core.money.pico import to_pico
from hybridllm._core.money.usage import TOKENS_MAX, Usage

COST_USD_MAX = 1_000_000  # of one attempt; a larger one is a lie or another unit


def read_usage(usage: object) -> Usage | None:
    """Return what a parsed `usage` object reports, or None if that cannot be relied on.

    Embedding answers have no completion tokens: these are then the rest of `total_tokens`, and
    without that unknown. Cached, cache-written and reasoning tokens are parts of the main counts; a part
    larger than its whole is dropped, not clipped: a clipped one would bill the whole prompt as cached. So
    are written ones that the cached ones leave no room for.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage.get("prompt_tokens"))
    if prompt is None:
        return None
    reported = usage.get("completion_tokens")
    completion = _count(reported)
    if reported is None:
        total = _count(usage.get("total_tokens"))
        completion = None if total is None or total < prompt else total - prompt
    if completion is None:
        return None
    cached = _part(usage.get("prompt_tokens_details"), "cached_tokens", prompt)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=cached,
        reasoning_tokens=_part(
            usage.get("completion_tokens_details"), "reasoning_tokens", completion
        ),
        cache_write_tokens=_written(usage, prompt - (cached or 0)),
        provider_cost_usd=_cost_usd(usage.get("cost")),
    )


def _written(usage: dict[str, Any], whole: int) -> int | None:
    """Tokens written into a cache: as OpenRouter says them, as proxies do for Anthropic, or below that."""
    details = usage.get("prompt_tokens_details")
    for holder, name in (
        (details, "cache_write_tokens"),
        (details, "cache_creation_tokens"),
        (usage, "cache_creation_input_tokens"),
    ):
        written = _part(holder, name, whole)
        if written is not None:
            return written
    return None


def _cost_usd(value: object) -> Decimal | None:
    """What a backend says that it charges, `usage.cost`: a number of USD, as it was written."""
    if type(value) is not float and type(value) is not int:
        return None
    return to_pico(Decimal(repr(value))) if 0 <= value <= COST_USD_MAX else None


def _count(value: object) -> int | None:
    if type(value) is float:
        # NaN fails the comparison; an infinity fails one side of it.
        return int(value) if 0 <= value <= TOKENS_MAX and value.is_integer() else None
    if type(value) is int and 0 <= value <= TOKENS_MAX:
        return value
    return None


def _part(details: object, name: str, whole: int) -> int | None:
    if not isinstance(details, dict):
        return None
    part = _count(details.get(name))
    return None if part is None or part > whole else part
