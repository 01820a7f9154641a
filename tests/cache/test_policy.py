"""The response cache in a policy file."""

from __future__ import annotations

import pytest

from cache.worlds import cached
from hybridllm import PolicyError, Router
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.cache.rule import Cache

KEYS = {"KEY": "sk-test-0123456789abcdef"}


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("{}", Cache(3_600, 10_000, 67_108_864)),
        ("{ttl: 30m, entries: 5K, bytes: 512K, when: always}", Cache(1_800, 5_000, 524_288, True)),
        ("{entries: 20_000}", Cache(3_600, 20_000, 67_108_864)),
        ("{entries: 7, bytes: 1000000}", Cache(3_600, 7, 1_000_000)),
    ],
)
def test_a_cache_is_read(written: str, rule: Cache) -> None:
    """Times and sizes with their units."""
    policy, _ = load_policy_text(cached(written), environ=KEYS)
    assert policy.routes[1].cache == rule


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{ttl: 10}", "is not a duration"),
        ("{bytes: 1T}", "is not a size"),
        ("{bytes: 1K}", "out of range: from 64K"),
        ("{entries: 0}", "out of range"),
        ("{entries: many}", "is not a number of answers"),
        ("{when: sometimes}", "temperature_0"),
        ("{size: 5}", "size"),
        ("true", "must be"),
    ],
)
def test_what_is_no_cache_is_refused_in_words(written: str, words: str) -> None:
    """At its place, with what is allowed."""
    with pytest.raises(PolicyError, match=words):
        load_policy_text(cached(written), environ=KEYS)


def test_a_cache_that_can_keep_nothing_is_doubted() -> None:
    """Every request carries the default tag, and no tag allows it."""
    text = cached(top="default_residency: phi").replace("cache: true", "taint: false")
    told = "\n".join(map(str, load_policy_text(text, environ=KEYS)[1]))
    assert "cache: has no effect: no request is without a tag" in told
    assert "has no effect" not in "\n".join(
        map(str, load_policy_text(cached(top="default_residency: phi"), environ=KEYS)[1])
    )


def test_explain_says_what_is_kept() -> None:
    """And nothing of a request whose tag does not allow it."""
    router = Router.from_text(cached("{ttl: 10m}"), environ=KEYS)
    assert "cache: answers to requests with temperature 0 are kept for 600 s" in str(
        router.explain(task="t")
    )
    assert router.explain(residency="phi").to_dict()["cache"] is None
    assert router.explain(residency="eu").to_dict()["cache"] is not None
