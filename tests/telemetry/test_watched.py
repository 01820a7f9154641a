"""One backend whose load decides: its load, in words and figures."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from hybridllm._core.policy.hybrid import Capacity
from hybridllm._core.telemetry.report import LoadReport
from hybridllm._core.telemetry.watched import Watched
from telemetry.shared_server import backend

BUSY = LoadReport("vllm", 8, 3, 0.5, 100, 100, 200, cache_queries=100, cache_hits=50)
IDLE = LoadReport("vllm", 0, 0, 0.0, 0, 0, 0)


def watched(**saturation: float | None) -> Watched:
    return Watched(backend(**saturation))


def tell(one: Watched, report: LoadReport, now_s: float) -> None:
    one.told(report, one.asks(now_s), now_s)


def because(one: Watched, now_s: float, *, in_flight: int = 0) -> str:
    return one.judged(in_flight, now_s).saturated


def test_nothing_is_known_of_a_backend_that_told_nothing() -> None:
    """Unknown is None, and neither stale nor saturated."""
    one = watched()
    one.asks(0.0)
    one.told_nothing()
    load = one.judged(2, 100.0)
    assert (load.belief.running, load.belief.waiting, load.kv_used, load.wait_s) == (*(None,) * 4,)
    assert (load.saturated, load.stale) == ("", False)
    assert load.until_s == float("inf")


def test_one_that_told_something_once_and_nothing_lately_is_saturated() -> None:
    """Only while it is asked: when nobody asks, it cannot tell, and what it told is just not believed."""
    one = watched(stale_after_s=5.0)
    tell(one, IDLE, 10.0)
    load = one.judged(0, 14.9)
    assert (load.belief.waiting, load.stale, load.until_s) == (0, False, 15.0)
    load = one.judged(0, 15.1)
    assert (load.belief.waiting, load.stale, load.saturated) == (None, True, "nothing told for 5 s")
    one.asked_since_s = None
    load = one.judged(0, 100.0)
    assert (load.belief.waiting, load.stale, load.saturated) == (None, False, "")
    one.asks(100.0)
    assert one.judged(0, 105.0).until_s == 105.0
    assert because(one, 105.1) == "nothing told for 95 s"
    tell(one, IDLE, 106.0)
    assert because(one, 106.0) == ""


@pytest.mark.parametrize(
    ("saturation", "report", "in_flight", "why"),
    [
        ({"in_flight_max": 4}, IDLE, 3, ""),
        ({"in_flight_max": 4}, IDLE, 4, "4 requests under way, 4 may be"),
        ({}, replace(IDLE, asleep=True), 0, "it sleeps"),
        ({}, BUSY, 0, "about 3 waiting in its queue"),
        ({"waiting_max": 2}, BUSY, 0, "about 3 waiting in its queue"),
        ({"waiting_max": 3}, BUSY, 0, ""),
        ({"waiting_max": None}, BUSY, 0, ""),
        ({}, replace(IDLE, running=1, kv_used=0.89), 0, ""),
        ({}, replace(IDLE, running=1, kv_used=0.9), 0, "90% of its KV cache used"),
        ({"kv_used_max": None}, replace(IDLE, kv_used=1.0), 0, ""),
    ],
)
def test_a_backend_is_saturated_as_its_policy_says(
    saturation: dict[str, float | None],
    report: LoadReport,
    in_flight: int,
    why: str,
) -> None:
    """What is ours counts whatever the page says; running requests alone never do."""
    one = watched(**saturation)
    tell(one, report, 0.0)
    assert because(one, 0.5, in_flight=in_flight) == why


def test_slots_that_were_seen_are_not_overbooked_between_two_pages() -> None:
    """Eight slots, six taken: two more, and no slot is free; one has ended, and one is."""
    one = watched()
    for now_s in (0.0, 1.0):
        tell(one, BUSY, now_s)
    tell(one, replace(BUSY, running=6, waiting=0), 2.0)
    for key in (1, 2):
        assert because(one, 2.0) == ""
        one.begun(key, 100, 2.0, stream=False)
    assert because(one, 2.1, in_flight=2) == "no free slot known"
    one.over(1, 2.2, answered=True)
    assert because(one, 2.2, in_flight=1) == ""


def test_a_frozen_engine_is_saturated() -> None:
    """Its page says that one request runs, all is quiet, and nothing comes of it."""
    one = watched()
    one.begun(1, 100, 0.0, stream=True)
    for second in range(8):
        tell(one, replace(BUSY, running=1, waiting=0), second + 0.5)
    assert because(one, 7.5, in_flight=1) == "no progress for 7 s"
    tell(one, replace(BUSY, running=1, waiting=0, steps=300), 8.5)
    assert because(one, 8.5, in_flight=1) == ""


def test_our_own_overdue_requests_go_before_what_a_page_says() -> None:
    """And the oldest of them shows how long one waits."""
    one = watched()
    tell(one, IDLE, 0.0)
    one.begun(1, 100, 0.0, stream=True)
    one.first_token(1, 100, 0.1, 0.1)
    for key in (2, 3):
        one.begun(key, 100, 1.0, stream=True)
    load = one.judged(3, 1.4)
    assert (load.saturated, load.wait_s, load.until_s) == ("", 0.0, 1.5)
    tell(one, replace(IDLE, running=3, steps=5), 2.0)
    load = one.judged(3, 2.0)
    assert load.saturated == "2 of our requests wait for a first token longer than usual"
    assert (load.belief.running, load.belief.waiting, load.wait_s) == (1, 2, 1.0)
    for key in (2, 3):
        one.first_token(key, 100, 1.1, 2.1)
    assert because(one, 2.1, in_flight=3) == ""


def test_a_declared_pace_stands_in_for_one_that_was_not_measured() -> None:
    """Three wait, each of 300 tokens, and 600 a second are declared."""
    one = Watched(replace(backend(), capacity=Capacity(Decimal(1), tokens_per_s=600.0)))
    one.begun(1, 100, 0.0, stream=False)
    one.over(1, 0.1, answered=True)
    one.used(300, 0.1)
    tell(one, BUSY, 0.2)
    assert one.judged(0, 0.2).wait_s == 2.0
    for second in range(1, 20):  # it does 200 a second
        tell(
            one,
            replace(BUSY, steps=200 * second, prompt_tokens=0, generation_tokens=200 * second),
            second + 0.2,
        )
    assert one.judged(0, 19.2).wait_s == pytest.approx(6.0, rel=0.05)


def test_the_cache_hit_rate_is_that_of_the_last_pages() -> None:
    """Not since the server started; SGLang tells it itself."""
    one = watched()
    tell(one, BUSY, 0.0)
    assert one.cache_hit_rate is None
    tell(one, replace(BUSY, steps=201, cache_queries=200, cache_hits=140), 1.0)
    assert one.cache_hit_rate == pytest.approx(0.9)
    tell(one, replace(BUSY, steps=202, cache_queries=300, cache_hits=140), 2.0)
    assert one.cache_hit_rate == pytest.approx(0.72)
    tell(one, LoadReport("sglang", 1, 0, cache_hit_rate=0.25), 3.0)
    assert one.cache_hit_rate == 0.25


def test_another_process_at_the_same_address_is_known_by_its_counters() -> None:
    """What was seen of the former one's slots is forgotten."""
    for another in (
        replace(BUSY, born=2.0),
        replace(BUSY, born=1.0, generation_tokens=0, steps=100),
    ):
        one = watched()
        for now_s in (0.0, 1.0):
            tell(one, replace(BUSY, born=1.0), now_s)
        tell(one, replace(BUSY, born=1.0, running=8, waiting=0), 2.0)
        assert because(one, 2.0) == "no free slot known"
        tell(one, replace(another, running=8, waiting=0), 3.0)
        assert because(one, 3.0) == ""
        assert one.throughput.at(8) is None


def test_a_request_that_began_before_it_was_watched_is_nobodys() -> None:
    """After a reload, say: its end changes nothing."""
    one = watched()
    one.over(9, 1.0, answered=True)
    one.first_token(9, 100, 1.0, 1.0)
    assert (one.sent, one.ended) == (0, 0)


def test_it_is_asked_soon_if_it_has_more_to_do_than_it_was_ever_seen_to_work_on() -> None:
    """Until its slots were seen: then what was sent is enough to know."""
    one = watched()
    assert not one.outdated
    tell(one, replace(BUSY, running=6, waiting=0), 0.0)
    tell(one, replace(BUSY, running=5, waiting=0), 1.0)
    one.begun(1, 100, 1.0, stream=True)
    assert not one.outdated
    one.begun(2, 100, 1.0, stream=True)
    assert one.outdated
    for now_s in (2.0, 3.0):
        tell(one, BUSY, now_s)
    for key in range(3, 9):
        one.begun(key, 100, 3.0, stream=True)
    assert not one.outdated
