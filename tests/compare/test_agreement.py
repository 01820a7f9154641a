"""Whether two answers say the same, and how many of them prove parity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.compare.agreement import agree
from hybridllm._core.compare.parity import (
    Parity,
    ParityConfig,
    Standing,
    after_sample,
    lower_bound,
    samples_needed,
)


@pytest.mark.parametrize(
    ("answer", "other", "same"),
    [
        pytest.param("Billing.", "billing", True, id="case-and-full-stop"),
        pytest.param("I\u2019m not sure", "i'm not sure", True, id="quotes"),
        pytest.param("  two\n words ", "two words", True, id="white-space"),
        pytest.param("3.50", "3.5", False, id="digits-count"),
        pytest.param("yes", "no", False, id="other-words"),
        pytest.param("a b", "b a", False, id="order-counts"),
        pytest.param('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True, id="json-order"),
        pytest.param('```json\n{"a": 1}\n```', '{"a":1}', True, id="json-in-a-fence"),
        pytest.param('{"a": 1}', '{"a": 2}', False, id="json-values"),
        pytest.param('{"a": 1}', "a 1", False, id="json-is-no-text"),
        pytest.param("", "", True, id="nothing"),
        pytest.param("...", "!", True, id="punctuation-alone"),
        pytest.param("[" * 100_000, "[" * 99_999, True, id="too-deep-to-be-json"),
    ],
)
def test_answers_agree_where_no_reader_would_tell_them_apart(
    answer: str, other: str, same: bool
) -> None:
    """Case, space and punctuation do not count; words, digits and JSON values do."""
    assert agree(answer, other) is same
    assert agree(other, answer) is same


def _after(config: ParityConfig, *agreed: bool) -> Parity:
    parity = Parity()
    for one in agreed:
        parity = after_sample(parity, config, agreed=one)
    return parity


def test_a_lucky_run_proves_nothing() -> None:
    """All of a window must be there, and the interval's lower end must reach what is asked for."""
    config = ParityConfig(share_min=0.9, samples=60)
    assert _after(config, *[True] * 59).standing is Standing.WATCHED
    assert _after(config, *[True] * 60).standing is Standing.HELD
    assert _after(config, *[False] * 6, *[True] * 54).standing is Standing.WATCHED


def test_parity_is_lost_when_the_share_falls_below() -> None:
    """And it must be proved anew after that."""
    config = ParityConfig(share_min=0.9, samples=60)
    held = _after(config, *[True] * 60)
    for _ in range(6):
        held = after_sample(held, config, agreed=False)
    assert (held.standing, held.agreed) == (Standing.HELD, 54)
    lost = after_sample(held, config, agreed=False)
    assert lost.standing is Standing.LOST
    again = lost
    for _ in range(59):
        again = after_sample(again, config, agreed=True)
    assert again.standing is Standing.HELD


@pytest.mark.parametrize("share_min", [0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999])
def test_the_samples_that_are_needed_are_just_enough(share_min: float) -> None:
    """With one less nothing could ever be proved."""
    needed = samples_needed(share_min)
    assert lower_bound(needed, needed) >= share_min - 1e-9
    assert lower_bound(needed - 1, needed - 1) < share_min


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 64))
def test_the_window_counts_the_latest(agreed: list[bool], samples: int) -> None:
    """Whatever came before them is forgotten."""
    parity = _after(ParityConfig(share_min=0.9, samples=samples), *agreed)
    latest = agreed[-samples:]
    assert (parity.seen, parity.agreed) == (len(latest), sum(latest))
    assert 0 <= parity.share_low <= (parity.share or 0.0) + 1e-12
