"""Which time is meant by what people write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hybridllm._core.ledger.periods import instant, microseconds, month_of, period

NOW = microseconds(datetime(2026, 3, 4, 15, 30, tzinfo=UTC))  # a Wednesday


@pytest.mark.parametrize(
    ("since", "until", "meant"),
    [
        pytest.param(None, None, "1970-01-01T00:00 2026-03-04T15:30", id="all"),
        pytest.param("30d", None, "2026-02-02T15:30 2026-03-04T15:30", id="days"),
        pytest.param("12h", None, "2026-03-04T03:30 2026-03-04T15:30", id="hours"),
        pytest.param("2w", "1d", "2026-02-18T15:30 2026-03-03T15:30", id="weeks-to-a-day"),
        pytest.param("2026-02-01", None, "2026-02-01T00:00 2026-03-04T15:30", id="date"),
        pytest.param(
            "2026-02-01", "2026-02-03", "2026-02-01T00:00 2026-02-03T00:00", id="end-is-left-out"
        ),
        pytest.param(
            "2026-02-01T12:00+02:00", None, "2026-02-01T10:00 2026-03-04T15:30", id="zone"
        ),
        pytest.param("2026-02", None, "2026-02-01T00:00 2026-03-01T00:00", id="month"),
        pytest.param("2025-11", "2026-02", "2025-11-01T00:00 2026-03-01T00:00", id="months"),
        pytest.param("Last  month", None, "2026-02-01T00:00 2026-03-01T00:00", id="last-month"),
        pytest.param("this month", None, "2026-03-01T00:00 2026-04-01T00:00", id="this-month"),
        pytest.param("last week", None, "2026-02-23T00:00 2026-03-02T00:00", id="last-week"),
        pytest.param("yesterday", None, "2026-03-03T00:00 2026-03-04T00:00", id="yesterday"),
        pytest.param("today", None, "2026-03-04T00:00 2026-03-05T00:00", id="today"),
        pytest.param("last month", "today", "2026-02-01T00:00 2026-03-05T00:00", id="to-today"),
    ],
)
def test_words_mean_a_time(since: str | None, until: str | None, meant: str) -> None:
    """UTC; a period that stands alone ends where it ends."""
    found = period(since, until, now_us=NOW)
    assert " ".join(f"{instant(at):%Y-%m-%dT%H:%M}" for at in found) == meant


@pytest.mark.parametrize("text", ["", "30", "30 x", "2026-13", "soon", "2026-02-30", "-3d"])
def test_what_is_no_time_is_told_with_what_is(text: str) -> None:
    """The value, and what would have been right."""
    with pytest.raises(ValueError, match=r"30d.*last month|is no month"):
        period(text, None, now_us=NOW)


def test_an_empty_time_is_refused() -> None:
    """Nothing would come out, and nobody would know why."""
    with pytest.raises(ValueError, match="there is no time from 2026-02-03"):
        period("2026-02-03", "2026-02-03", now_us=NOW)


def test_a_month_is_a_calendar_month() -> None:
    """Of 29 days in a leap year."""
    found = month_of("2028-02")
    assert found.until_us - found.since_us == 29 * 86_400_000_000
