"""How much of what a candidate read it had read before."""

from __future__ import annotations

import pytest

from hybridllm._core.affinity.cached import MEMORY_S, NOTHING_TOLD, Cached, after_usage
from hybridllm._core.money.usage import Usage, UsageSource


def told(prompt: int, cached: int | None, source: UsageSource = UsageSource.PROVIDER) -> Usage:
    return Usage(prompt, 5, cached, source=source)


def test_the_share_is_that_of_tokens_not_of_requests() -> None:
    """A long prompt counts for more."""
    cached = after_usage(NOTHING_TOLD, told(100, 0), 1.0)
    assert cached.share_lately == 0.0
    cached = after_usage(cached, told(900, 800), 1.0)
    assert cached == Cached(1_000, 800, 1_000.0, 800.0, 1.0)
    assert cached.share_lately == 0.8


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param(told(100, None), id="not-told"),
        pytest.param(told(100, 90, UsageSource.ESTIMATED), id="estimated"),
        pytest.param(told(0, 0), id="no-prompt"),
    ],
)
def test_who_does_not_tell_is_unknown_not_cold(usage: Usage) -> None:
    """Nothing is divided by nothing, and nothing is taken for 0."""
    assert after_usage(NOTHING_TOLD, usage, 1.0) is NOTHING_TOLD
    assert NOTHING_TOLD.share_lately is None


def test_what_is_long_ago_fades_and_the_sums_stay() -> None:
    """After a restart of the server the share is soon the new one."""
    warm = after_usage(NOTHING_TOLD, told(1_000, 1_000), 0.0)
    cold = after_usage(warm, told(1_000, 0), 5 * MEMORY_S)
    assert (cold.prompt_tokens, cold.cached_tokens) == (2_000, 1_000)
    assert cold.share_lately == pytest.approx(0.0067, abs=0.001)
    back = after_usage(warm, told(1_000, 0), -50.0)  # a clock that steps back makes nothing of it
    assert back.share_lately == 0.5
