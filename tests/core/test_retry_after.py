"""What a Retry-After is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.retry_after import RETRY_AFTER_MAX_S, gate_s, retry_after_s

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"retry-after": "1"}, 1.0, id="seconds"),
        pytest.param({"Retry-After": "1"}, 1.0, id="any-case"),
        pytest.param({"retry-after": " 7 "}, 7.0, id="blanks-around"),
        pytest.param({"retry-after": "0.25"}, 0.25, id="fraction"),
        pytest.param({"retry-after": "0"}, None, id="zero"),
        pytest.param({"retry-after": "-5"}, None, id="negative"),
        pytest.param({"retry-after": "NaN"}, None, id="nan"),
        pytest.param({"retry-after": "inf"}, None, id="inf"),
        pytest.param({"retry-after": "-inf"}, None, id="minus-inf"),
        pytest.param({"retry-after": "1e309"}, None, id="overflow"),
        pytest.param({"retry-after": "1e1"}, None, id="exponent"),
        pytest.param({"retry-after": "1_0"}, None, id="python-only-digits"),
        pytest.param({"retry-after": "٣"}, None, id="digits-of-another-script"),
        pytest.param({"retry-after": "0x10"}, None, id="hex"),
        pytest.param({"retry-after": "soon"}, None, id="word"),
        pytest.param({"retry-after": ""}, None, id="empty"),
        pytest.param({"retry-after": "9" * 5000}, None, id="5000-digits"),
        pytest.param({"retry-after": "x" * 100_000}, None, id="huge"),
        pytest.param({"retry-after": "60"}, 60.0, id="at-cap"),
        pytest.param({"retry-after": "277403"}, 277403.0, id="days"),
        pytest.param({"retry-after-ms": "250"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, 0.25, id="ms-first"),
        pytest.param({"retry-after-ms": "-1", "retry-after": "9"}, 9.0, id="bad-ms-then-seconds"),
        pytest.param({"retry-after-ms": "Fri, 20 Nov 2026 12:00:10 GMT"}, None, id="ms-is-no-date"),
        pytest.param({"retry-after": "Fri, 20 Nov 2026 12:00:10 GMT"}, 10.0, id="date"),
        pytest.param({"retry-after": "Friday, 20-Nov-26 12:00:10 GMT"}, 10.0, id="old-date"),
        pytest.param({"retry-after": "Fri Nov 20 12:00:10 2026"}, 10.0, id="asctime-date"),
        pytest.param({"retry-after": "Fri, 20 Nov 2026 13:00:10 +0100"}, 10.0, id="date-with-zone"),
        pytest.param({"retry-after": "Fri, 20 Nov 2026 12:00:01 GMT"}, 1.0, id="date-soon"),
        pytest.param({"retry-after": "Fri, 20 Nov 2026 12:00:00 GMT"}, None, id="date-now"),
        pytest.param({"retry-after": "Fri, 20 Nov 2026 11:59:59 GMT"}, None, id="date-past"),
        pytest.param({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359"}, None, id="date-underflow"),
        pytest.param({"retry-after": "Fri, 99 Nov 2026 12:00:00 GMT"}, None, id="no-such-date"),
        pytest.param({"retry-after": "Fri, 20 Nov 99999999 12:00:00 GMT"}, None, id="year-too-far"),
    ],
)
def test_only_a_finite_positive_time_is_a_time(
    headers: Mapping[str, str], expected_s: float | None
) -> None:
    assert retry_after_s(headers, now_utc=NOW) == expected_s


def test_a_date_far_ahead_is_reported_as_it_is() -> None:
    """The caller must see that it lies over the cap, to treat it as a quota."""
    found = retry_after_s({"retry-after": "Sat, 20 Nov 2027 12:00:00 GMT"}, now_utc=NOW)
    assert found == pytest.approx(timedelta(days=365).total_seconds())


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_gives_a_time_or_none(milliseconds: str, seconds: str) -> None:
    """Never an error, never NaN, never infinite, never negative."""
    headers = {"retry-after-ms": milliseconds, "retry-after": seconds}
    found = retry_after_s(headers, now_utc=NOW)
    assert found is None or (math.isfinite(found) and found > 0)


@pytest.mark.parametrize(
    ("seconds", "jitter", "expected_s"),
    [
        pytest.param(10.0, 0.0, 10.0, id="never-sooner-than-asked"),
        pytest.param(10.0, 1.0, 11.0, id="ten-percent-later"),
        pytest.param(277403.0, 1.0, 60.0, id="cap"),
        pytest.param(277403.0, 0.0, RETRY_AFTER_MAX_S / 1.1, id="spread-at-the-cap-too"),
    ],
)
def test_a_gate_is_spread_and_capped(seconds: float, jitter: float, expected_s: float) -> None:
    """A fleet that was sent away together does not come back together."""
    assert gate_s(seconds, jitter=jitter) == pytest.approx(expected_s)


@given(st.floats(0.001, 1e12), st.floats(0, 1))
def test_no_gate_is_longer_than_the_cap(seconds: float, jitter: float) -> None:
    gate = gate_s(seconds, jitter=jitter)
    assert 0 < gate <= RETRY_AFTER_MAX_S * (1 + 1e-12)
    if seconds <= RETRY_AFTER_MAX_S:
        assert 0.9 * seconds <= gate <= 1.1 * seconds * (1 + 1e-12)
