"""Every prefix has an order of its own over the replicas, and nobody gets much more than its share."""

from __future__ import annotations

from collections import Counter
from math import ceil

import pytest

from hybridllm._core.affinity.key import prefix_of
from hybridllm._core.affinity.ring import IDLE_REQUESTS, place, requests_max

NAMES = [f"vllm-{number}" for number in range(6)]
PREFIXES = [prefix for number in range(3_000) if (prefix := prefix_of(f"s-{number}", []))]


def order(prefix: int, names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: place(prefix, name))


def test_each_replica_is_first_for_its_share_of_prefixes_and_second_too() -> None:
    """Of 3,000 over six about 500 each; of those of one, a fifth goes to each of the others."""
    first = Counter(order(prefix, NAMES)[0] for prefix in PREFIXES)
    assert all(420 <= first[name] <= 580 for name in NAMES)
    second = Counter(order(p, NAMES)[1] for p in PREFIXES if order(p, NAMES)[0] == NAMES[0])
    assert all(65 <= second[name] <= 140 for name in NAMES[1:])


def test_if_one_goes_only_its_own_prefixes_move() -> None:
    """Each to the next in its order; if it comes back they are there again."""
    for prefix in PREFIXES[:300]:
        before, after = order(prefix, NAMES), order(prefix, NAMES[1:])
        assert after == [name for name in before if name != NAMES[0]]


@pytest.mark.parametrize(
    ("under_way", "share", "expected"),
    [
        pytest.param(0, 0.25, IDLE_REQUESTS, id="idle"),
        pytest.param(8, 0.25, 3, id="little-to-do"),
        pytest.param(9, 0.25, 4, id="more"),
        pytest.param(79, 0.25, 25, id="a-quarter-more-than-its-share"),
        pytest.param(80, 0.25, 26, id="one-more"),
        pytest.param(100, 0.05, 7, id="just-back"),
    ],
)
def test_from_how_many_requests_on_a_replica_is_passed_over(
    under_way: int, share: float, expected: int
) -> None:
    """1.25 times its share of all, the new one counted in, rounded up; a few are no load."""
    assert requests_max(under_way, share) == expected


def test_whoever_comes_somebody_is_below_the_bound() -> None:
    """Even if all requests belong to one prefix: the least loaded always is."""
    for under_way in range(200):
        assert under_way // 4 < requests_max(under_way, 0.25)
        assert requests_max(under_way, 0.25) <= max(3, ceil(1.25 * (under_way + 1) / 4))
