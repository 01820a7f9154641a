"""A backend's `usage` object, read without trusting it.

Owns what counts as a count. Absent is not zero, and a lie is absent: what is negative, not whole,
not finite, beyond any context, a string or a truth value is unknown. An integral float is a count
(`5.0`: proxies that hold all numbers as floats write that). If one of the two main counts is
unknown, so is the usage: the caller estimates and says so, and never adds up half of it.
"""

from __future__ import annotations

from hybridllm._core.money.usage import TOKENS_MAX, Usage


def read_usage(usage: object) -> Usage | None:
    """Return what a parsed `usage` object reports, or None if that cannot be relied on.

    Embedding answers have no completion tokens: these are then the rest of `total_tokens`, and
    without that unknown. Cached and reasoning tokens are parts of the main counts; a part larger
    than its whole is dropped, not clipped: a clipped one would bill the whole prompt as cached.
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
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=_part(usage.get("prompt_tokens_details"), "cached_tokens", prompt),
        reasoning_tokens=_part(
            usage.get("completion_tokens_details"), "reasoning_tokens", completion
        ),
    )


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
