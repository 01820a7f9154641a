"""Windows: exact sums in buckets, whatever comes when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.policy.hybrid import Window
from hybridllm._core.volume.ring import SHAPES, Ring

STEPS = st.lists(
    st.tuples(st.floats(min_value=0, max_value=200_000), st.integers(0, 1_000)), max_size=40
)


@given(window=st.sampled_from(list(SHAPES)), start_s=st.floats(0, 1e6), steps=STEPS)
def test_a_window_holds_what_came_in_its_buckets_and_nothing_else(
    window: Window, start_s: float, steps: list[tuple[float, int]]
) -> None:
    """The model keeps every amount with its time, and adds up those of the last buckets."""
    buckets, width_s = SHAPES[window]
    ring, now_s, came = Ring(window, start_s), start_s, list[tuple[int, int]]()
    for later_s, amount in steps:
        now_s += later_s
        ring.add(amount, now_s)
        came.append((int(now_s // width_s), amount))
        oldest = came[-1][0] - buckets
        assert ring.total(now_s) == sum(many for at, many in came if at > oldest)


@pytest.mark.parametrize(("window", "seconds"), [("minute", 60), ("hour", 3_600), ("day", 86_400)])
def test_a_window_is_whole_once_it_has_counted_for_all_of_it(window: str, seconds: int) -> None:
    """Until then its total is the least that came."""
    ring = Ring(Window(window), 1_000_000.0)
    ring.add(5, 1_000_000.0)
    assert not ring.whole(1_000_000.0 + seconds - SHAPES[Window(window)][1] - 1)
    assert ring.total(1_000_000.0 + seconds - SHAPES[Window(window)][1] - 1) == 5
    assert ring.whole(1_000_000.0 + seconds + SHAPES[Window(window)][1])
    assert ring.total(1_000_000.0 + seconds + SHAPES[Window(window)][1]) == 0


def test_what_comes_late_counts_as_now() -> None:
    """A time before the latest changes no bucket that was passed."""
    ring = Ring(Window.MINUTE, 100.0)
    ring.add(1, 130.0)
    ring.add(2, 101.0)
    assert ring.total(160.9) == 3
    assert ring.total(189.9) == 3
    assert ring.total(190.0) == 0
