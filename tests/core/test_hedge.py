"""When a second backend is asked, and whom: the same model elsewhere, who is free."""

from __future__ import annotations

import pytest

from core.plans import kept
from hybridllm._core.policy.objectives import Hedge
from hybridllm._core.resilience.hedge import hedge_after_s, hedge_place
from hybridllm._core.resilience.standing import ALL_FREE, Standing

FOUR = kept("eu/big", "eu/small", "us/big", "ap/big")


@pytest.mark.parametrize(
    ("hedge", "measured_s", "prompt_tokens", "after_s"),
    [
        pytest.param(Hedge(95), 2.0, 10, 2.0, id="as-measured"),
        pytest.param(Hedge(95), 0.2, 10, 0.3, id="at-least-300ms"),
        pytest.param(Hedge(95), None, 10, None, id="not-measured"),
        pytest.param(Hedge(None, 0.8), None, 10, 0.8, id="a-time"),
        pytest.param(Hedge(None, 0.05), 9.0, 10, 0.05, id="however-short"),
        pytest.param(Hedge(None, 0.8, 100), None, 100, 0.8, id="a-prompt-at-the-limit"),
        pytest.param(Hedge(None, 0.8, 100), None, 101, None, id="a-prompt-over-it"),
        pytest.param(Hedge(95, 0.0, 100), 2.0, 101, None, id="over-it-with-a-percentile"),
    ],
)
def test_when(
    hedge: Hedge, measured_s: float | None, prompt_tokens: int, after_s: float | None
) -> None:
    found = hedge_after_s(hedge, measured_s=measured_s, prompt_tokens=prompt_tokens)
    assert found == after_s


@pytest.mark.parametrize(
    ("first", "standing", "place"),
    [
        pytest.param(0, ALL_FREE, 2, id="the-next-in-order"),
        pytest.param(2, ALL_FREE, 0, id="an-earlier-one-too"),
        pytest.param(3, ALL_FREE, 0, id="from-the-last"),
        pytest.param(1, ALL_FREE, None, id="nobody-else-has-this-model"),
        pytest.param(0, Standing({2: "breaker open"}), 3, id="not-who-is-refused"),
        pytest.param(0, Standing(full=frozenset({2})), 3, id="not-who-is-full"),
        pytest.param(0, Standing(slow=frozenset({2})), 3, id="not-who-is-slow"),
        pytest.param(0, Standing({2: "x"}, full=frozenset({3})), None, id="nobody-is-left"),
        pytest.param(0, Standing({2: "x", 3: "y"}, panic=(2, 3)), None, id="never-in-panic"),
    ],
)
def test_whom(first: int, standing: Standing, place: int | None) -> None:
    """Never the same backend, never another model, never who is refused."""
    assert hedge_place(FOUR, first, standing) == place


def test_the_same_backend_is_no_second_one() -> None:
    """Two entries of one backend and model: a hedge there would ask the same server twice."""
    assert hedge_place(kept("eu/big", "eu/big"), 0, ALL_FREE) is None
