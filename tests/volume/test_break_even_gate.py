"""Break-even: what the traffic of the last 30 days would cost at APIs, against own machines, with dwell."""

from __future__ import annotations

import logging

import pytest

from hybridllm import Policy
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._runtime.volumes import Volumes
from hybridllm.testing import FakeClock
from volume.counted import attempt, policy, receipt, text

DAY_S = 86_400.0
CAPACITY = "price: free, capacity: {usd_per_month: 1500, tokens_per_second: 100000}"
# At 1 and 2 USD a million, 25 M in and 12.5 M out cost 50 USD a day and 1,522 a month.
EVEN = (25_000_000, 12_500_000)


def rules(when: str = "break_even: above") -> Policy:
    return policy(when, capacity=CAPACITY)


def counting(policy: Policy) -> tuple[Volumes, FakeClock]:
    clock = FakeClock()
    volumes = Volumes(policy, clock=clock)
    volumes.begin()
    return volumes, clock


def a_day(volumes: Volumes, clock: FakeClock, times: float, cached: int | None = None) -> bool:
    """Count a day's traffic, so many times that of break-even; return whether the condition holds then."""
    tokens = (int(EVEN[0] * times), int(EVEN[1] * times))
    volumes.count(receipt(attempt(tokens, cached=cached)), clock.monotonic_s())
    clock.advance(DAY_S)
    return bool(volumes.held(clock.monotonic_s(), tenant=None, task=None))


def test_a_week_of_whole_days_stands_for_a_month_and_less_for_nothing() -> None:
    """Missing history is no yes."""
    volumes, clock = counting(rules())
    assert [a_day(volumes, clock, 2.0) for _ in range(8)] == [False] * 6 + [True] * 2


def test_it_begins_and_ends_a_tenth_beyond_break_even() -> None:
    """Between them it stays as it is."""
    volumes, clock = counting(rules())
    assert not any(a_day(volumes, clock, 1.08) for _ in range(30))
    assert not a_day(volumes, clock, 1.2)
    assert [a_day(volumes, clock, 2.2) for _ in range(2)] == [True, True]  # 1.14 and 1.18 times
    assert all(a_day(volumes, clock, 0.0) for _ in range(7))  # down to 0.92
    assert not any(a_day(volumes, clock, 0.0) for _ in range(6))


def test_below_holds_when_machines_cost_more() -> None:
    """The other side of the same sums."""
    volumes, clock = counting(rules("break_even: below"))
    assert [a_day(volumes, clock, 0.5) for _ in range(8)] == [False] * 6 + [True] * 2


def test_cached_prompts_are_weighed_as_cached() -> None:
    """Their share is that of the answers which told of it."""
    cheap = "price: {input_per_1m: 1, output_per_1m: 2, cached_input_per_1m: 0}"
    priced = text("break_even: above", capacity=CAPACITY).replace(
        "price: {input_per_1m: 1, output_per_1m: 2}, on: {api: m", f"{cheap}, on: {{api: m"
    )
    volumes, clock = counting(load_policy_text(priced, name="test", environ={})[0])
    assert not any(a_day(volumes, clock, 1.5, int(EVEN[0] * 1.5)) for _ in range(8))
    (standing,) = volumes.standings()
    assert standing.reading.now == pytest.approx(1.5 / 2, rel=0.02)


def test_the_crossing_is_told_with_its_sums(caplog: pytest.LogCaptureFixture) -> None:
    """Who reads it in the log need not work anything out."""
    volumes, clock = counting(rules())
    with caplog.at_level(logging.INFO, "hybridllm"):
        while not a_day(volumes, clock, 2.0):
            pass
    (crossing,) = volumes.crossings.latest
    assert crossing.holds
    assert crossing.text in caplog.text
    assert crossing.text.startswith("break_even above: holds now: ")
    assert "3,04" in crossing.text  # 2 x 1,522 USD
    assert "1,500" in crossing.text
