"""An open breaker lets one probe through at a time, closes after two, and hears nobody from before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.breakers import (
    ABANDONED,
    CONFIG,
    FAILURE,
    NOW_S,
    OPEN,
    PROBING,
    SUCCESS,
    THROTTLED,
    WAITING,
    closed,
    half_open,
    opened,
    settled,
)
from hybridllm._core.resilience.breaker import (
    BreakerState,
    Permit,
    Phase,
    admit,
    after_health,
    refuses,
    settle,
)
from hybridllm._core.resilience.outcome import BreakerEffect


@pytest.mark.parametrize(
    ("state", "now_s", "admitted"),
    [
        pytest.param(closed(20, 9, row=4), 0.0, True, id="closed"),
        pytest.param(OPEN, 99.999, False, id="open-before-its-time"),
        pytest.param(OPEN, 100.0, True, id="open-at-its-time"),
        pytest.param(PROBING, 99.999, False, id="one-probe-is-enough"),
        pytest.param(PROBING, 100.0, True, id="lost-probe-expires"),
        pytest.param(WAITING, 0.0, True, id="abandoned-probe-is-replaced-at-once"),
    ],
)
def test_admission(state: BreakerState, now_s: float, admitted: bool) -> None:
    """`refuses` says what `admit` would do, and takes nothing."""
    after, permit = admit(state, CONFIG, now_s)
    assert (permit is not None) is admitted
    assert refuses(state, now_s) is (not admitted)
    assert permit is None or permit == after.generation
    if not admitted or state.phase is Phase.CLOSED:
        assert after is state
    else:
        assert after == half_open(
            until_s=now_s + 90.0,
            generation=Permit(8),
            changed_at_s=now_s if state is OPEN else 0.0,
        )


def test_a_first_success_is_remembered_by_the_second_probe() -> None:
    """And what an open breaker counted as failures in a row is none of the probes'."""
    after, _ = admit(half_open(row=1, probing=False), CONFIG, NOW_S)
    assert after.row == 1
    after, _ = admit(opened(row=4), CONFIG, 100.0)
    assert after.row == 0


def test_one_of_a_hundred_probes_passes() -> None:
    """The fault that no Python breaker is free of."""
    state, passed = OPEN, 0
    for _ in range(100):
        state, permit = admit(state, CONFIG, 100.0)
        passed += permit is not None
    assert passed == 1


@pytest.mark.parametrize(
    ("state", "effect", "expected"),
    [
        pytest.param(PROBING, SUCCESS, half_open(row=1, probing=False), id="one-is-not-enough"),
        pytest.param(
            half_open(row=1, openings=3),
            SUCCESS,
            BreakerState(openings=3, changed_at_s=50.0, generation=Permit(8)),
            id="two-close-it",
        ),
        pytest.param(
            half_open(row=1, misled=4, by_health=True),
            SUCCESS,
            BreakerState(openings=1, changed_at_s=50.0, generation=Permit(8)),
            id="and-health-is-believed-again",
        ),
        pytest.param(PROBING, ABANDONED, WAITING, id="abandoned-hands-back"),
        pytest.param(
            half_open(row=1), ABANDONED, half_open(row=1, probing=False), id="and-takes-nothing"
        ),
        pytest.param(
            PROBING,
            FAILURE,
            opened(openings=2, until_s=60.0, changed_at_s=50.0, generation=Permit(8)),
            id="a-failure-needs-no-company",
        ),
        pytest.param(
            PROBING,
            THROTTLED,
            opened(openings=1, until_s=55.0, changed_at_s=50.0, generation=Permit(8)),
            id="a-429-opens-it-for-no-longer-than-before",
        ),
        pytest.param(
            half_open(openings=3),
            THROTTLED,
            opened(openings=3, until_s=70.0, changed_at_s=50.0, generation=Permit(8)),
            id="however-often-it-was-open",
        ),
        pytest.param(
            half_open(openings=0),
            THROTTLED,
            opened(openings=1, until_s=55.0, changed_at_s=50.0, generation=Permit(8)),
            id="never-less-than-none",
        ),
    ],
)
def test_a_probe_comes_back(
    state: BreakerState, effect: BreakerEffect, expected: BreakerState
) -> None:
    """Two successes in a row close it; one failure opens it again."""
    assert settled(state, effect) == expected


def test_an_abandoned_attempt_that_is_no_probe_changes_nothing() -> None:
    """Its permit was handed back before."""
    assert settled(WAITING, ABANDONED) is WAITING


@pytest.mark.parametrize("effect", list(BreakerEffect))
@pytest.mark.parametrize("permit", [6, 8, 0])
@pytest.mark.parametrize("state", [closed(), closed(9, 9, 9, row=4), OPEN, PROBING, WAITING])
def test_a_result_of_another_generation_changes_nothing(
    state: BreakerState, permit: int, effect: BreakerEffect
) -> None:
    """A call from before the trip can neither close the breaker nor keep it open."""
    assert settle(state, CONFIG, Permit(permit), effect, NOW_S) is state
    assert settle(state, CONFIG, Permit(permit), effect, NOW_S, slow=True) is state


def test_a_replaced_probe_is_not_heard() -> None:
    """Its place was given to another; only the other's result counts."""
    state, lost = admit(OPEN, CONFIG, 100.0)
    state, second = admit(state, CONFIG, 190.0)
    for effect in BreakerEffect:
        assert settle(state, CONFIG, lost, effect, 191.0) is state
    assert settle(state, CONFIG, second, SUCCESS, 191.0).row == 1


def test_a_slow_probe_whose_place_nobody_took_is_heard() -> None:
    """It expired, and yet it is the last that we know of the backend."""
    state, probe = admit(OPEN, CONFIG, 100.0)
    assert settle(state, CONFIG, probe, SUCCESS, 500.0).row == 1


@pytest.mark.parametrize(
    ("state", "effect", "now_s", "until_s"),
    [
        pytest.param(OPEN, SUCCESS, 50.0, 50.0, id="a-success-lets-a-probe-through"),
        pytest.param(OPEN, SUCCESS, 150.0, 100.0, id="never-later-than-it-was"),
        pytest.param(OPEN, FAILURE, 50.0, 100.0, id="a-failure-says-nothing-new"),
        pytest.param(OPEN, THROTTLED, 50.0, 100.0, id="a-429-neither"),
        pytest.param(OPEN, ABANDONED, 50.0, 100.0, id="an-abandoned-one-says-nothing"),
        pytest.param(PROBING, SUCCESS, 50.0, 100.0, id="the-probe-decides"),
        pytest.param(closed(4, 4, row=4), FAILURE, 50.0, 0.0, id="closed-meanwhile"),
        pytest.param(closed(4, 4, row=4), SUCCESS, 50.0, 0.0, id="closed-meanwhile-and-good"),
    ],
)
def test_an_attempt_made_against_the_breaker(
    state: BreakerState, effect: BreakerEffect, now_s: float, until_s: float
) -> None:
    """When all are refused one is asked anyway; its answer is no probe's, but good news is news."""
    after = settle(state, CONFIG, None, effect, now_s)
    assert after == replace(state, until_s=until_s)


def test_it_is_the_health_page_that_is_believed_the_less() -> None:
    """Two good looks in a row let a probe through; after one that failed all the same, four; then eight."""
    state, now_s = OPEN, 0.0
    for looks in (2, 4, 8, 16):
        for good in range(1, looks):
            state = after_health(state, CONFIG, healthy=True, now_s=now_s)
            assert (state.healthy, state.until_s) == (good, 100.0)
            assert refuses(state, now_s)
        state = after_health(state, CONFIG, healthy=True, now_s=now_s)
        assert (state.phase, state.until_s, state.healthy) == (Phase.OPEN, now_s, 0)
        state, probe = admit(state, CONFIG, now_s)
        state = settle(state, CONFIG, probe, FAILURE, now_s)
        assert not state.by_health
        state = replace(state, until_s=100.0)
    assert state.misled == 4


def test_a_probe_whose_time_had_come_blames_no_health_page() -> None:
    """Nor does one that met a 429: the page did not lie."""
    for state, effect in (
        (half_open(), FAILURE),
        (half_open(by_health=True), THROTTLED),
    ):
        assert settled(replace(state, misled=3), effect).misled == 3
    assert settled(half_open(by_health=True, misled=3), FAILURE).misled == 4


def test_a_bad_look_starts_the_count_anew() -> None:
    """Two in a row are wanted; a page that was never good is left as it is."""
    state = after_health(opened(healthy=1), CONFIG, healthy=False, now_s=NOW_S)
    assert state == OPEN
    assert after_health(OPEN, CONFIG, healthy=False, now_s=NOW_S) is OPEN


@pytest.mark.parametrize("healthy", [True, False])
@pytest.mark.parametrize(
    ("state", "now_s"),
    [
        pytest.param(closed(4, 4, row=4), NOW_S, id="closed"),
        pytest.param(PROBING, NOW_S, id="probing"),
        pytest.param(WAITING, NOW_S, id="half-open"),
        pytest.param(opened(healthy=1), 100.0, id="its-time-has-come"),
    ],
)
def test_only_an_open_breaker_looks(state: BreakerState, now_s: float, healthy: bool) -> None:
    """A page closes nothing, whatever it says."""
    assert after_health(state, CONFIG, healthy=healthy, now_s=now_s) is state


def test_a_page_that_lies_for_ever_is_still_asked_within_reason() -> None:
    """Doubling ends somewhere: no number grows beyond what a float holds."""
    state = opened(misled=100_000)
    after = after_health(state, CONFIG, healthy=True, now_s=NOW_S)
    assert after.healthy == 1
