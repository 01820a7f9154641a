"""A dead candidate is left alone within half a minute; one that half works is not."""

from __future__ import annotations

import itertools
import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.throttle import (
    ADMITTED_MIN,
    UNTRIED,
    Throttle,
    admitted_share,
    after_accepted,
    after_sent,
)


def seen(sent: float, accepted: float, *, sent_at_s: float = 100.0) -> Throttle:
    """So many were counted by 100 s."""
    return Throttle(sent, accepted, 100.0, sent_at_s, 0.0)


@pytest.mark.parametrize(
    ("sent", "accepted", "share"),
    [
        pytest.param(0.0, 0.0, 1.0, id="nothing-known"),
        pytest.param(100.0, 100.0, 1.0, id="well"),
        pytest.param(100.0, 50.0, 1.0, id="half"),
        pytest.param(100.0, 49.0, 1.0 - 2 / 101, id="just-under-half"),
        pytest.param(100.0, 25.0, 1.0 - 50 / 101, id="a-quarter"),
        pytest.param(1.0, 0.0, 0.5, id="the-first-failed"),
        pytest.param(9.0, 0.0, 0.1, id="nine-failed"),
        pytest.param(48.0, 0.0, 1 / 49, id="just-over-the-floor"),
        pytest.param(1_000.0, 0.0, 0.02, id="never-under-the-floor"),
    ],
)
def test_the_share_that_is_admitted(sent: float, accepted: float, share: float) -> None:
    """Twice what was accepted passes; of the rest a share that falls to a fiftieth."""
    assert admitted_share(seen(sent, accepted), 100.0) == pytest.approx(share)
    assert ADMITTED_MIN == 0.02


@pytest.mark.parametrize(("now_s", "share"), [(100.999, 0.02), (101.0, 1.0), (500.0, 1.0)])
def test_one_a_second_always_passes(now_s: float, share: float) -> None:
    """However it did: a quiet service would never try otherwise."""
    assert admitted_share(seen(1_000.0, 0.0), now_s) == pytest.approx(share, rel=0.01)


def test_who_was_never_asked_is_admitted() -> None:
    assert admitted_share(UNTRIED, 0.0) == 1.0
    assert Throttle() == UNTRIED
    never = float("-inf")
    assert Throttle(0.0, 0.0, 0.0, never, never) == UNTRIED


def test_counts_fade_with_thirty_seconds() -> None:
    """Both counts, at each step; what was counted a moment ago counts whole."""
    old = Throttle(10.0, 4.0, 70.0, 70.0, 60.0)
    fade = exp(-1.0)
    sent = after_sent(old, 100.0)
    assert (sent.sent, sent.accepted) == (
        pytest.approx(10 * fade + 1),
        pytest.approx(4 * fade),
    )
    assert (sent.at_s, sent.sent_at_s, sent.accepted_at_s) == (100.0, 100.0, 60.0)
    accepted = after_accepted(old, 100.0)
    assert (accepted.sent, accepted.accepted) == (
        pytest.approx(10 * fade),
        pytest.approx(4 * fade + 1),
    )
    assert (accepted.at_s, accepted.sent_at_s, accepted.accepted_at_s) == (100.0, 70.0, 100.0)
    assert after_sent(old, 70.0).sent == 11.0
    share = admitted_share(Throttle(10.0, 1.0, 70.0, 99.5, 0.0), 100.0)
    assert share == pytest.approx(1.0 - 8.0 * fade / (10.0 * fade + 1.0))


def test_a_clock_that_is_behind_makes_nothing_grow() -> None:
    """Two readings may be in the wrong order; counts fade or stay."""
    assert after_sent(seen(10.0, 4.0), 90.0).sent == 11.0


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=60),
    st.floats(0, 2),
)
def test_the_share_is_always_a_share(steps: list[tuple[bool, float]], later_s: float) -> None:
    """Whatever came when; more accepted than sent included."""
    throttle, now_s = UNTRIED, 0.0
    for sent, waited_s in steps:
        now_s += waited_s
        throttle = (after_sent if sent else after_accepted)(throttle, now_s)
        assert ADMITTED_MIN <= admitted_share(throttle, now_s + later_s) <= 1.0


def outage(failing: float, *, seconds: int, per_s: int, seed: int) -> list[int]:
    """How many of each second's requests were sent, with this share of them failing at random."""
    draw = random.Random(seed).random
    throttle, sent = UNTRIED, []
    for second in range(seconds):
        sent.append(0)
        for number in range(per_s):
            now_s = second + number / per_s
            if draw() >= admitted_share(throttle, now_s):
                continue
            sent[-1] += 1
            throttle = after_sent(throttle, now_s)
            if draw() >= failing:
                throttle = after_accepted(throttle, now_s)
    return sent


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("failing", "least"), [(0.2, 0.99), (0.4, 0.99), (0.5, 0.9)])
def test_at_half_failing_it_does_not_feed_itself(failing: float, least: float, seed: int) -> None:
    """Two minutes at 100 a second: nearly everything goes on, and no less at the end."""
    sent = outage(failing, seconds=120, per_s=100, seed=seed)
    assert sum(sent) >= least * 12_000
    assert sum(sent[-30:]) >= (least - 0.05) * 3_000


@pytest.mark.parametrize("per_s", [20, 100, 500])
def test_with_all_failing_next_to_nothing_is_sent_within_half_a_minute(per_s: int) -> None:
    """Under a twentieth from there on; and yet at least every other second somebody tries."""
    sent = outage(1.0, seconds=90, per_s=per_s, seed=1)
    assert sum(sent[30:]) <= max(0.05 * 60 * per_s, 2 * 60)
    assert all(map(any, itertools.pairwise(sent)))


def test_after_an_outage_all_are_admitted_again_within_seconds() -> None:
    """What is accepted counts twice: it grows as soon as it may."""
    draw, now_s = random.Random(2).random, 0.0
    throttle = UNTRIED
    for _ in range(1_000):
        throttle = after_sent(throttle, now_s)
    for number in range(4_000):
        now_s = 0.5 + number / 100
        if draw() < admitted_share(throttle, now_s):
            throttle = after_accepted(after_sent(throttle, now_s), now_s)
    assert admitted_share(throttle, now_s) == 1.0
