"""A burst of three times what the own machine can do, with metrics that are true and metrics that are not."""

from __future__ import annotations

import pytest

from hybrid.bursts import SLO_S, Burst, BurstFigures, figures
from hybrid.sleeps import SLO_S as SLEEP_SLO_S
from hybrid.sleeps import figures as sleep_figures
from hybrid.sleeps import play as play_sleep
from hybridllm.testing import Fault, MetricsFault

QUEUE_S = 2.0  # `queue_ms` of the policy
WAIT = "{predicted_wait_ms: {gt: 800}}"


def residency_holds(found: BurstFigures) -> None:
    """`phi`: nothing left, and nobody of it waited in our queue for longer than the policy says."""
    assert found.phi_out == 0
    assert found.phi_errors.keys() <= {"Overloaded"}


@pytest.mark.parametrize(
    "burst",
    [
        pytest.param(Burst(), id="by-its-own-queue"),
        pytest.param(Burst(when=WAIT), id="by-predicted-wait"),
        pytest.param(Burst(saturation="concurrency: 8", seed=2), id="by-our-own-limit"),
    ],
)
def test_the_surplus_of_a_burst_leaves_within_the_slo_and_comes_back(burst: Burst) -> None:
    """The share that leaves is within a tenth of the ideal, two flips at most, back within 10 s."""
    found = figures(burst)
    assert found.share == pytest.approx(found.ideal, rel=0.1)
    assert found.first_token_p99_s <= SLO_S
    assert found.answered == 1.0
    assert found.back_s <= 10.0
    assert found.flips <= 2
    assert found.calm_left == 0
    assert found.phi_wait_s <= QUEUE_S + 1.0  # and the first token itself
    residency_holds(found)


@pytest.mark.parametrize(
    "burst",
    [
        pytest.param(Burst(ailment=MetricsFault.struck(Fault.refuse())), id="dead"),
        pytest.param(Burst(ailment=MetricsFault.frozen()), id="frozen"),
        pytest.param(Burst(ailment=MetricsFault.idle()), id="lying"),
        pytest.param(Burst(ailment=MetricsFault.late(18)), id="18-s-late"),
    ],
)
def test_metrics_that_are_dead_frozen_lying_or_late_make_no_herd(burst: Burst) -> None:
    """Everybody is answered, the machine's own queue stays short, and nothing collapses."""
    found = figures(burst)
    assert found.answered == 1.0
    assert found.queued_max <= burst.own.slots
    assert found.first_token_p99_s <= 2 * SLO_S
    assert found.share >= 0.9 * found.ideal
    residency_holds(found)


def test_a_cold_start_of_fifteen_seconds_is_bridged() -> None:
    """No caller sees more than the objective where the API is allowed; `phi` is told when to come back."""
    found = sleep_figures(*play_sleep())
    assert found.answered == 1.0
    assert found.first_token_max_s <= SLEEP_SLO_S
    assert found.awake_s <= 17.0
    assert found.all_back_s <= found.awake_s + 6.0
    assert found.phi_out == 0
    assert found.phi_told == ("WarmingUp",)
