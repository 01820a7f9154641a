"""Ten buckets of a second: exact, and no bigger for being idle or busy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.window import EMPTY, WINDOW_S, Bucket, Window, counted, totals


@pytest.mark.parametrize(
    ("failed", "slow", "expected"),
    [
        (False, False, Bucket(12, 1, 0, 0)),
        (True, False, Bucket(12, 1, 1, 0)),
        (False, True, Bucket(12, 1, 0, 1)),
        (True, True, Bucket(12, 1, 1, 1)),
    ],
)
def test_an_attempt_is_counted_in_its_second(failed: bool, slow: bool, expected: Bucket) -> None:
    """By what came of it; a slow failure counts as both."""
    window = counted(EMPTY, now_s=12.9, failed=failed, slow=slow)
    assert window == (expected,)
    twice = counted(window, now_s=12.0, failed=failed, slow=slow)
    assert twice == (Bucket(12, 2, 2 * failed, 2 * slow),)
    assert window == (expected,)  # a value


@pytest.mark.parametrize(
    ("now_s", "attempts"), [(21.99, 3), (22.0, 2), (30.99, 2), (31.0, 0), (1e6, 0)]
)
def test_ten_seconds_count_and_no_more(now_s: float, attempts: int) -> None:
    """Both sides of the oldest second."""
    window = (Bucket(12, 1, 1, 1), Bucket(21, 2, 1, 0))
    found = totals(window, now_s)
    failures = {3: 2, 2: 1, 0: 0}[attempts]
    assert found == Bucket(int(now_s), attempts, failures, int(attempts == 3))


def test_old_buckets_go_when_another_second_begins() -> None:
    """Both sides: the bucket of ten seconds ago goes, that of nine stays."""
    window: Window = (Bucket(1, 1), Bucket(2, 1), Bucket(11, 1))
    assert [one.second for one in counted(window, now_s=11.0, failed=False, slow=False)] == [
        1,
        2,
        11,
    ]
    after = counted(window, now_s=12.0, failed=False, slow=False)
    assert [one.second for one in after] == [11, 12]
    after = counted((Bucket(2, 1), Bucket(3, 1)), now_s=12.0, failed=False, slow=False)
    assert [one.second for one in after] == [3, 12]


def test_a_clock_that_is_behind_counts_in_the_last_second() -> None:
    """Nothing is lost, and buckets stay in order."""
    window = counted((Bucket(12, 1),), now_s=11.0, failed=True, slow=False)
    assert window == (Bucket(12, 2, 1, 0),)


@given(
    st.lists(
        st.tuples(
            st.sampled_from((0.0, 0.0, 0.3, 0.9, 1.0, 4.0, 9.5, 10.0, 60.0)),
            st.booleans(),
            st.booleans(),
        )
    )
)
def test_it_counts_as_a_list_of_all_attempts_would(
    attempts: list[tuple[float, bool, bool]],
) -> None:
    """Beside a naive model; never more than ten buckets, in order, none twice."""
    window, seen, now_s = EMPTY, [], 0.0
    for waited_s, failed, slow in attempts:
        now_s += waited_s
        window = counted(window, now_s=now_s, failed=failed, slow=slow)
        seen.append((int(now_s), failed, slow))
        lately = [one for one in seen if one[0] > int(now_s) - WINDOW_S]
        assert totals(window, now_s) == Bucket(
            int(now_s),
            len(lately),
            sum(one[1] for one in lately),
            sum(one[2] for one in lately),
        )
        seconds = [one.second for one in window]
        assert len(seconds) <= WINDOW_S
        assert seconds == sorted(set(seconds))


@pytest.mark.parametrize(
    ("failed", "slow", "expected"),
    [
        (False, False, Bucket(12, 4, 0, 0)),
        (True, False, Bucket(12, 4, 4, 0)),
        (False, True, Bucket(12, 4, 0, 4)),
    ],
)
def test_several_alike_are_counted_at_once(failed: bool, slow: bool, expected: Bucket) -> None:
    assert counted(EMPTY, now_s=12.9, failed=failed, slow=slow, times=4) == (expected,)
