"""What happened in the last seconds, counted exactly, in ten buckets of a second.

A value: `counted` gives a new one. Idle time needs no clean-up: buckets that are too old are not counted, and
go when the next attempt is.
"""

from __future__ import annotations

from typing import NamedTuple

WINDOW_S = 10
"""Seconds that count. Exact counts, because an average that decays weighs a burst to nothing."""


class Bucket(NamedTuple):
    """One second: how many attempts ended in it, how many of them failed, and how many were slow."""

    second: int
    attempts: int = 0
    failures: int = 0
    slow: int = 0


Window = tuple[Bucket, ...]
"""The oldest first; at most `WINDOW_S` buckets."""

EMPTY: Window = ()


def counted(window: Window, *, now_s: float, failed: bool, slow: bool, times: int = 1) -> Window:
    """Return the window after one more attempt, or several alike."""
    second = int(now_s)
    if window and window[-1].second >= second:  # a clock does not go back; two loops' may differ
        last = window[-1]
        second, before = last.second, window[:-1]
    else:
        last = Bucket(second)
        before = window
        if window and window[0].second <= second - WINDOW_S:
            before = tuple([one for one in window if one.second > second - WINDOW_S])
    grown = Bucket(
        second, last.attempts + times, last.failures + failed * times, last.slow + slow * times
    )
    return (*before, grown)


def totals(window: Window, now_s: float) -> Bucket:
    """Return the sums over the last `WINDOW_S` seconds."""
    oldest = int(now_s) - WINDOW_S
    attempts = failures = slow = 0
    for one in window:
        if one.second > oldest:
            attempts += one.attempts
            failures += one.failures
            slow += one.slow
    return Bucket(int(now_s), attempts, failures, slow)
