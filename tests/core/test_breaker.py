"""A breaker opens, lets one probe through at a time, closes, and hears nobody from before."""

from __future__ import annotations

import sys
import timeit
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hybridllm._core.resilience.breaker import (
    BreakerConfig,
    BreakerState,
    Permit,
    Phase,
    admit,
    refuses,
    settle,
)
from hybridllm._core.resilience.outcome import BreakerEffect

SUCCESS, FAILURE, ABANDONED = BreakerEffect.SUCCESS, BreakerEffect.FAILURE, BreakerEffect.ABANDONED
CONFIG = BreakerConfig(failures_max=5, open_s=5.0, open_s_max=30.0, probe_limit_s=10.0)
OPEN = BreakerState(Phase.OPEN, until_s=100.0, generation=Permit(7))
PROBING = BreakerState(Phase.HALF_OPEN, until_s=100.0, probing=True, generation=Permit(7))
WAITING = BreakerState(Phase.HALF_OPEN, until_s=100.0, generation=Permit(7))


def closed(failures: int) -> BreakerState:
    return BreakerState(failures=failures, generation=Permit(7))


@pytest.mark.parametrize(
    ("state", "effect", "expected"),
    [
        pytest.param(closed(0), SUCCESS, closed(0), id="closed-success"),
        pytest.param(closed(4), SUCCESS, closed(0), id="success-forgets"),
        pytest.param(closed(0), FAILURE, closed(1), id="closed-failure"),
        pytest.param(closed(3), FAILURE, closed(4), id="below-limit"),
        pytest.param(
            closed(4),
            FAILURE,
            BreakerState(Phase.OPEN, until_s=55.0, generation=Permit(8)),
            id="at-limit",
        ),
        pytest.param(closed(4), ABANDONED, closed(4), id="closed-abandoned"),
        pytest.param(PROBING, SUCCESS, BreakerState(generation=Permit(8)), id="probe-success"),
        pytest.param(
            PROBING,
            FAILURE,
            BreakerState(Phase.OPEN, reopens=1, until_s=60.0, generation=Permit(8)),
            id="probe-failure-needs-no-company",
        ),
        pytest.param(PROBING, ABANDONED, WAITING, id="probe-abandoned-hands-back"),
    ],
)
def test_a_result_moves_the_breaker(
    state: BreakerState, effect: BreakerEffect, expected: BreakerState
) -> None:
    """Both sides of every limit; `now` is 50."""
    assert settle(state, CONFIG, Permit(7), effect, 50.0) == expected


@pytest.mark.parametrize("effect", [SUCCESS, FAILURE, ABANDONED])
@pytest.mark.parametrize("permit", [6, 8, 0])
@pytest.mark.parametrize("state", [closed(0), closed(4), OPEN, PROBING, WAITING])
def test_a_result_of_another_generation_changes_nothing(
    state: BreakerState, permit: int, effect: BreakerEffect
) -> None:
    """A call from before the trip can neither close the breaker nor keep it open."""
    assert settle(state, CONFIG, Permit(permit), effect, 50.0) is state


@pytest.mark.parametrize(
    ("state", "now_s", "admitted"),
    [
        pytest.param(closed(4), 0.0, True, id="closed"),
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
    assert refuses(state, now_s) is not admitted
    assert permit is None or permit == after.generation
    if not admitted or state.phase is Phase.CLOSED:
        assert after is state
    else:
        assert after == BreakerState(
            Phase.HALF_OPEN, until_s=now_s + 10.0, probing=True, generation=Permit(8)
        )


def test_one_of_a_hundred_probes_passes() -> None:
    """The fault that no Python breaker is free of."""
    state, passed = OPEN, 0
    for _ in range(100):
        state, permit = admit(state, CONFIG, 100.0)
        passed += permit is not None
    assert passed == 1


@pytest.mark.parametrize(
    ("reopens", "open_s"), [(0, 10.0), (1, 20.0), (2, 30.0), (3, 30.0), (10_000, 30.0)]
)
def test_each_failed_probe_doubles_the_time_up_to_a_cap(reopens: int, open_s: float) -> None:
    state = BreakerState(Phase.HALF_OPEN, reopens=reopens, probing=True)
    after = settle(state, CONFIG, state.generation, FAILURE, 50.0)
    assert after.until_s == pytest.approx(50.0 + open_s)


def test_after_a_recovery_it_opens_for_the_short_time_again() -> None:
    state = BreakerState(Phase.HALF_OPEN, reopens=9, probing=True)
    state = settle(state, CONFIG, state.generation, SUCCESS, 50.0)
    for _ in range(CONFIG.failures_max):
        state, permit = admit(state, CONFIG, 60.0)
        state = settle(state, CONFIG, permit, FAILURE, 60.0)
    assert state.until_s == pytest.approx(65.0)


def test_a_replaced_probe_is_not_heard() -> None:
    """Its place was given to another; only the other's result counts."""
    state, lost = admit(OPEN, CONFIG, 100.0)
    state, second = admit(state, CONFIG, 110.0)
    assert settle(state, CONFIG, lost, FAILURE, 111.0) is state
    assert settle(state, CONFIG, lost, ABANDONED, 111.0) is state
    assert settle(state, CONFIG, second, SUCCESS, 111.0).phase is Phase.CLOSED


def test_a_slow_probe_whose_place_nobody_took_is_heard() -> None:
    state, probe = admit(OPEN, CONFIG, 100.0)
    assert settle(state, CONFIG, probe, SUCCESS, 500.0).phase is Phase.CLOSED


@pytest.mark.parametrize(
    ("state", "effect", "now_s", "until_s"),
    [
        pytest.param(OPEN, SUCCESS, 50.0, 50.0, id="a-success-lets-a-probe-through"),
        pytest.param(OPEN, SUCCESS, 150.0, 100.0, id="never-later-than-it-was"),
        pytest.param(OPEN, FAILURE, 50.0, 100.0, id="a-failure-says-nothing-new"),
        pytest.param(OPEN, ABANDONED, 50.0, 100.0, id="an-abandoned-one-says-nothing"),
        pytest.param(PROBING, SUCCESS, 50.0, 100.0, id="the-probe-decides"),
        pytest.param(closed(4), FAILURE, 50.0, 0.0, id="closed-meanwhile"),
    ],
)
def test_an_attempt_made_against_the_breaker(
    state: BreakerState, effect: BreakerEffect, now_s: float, until_s: float
) -> None:
    """When all are refused one is asked anyway; its answer is no probe's, but good news is news."""
    after = settle(state, CONFIG, None, effect, now_s)
    assert (after.phase, after.until_s) == (state.phase, until_s)
    assert after.generation == state.generation


def test_the_limits_unless_others_are_given() -> None:
    """Five failures in a row; five seconds, doubling to thirty; a probe has thirty seconds."""
    assert BreakerConfig() == BreakerConfig(5, 5.0, 30.0, 30.0)


def test_a_healthy_candidate_costs_next_to_nothing() -> None:
    """Closed and successful: the same object comes back, nothing is made, in well under 2 us."""
    state = BreakerState()

    def attempt() -> None:
        after, permit = admit(state, CONFIG, 1.0)
        assert settle(after, CONFIG, permit, SUCCESS, 2.0) is state

    attempt()
    blocks = sys.getallocatedblocks()
    for _ in range(1000):
        attempt()
    assert sys.getallocatedblocks() - blocks < 50
    assert min(timeit.repeat(attempt, number=2000, repeat=20)) / 2000 < 2e-6


@dataclass
class Given:
    """A permit under way, and what the model knows of it."""

    permit: Permit | None
    era: int


class BreakerMachine(RuleBasedStateMachine):
    """The breaker beside a naive model that keeps mutable fields and every permit's era."""

    def __init__(self) -> None:
        super().__init__()
        self.state = BreakerState()
        self.now_s = 0.0
        self.phase = "closed"
        self.streak = 0  # failures in a row
        self.reopened = 0
        self.opens_at_s = 0.0
        self.probe: Given | None = None
        self.probe_ends_s = 0.0
        self.era = 0
        self.under_way: list[Given] = []

    @rule(seconds=st.sampled_from((0.0, 0.1, 4.9, 5.0, 9.9, 10.0, 30.0, 1000.0)))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def ask(self) -> None:
        expected = self._model_admits()
        assert refuses(self.state, self.now_s) is not expected
        self.state, permit = admit(self.state, CONFIG, self.now_s)
        assert (permit is not None) is expected
        if not expected:
            return
        if self.phase != "closed":
            self.phase = "half_open"
            self.era += 1
            self.probe_ends_s = self.now_s + CONFIG.probe_limit_s
        given = Given(permit, self.era)
        self.under_way.append(given)
        if self.phase == "half_open":
            self.probe = given

    def _model_admits(self) -> bool:
        if self.phase == "closed":
            return True
        if self.phase == "open":
            return self.now_s >= self.opens_at_s
        return self.probe is None or self.now_s >= self.probe_ends_s

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), effect=st.sampled_from((SUCCESS, FAILURE, FAILURE, FAILURE, ABANDONED)))
    def one_comes_back(self, data: st.DataObject, effect: BreakerEffect) -> None:
        place = data.draw(st.integers(0, len(self.under_way) - 1))
        given = self.under_way.pop(place)
        self.state = settle(self.state, CONFIG, given.permit, effect, self.now_s)
        if given.era != self.era:
            return
        if self.phase == "half_open":
            self.probe = None
            if effect is SUCCESS:
                self.phase, self.streak, self.reopened = "closed", 0, 0
                self.era += 1
            elif effect is FAILURE:
                self.reopened += 1
                self._model_opens()
        elif effect is SUCCESS:
            self.streak = 0
        elif effect is FAILURE:
            self.streak += 1
            if self.streak == CONFIG.failures_max:
                self._model_opens()

    def _model_opens(self) -> None:
        self.phase, self.probe, self.streak = "open", None, 0
        self.era += 1
        self.opens_at_s = self.now_s + min(CONFIG.open_s * 2**self.reopened, CONFIG.open_s_max)

    @invariant()
    def both_agree(self) -> None:
        assert self.state.phase.value == self.phase
        assert self.state.generation == self.era
        assert self.state.failures == self.streak
        assert self.state.probing is (self.probe is not None)

    @invariant()
    def it_never_stays_shut(self) -> None:
        """Whatever was lost, within the longest wait somebody is let through again."""
        longest_s = max(CONFIG.open_s_max, CONFIG.probe_limit_s)
        assert not refuses(self.state, self.now_s + longest_s)


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestBreakerAgainstModel = BreakerMachine.TestCase
