"""What is believed of a backend's queue: the last report, our own requests since, and doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hybridllm._core.telemetry.heard import (
    DOUBTED_S,
    FROZEN_MEMORY_S,
    FROZEN_S,
    Asked,
    Belief,
    Heard,
    after_header,
    after_page,
    believed,
)
from hybridllm._core.telemetry.report import LoadReport


def report(
    running: float | None = 0, waiting: float | None = 0, steps: float | None = None
) -> LoadReport:
    return LoadReport("vllm", running, waiting, 0.2, steps=steps)


def heard(running: float | None, waiting: float | None, *, sent: int = 0, ended: int = 0) -> Heard:
    told = report(running, waiting)
    return after_page(
        None, told, Asked(0.0, sent, 0), ended=ended, settled=0, stuck_s=0.0, now_s=0.0
    )


@pytest.mark.parametrize(
    ("told", "sent", "ended", "room", "expected"),
    [
        pytest.param((0, 0), 0, 0, None, (0, 0, 32), id="idle"),
        pytest.param((4, 0), 3, 0, None, (7, 0, 25), id="sent-since-run-if-slots-are-not-known"),
        pytest.param((0, 0), 40, 0, None, (32, 8, 0), id="but-not-any-number"),
        pytest.param((40, 0), 50, 0, None, (80, 10, 0), id="twice-as-many-as-run-may-run"),
        pytest.param((4, 0), 3, 0, 6, (6, 1, 0), id="sent-since-wait-if-they-are"),
        pytest.param((4, 0), 2, 0, 6, (6, 0, 0), id="the-last-slot-is-taken"),
        pytest.param((4, 0), 1, 0, 6, (5, 0, 1), id="a-slot-is-left"),
        pytest.param((8, 0), 0, 0, 6, (8, 0, 0), id="more-run-than-were-seen"),
        pytest.param((4, 2), 3, 0, None, (4, 5, 0), id="sent-since-wait-behind-those-that-wait"),
        pytest.param((4, 2), 3, 0, 16, (4, 5, 0), id="whatever-the-slots-under-kv-pressure"),
        pytest.param((4, 2), 0, 1, None, (4, 1, 0), id="one-ended-and-one-took-its-place"),
        pytest.param((4, 2), 0, 3, None, (3, 0, 1), id="nobody-waits-any-more"),
        pytest.param((4, 0), 0, 9, None, (0, 0, 32), id="never-below-nothing"),
    ],
)
def test_our_own_requests_since_a_report_are_counted_in(
    told: tuple[float, float],
    sent: int,
    ended: int,
    room: float | None,
    expected: tuple[float, float, float | None],
) -> None:
    """Sent ones as there, ended ones as gone: so not all of them go to one that was idle a second ago."""
    belief = believed(
        heard(*told, sent=20),
        sent=20 + sent,
        ended=ended,
        in_flight=0,
        overdue=0,
        room=room,
        now_s=0.5,
    )
    assert belief == Belief(*expected)


def test_it_is_never_less_than_what_we_have_there_ourselves() -> None:
    """A page that is late says 1; we have nine requests there."""
    belief = believed(heard(1, 0), sent=0, ended=0, in_flight=9, overdue=0, room=8, now_s=0.0)
    assert belief == Belief(8, 1, 0)
    assert believed(
        heard(1, 0), sent=0, ended=0, in_flight=9, overdue=0, room=None, now_s=0.0
    ) == Belief(9, 0, 23)


def test_requests_of_ours_that_wait_longer_than_usual_count_as_waiting() -> None:
    """Whatever the page says: the worse is believed."""
    belief = believed(heard(5, 0), sent=5, ended=0, in_flight=5, overdue=2, room=None, now_s=0.0)
    assert (belief.waiting, belief.full) == (2, True)


@pytest.mark.parametrize(
    ("in_flight", "overdue", "room", "expected"),
    [
        pytest.param(5, 0, None, Belief(), id="unknown"),
        pytest.param(5, 0, 8, Belief(None, None, 3), id="of-others-nothing-is-known"),
        pytest.param(8, 0, 8, Belief(None, None, 0), id="ours-take-all"),
        pytest.param(9, 0, 8, Belief(None, 1, 0), id="ours-are-more"),
        pytest.param(5, 2, None, Belief(None, 2, 0), id="ours-wait"),
    ],
)
def test_what_was_never_told_is_unknown_not_zero(
    in_flight: int, overdue: int, room: float | None, expected: Belief
) -> None:
    """But for what our own requests show."""
    found = believed(
        None, sent=9, ended=0, in_flight=in_flight, overdue=overdue, room=room, now_s=0.0
    )
    assert found == expected


def test_a_head_of_an_answer_tells_what_waits() -> None:
    """What runs is as it was believed; of several engines it does not say whose that is."""
    told = LoadReport("vllm", waiting=2, kv_used=0.5)
    now = after_header(heard(4, 0), told, 4.0, sent=7, ended=2, now_s=3.0)
    assert (now.report.running, now.report.waiting, now.report.kv_used) == (4.0, 2, 0.5)
    assert (now.at_s, now.page_at_s, now.sent, now.ended) == (3.0, 0.0, 7, 2)
    first = after_header(None, told, None, sent=7, ended=2, now_s=3.0)
    assert believed(first, sent=8, ended=2, in_flight=6, overdue=0, room=None, now_s=3.0) == Belief(
        None, 3, 0
    )
    calm = after_header(None, replace(told, waiting=0), None, sent=7, ended=2, now_s=3.0)
    assert believed(calm, sent=8, ended=2, in_flight=6, overdue=0, room=None, now_s=3.0) == Belief(
        None, 0
    )
    two = replace(heard(4, 0), report=replace(report(4, 0), engines=2))
    assert after_header(two, told, 4.0, sent=7, ended=2, now_s=3.0) is two


def pages(
    before: Heard | None,
    *told: LoadReport,
    settled: int = 0,
    stuck_s: float = 0.0,
    answered: int = 0,
) -> Heard:
    """What was heard after some pages, one a second; `answered` first tokens of ours come between two."""
    for each in told:
        now_s = 0.0 if before is None else before.page_at_s + 1.0
        asked = Asked(now_s, 0, round(answered * now_s))
        before = after_page(
            before, each, asked, ended=0, settled=settled, stuck_s=stuck_s, now_s=now_s
        )
    assert before is not None
    return before


@pytest.mark.parametrize(
    ("settled", "running", "doubted"), [(9, 1, True), (3, 1, True), (2, 1, False), (20, 17, False)]
)
def test_a_page_that_does_not_show_our_requests_is_not_believed(
    settled: int, running: float, doubted: bool
) -> None:
    """Twice in a row, and clearly fewer: then our own requests count alone, for five minutes."""
    once = pages(None, report(running), report(running), settled=settled)
    assert not once.doubted(1.0)
    twice = pages(once, report(running), settled=settled)
    assert twice.doubted(2.0) is doubted
    assert twice.doubted(1.9 + DOUBTED_S) is doubted
    assert not twice.doubted(2.1 + DOUBTED_S)
    belief = believed(twice, sent=0, ended=0, in_flight=settled, overdue=0, room=4, now_s=2.0)
    if doubted:
        assert belief.waiting == max(0, settled - 4)


def test_a_page_whose_counters_stand_still_while_answers_come_is_not_believed() -> None:
    """Its gauges may say what they like; what waits there counts until it has stood still for long."""
    busy = report(8, 3, steps=100.0)
    assert not pages(None, *[busy] * 5, answered=0).doubted(4.0)
    assert not pages(None, *[busy] * 2, answered=3).doubted(1.0)
    doubtful = pages(None, *[busy] * 4, answered=3)
    assert doubtful.doubted(3.0)
    seen: dict[str, Any] = {
        "sent": 0,
        "ended": 0,
        "in_flight": 2,
        "overdue": 0,
        "room": None,
        "now_s": 3.0,
    }
    assert believed(doubtful, **seen).waiting == 3
    assert believed(pages(doubtful, *[busy] * 4, answered=3), **seen) == Belief()
    moving = [replace(busy, steps=100.0 + step) for step in range(9)]
    assert not pages(None, *moving, answered=3).doubted(8.0)


def test_an_engine_is_frozen_if_nothing_moves_and_ours_wait() -> None:
    """Seen by progress, not by health: six seconds without a step, and nothing came of ours either."""
    stuck = [report(1, 0, steps=100.0)] * 8
    assert pages(None, *stuck, stuck_s=9.0).frozen_at_s == 7.0
    assert pages(None, *stuck[:6], stuck_s=9.0).frozen_at_s is None  # not long enough
    assert pages(None, *stuck, stuck_s=FROZEN_S - 1).frozen_at_s is None  # ours get tokens
    assert (
        pages(None, *[report(0, 0, steps=1.0)] * 8, stuck_s=9.0).frozen_at_s is None
    )  # nothing to do
    assert pages(None, *[report(1, 0)] * 8, stuck_s=9.0).frozen_at_s is None  # it counts no steps
    frozen = pages(None, *stuck, stuck_s=9.0)
    assert pages(frozen, stuck[0], stuck_s=0.0).frozen_at_s == 7.0  # ours have given up
    assert pages(frozen, replace(stuck[0], steps=101.0), stuck_s=0.0).frozen_at_s is None
    later = pages(frozen, *stuck * 4, stuck_s=0.0)
    assert later.page_at_s - 7.0 > FROZEN_MEMORY_S
    assert later.frozen_at_s is None  # and is tried again
