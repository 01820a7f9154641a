"""How many requests a backend was seen to work on at once."""

from __future__ import annotations

import pytest

from hybridllm._core.telemetry.room import (
    FORGOTTEN_AFTER_S,
    GROWS_EVERY_S,
    UNSEEN,
    Room,
    after_calm,
    after_overdue,
    after_report,
)


def told(room: Room, *reports: tuple[float, float, float | None], at_s: float = 0.0) -> Room:
    """What is known after some reports (running, waiting, share of the KV cache), one a second."""
    for running, waiting, kv_used in reports:
        room = after_report(room, running, waiting, kv_used, at_s)
        at_s += 1.0
    return room


@pytest.mark.parametrize(
    ("reports", "size"),
    [
        pytest.param([(8, 0, 0.2)] * 5, None, id="nobody-waits"),
        pytest.param([(8, 3, 0.2)], None, id="once"),
        pytest.param([(8, 3, 0.2), (8, 5, 0.2)], 8, id="twice"),
        pytest.param([(7, 3, 0.2), (8, 5, 0.2)], 8, id="one-more-or-less"),
        pytest.param([(3, 5, 0.2), (6, 2, 0.2)], None, id="a-burst-that-is-being-taken-in"),
        pytest.param([(8, 3, 0.2), (5, 0, 0.2), (8, 3, 0.2)], None, id="not-in-a-row"),
        pytest.param([(1, 6, 0.9)] * 3, None, id="the-kv-cache-is-full"),
        pytest.param([(8, 3, None)] * 2, 8, id="the-kv-cache-is-not-told"),
        pytest.param([(8, 3, 0.2)] * 2 + [(12, 0, 0.2)], 12, id="more-run"),
        pytest.param([(8, 3, 0.2)] * 2 + [(4, 3, 0.2)] * 2, 4, id="fewer-run-while-others-wait"),
    ],
)
def test_slots_are_seen_where_requests_wait_and_the_kv_cache_has_room(
    reports: list[tuple[float, float, float | None]], size: float | None
) -> None:
    """Two reports in a row must agree."""
    assert told(UNSEEN, *reports).size == size


def test_what_was_seen_grows_while_all_of_it_is_used_and_nobody_waits() -> None:
    """By one, two, four, each ten seconds; until somebody waits."""
    room, now_s, sizes = told(UNSEEN, (4, 1, 0.1), (4, 1, 0.1)), 1.0, []
    for _ in range(3):
        assert room.size is not None
        now_s += GROWS_EVERY_S - 1.0
        room = after_report(room, room.size, 0, 0.1, now_s)
        now_s += 1.0
        room = after_report(room, room.size or 0, 0, 0.1, now_s)
        sizes.append(room.size)
    assert sizes == [5, 7, 11]
    room = told(room, (8, 1, 0.1), (8, 2, 0.1), at_s=now_s)
    assert (room.size, room.step) == (8, 1)


def test_what_was_seen_long_ago_is_forgotten() -> None:
    """Servers are restarted with other settings."""
    room = told(UNSEEN, (4, 1, 0.1), (4, 1, 0.1))
    assert after_report(room, 1, 0, 0.1, FORGOTTEN_AFTER_S).size == 4
    assert after_report(room, 1, 0, 0.1, FORGOTTEN_AFTER_S + 2).size is None
    assert after_calm(room, 1, FORGOTTEN_AFTER_S + 2).size is None


def test_our_own_overdue_requests_show_slots_where_nobody_can_be_believed() -> None:
    """As many as ran when others waited; while they still wait, it may only turn out to be more."""
    room = after_overdue(UNSEEN, 6, 1.0)
    assert room.size == 6
    assert after_overdue(room, 4, 2.0).size == 6
    assert after_overdue(room, 7, 2.0).size == 7
    calm = after_calm(room, 3, 3.0)
    assert after_overdue(calm, 4, 4.0).size == 4
    assert after_overdue(UNSEEN, 0, 1.0).size == 1
    assert after_calm(calm, 6, 1.0 + GROWS_EVERY_S).size == 7
    assert after_calm(UNSEEN, 6, 1.0).size is None
