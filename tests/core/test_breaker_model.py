"""The breaker beside a naive model, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hybridllm._core.resilience.breaker import (
    BreakerConfig,
    BreakerState,
    Permit,
    admit,
    after_health,
    refuses,
    settle,
)
from hybridllm._core.resilience.outcome import BreakerEffect

SUCCESS, FAILURE = BreakerEffect.SUCCESS, BreakerEffect.FAILURE
THROTTLED, ABANDONED = BreakerEffect.THROTTLED, BreakerEffect.ABANDONED
CONFIG = BreakerConfig(forget_s=20.0, probe_limit_s=10.0)
EFFECTS = (SUCCESS, SUCCESS, FAILURE, FAILURE, FAILURE, FAILURE, THROTTLED, ABANDONED)


@dataclass
class Given:
    """A permit under way, and what the model knows of it."""

    permit: Permit | None
    era: int


class BreakerMachine(RuleBasedStateMachine):
    """The model keeps mutable fields, every attempt with its time, and every permit's era."""

    def __init__(self) -> None:
        super().__init__()
        self.state = BreakerState()
        self.now_s = 0.0
        self.phase = "closed"
        self.seen: list[tuple[int, bool, bool]] = []  # (second, failed, slow), while closed
        self.failed_in_a_row = 0
        self.good_probes = 0
        self.openings = 0
        self.well_since_s = 0.0
        self.opens_at_s = 0.0
        self.good_looks = 0
        self.lies = 0
        self.trusting_page = False
        self.probe: Given | None = None
        self.probe_ends_s = 0.0
        self.era = 0
        self.under_way: list[Given] = []

    @rule(seconds=st.sampled_from((0.0, 0.1, 0.9, 3.0, 4.9, 5.0, 9.9, 10.0, 30.0, 1000.0)))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def ask(self) -> None:
        expected = self._model_admits()
        assert refuses(self.state, self.now_s) is (not expected)
        self.state, permit = admit(self.state, CONFIG, self.now_s)
        assert (permit is not None) is expected
        if not expected:
            self.under_way.append(Given(None, -1))  # sent all the same: panic
            return
        if self.phase != "closed":
            if self.phase == "open":
                self.good_probes = 0
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
    @rule(
        data=st.data(),
        effect=st.sampled_from(EFFECTS),
        slow=st.booleans(),
        jitter=st.sampled_from((0.0, 0.5, 1.0)),
    )
    def one_comes_back(
        self, data: st.DataObject, effect: BreakerEffect, slow: bool, jitter: float
    ) -> None:
        given = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self._comes_back(given, effect, slow, jitter)

    @rule(count=st.integers(1, 12), effect=st.sampled_from(EFFECTS), slow=st.booleans())
    def many_come_and_go(self, count: int, effect: BreakerEffect, slow: bool) -> None:
        for _ in range(count):
            self.ask()
            self._comes_back(self.under_way.pop(), effect, slow, 0.5)

    def _comes_back(self, given: Given, effect: BreakerEffect, slow: bool, jitter: float) -> None:
        self.state = settle(
            self.state, CONFIG, given.permit, effect, self.now_s, jitter=jitter, slow=slow
        )
        if given.permit is None and effect is SUCCESS and self.phase == "open":
            self.opens_at_s = min(self.opens_at_s, self.now_s)
        if given.era != self.era:
            return
        if self.phase == "half_open":
            self._model_probe(effect, jitter)
        elif effect in (SUCCESS, FAILURE):
            self._model_closed(effect is FAILURE, slow, jitter)

    def _model_probe(self, effect: BreakerEffect, jitter: float) -> None:
        self.probe = None
        if effect is SUCCESS:
            self.good_probes += 1
            if self.good_probes == 2:
                self.phase, self.failed_in_a_row, self.seen = "closed", 0, []
                self.lies, self.trusting_page = 0, False
                self.well_since_s = self.now_s
                self.era += 1
        elif effect is FAILURE:
            self.lies += self.trusting_page
            self._model_opens(jitter)
        elif effect is THROTTLED:
            self.openings = max(0, self.openings - 1)
            self._model_opens(jitter)

    def _model_closed(self, failed: bool, slow: bool, jitter: float) -> None:
        self.seen.append((int(self.now_s), failed, slow))
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
        lately = [one for one in self.seen if one[0] > int(self.now_s) - 10]
        failures = sum(one[1] for one in lately)
        slow_ones = sum(one[2] for one in lately)
        enough = len(lately) >= 10
        trips = (
            (failed and enough and 2 * failures >= len(lately))
            or (failed and not enough and self.failed_in_a_row >= 5)
            or (failed and self.failed_in_a_row >= 10)
            or ((failed or slow) and enough and 10 * slow_ones >= 8 * len(lately))
        )
        if trips:
            self.openings -= int((self.now_s - self.well_since_s) / CONFIG.forget_s)
            self.openings = max(0, self.openings)
            self._model_opens(jitter)

    def _model_opens(self, jitter: float) -> None:
        self.phase, self.probe, self.failed_in_a_row, self.seen = "open", None, 0, []
        self.good_looks, self.trusting_page = 0, False
        self.era += 1
        open_s = 5.0
        for _ in range(self.openings):
            open_s = min(30.0, open_s * 2.0)
        self.opens_at_s = self.now_s + open_s * (0.8 + 0.4 * jitter)
        self.openings += 1

    @rule(healthy=st.booleans(), times=st.integers(1, 8))
    def its_health_page_is_looked_at(self, healthy: bool, times: int) -> None:
        for _ in range(times):
            self.state = after_health(self.state, CONFIG, healthy=healthy, now_s=self.now_s)
            if self.phase != "open" or self.now_s >= self.opens_at_s:
                continue
            self.good_looks = self.good_looks + 1 if healthy else 0
            if self.good_looks >= 2 * 2**self.lies:
                self.good_looks, self.trusting_page = 0, True
                self.opens_at_s = self.now_s

    @invariant()
    def both_agree(self) -> None:
        state = self.state
        assert state.phase.value == self.phase
        assert state.generation == self.era
        assert state.probing is (self.probe is not None)
        assert state.openings == self.openings
        assert abs(state.until_s - self.opens_at_s) < 1e-6 or self.phase != "open"
        if self.phase != "open":
            rows = {"closed": self.failed_in_a_row, "half_open": self.good_probes}
            assert state.row == rows[self.phase]
        assert state.misled == self.lies
        assert len(state.window) <= 10

    @invariant()
    def it_never_stays_shut(self) -> None:
        """Whatever was lost, within the longest wait somebody is let through again."""
        longest_s = max(CONFIG.open_s_max * (1 + CONFIG.open_spread), CONFIG.probe_limit_s)
        assert not refuses(self.state, self.now_s + longest_s)


BreakerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
TestBreakerAgainstModel = BreakerMachine.TestCase
