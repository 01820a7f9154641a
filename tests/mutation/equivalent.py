"""Mutants that change nothing that anybody could see, and why: (file, line, change) -> reason."""

from __future__ import annotations

_TEN = "with ten attempts, five failures in a row are half of them: they open it either way"
_NOW = "at that very moment the time is put to what it is"
_WITH_A_NUMBER = "a default that is read only with a number, which never comes without it"
_PRUNED = "only when old buckets go, not whether they count"
_EQUAL = "of two equal numbers either is the average"
_CUT = "the code was cut to a hundred as it was read"
_BETWEEN = "sums of shares are never exactly the bound, which lies a rounding error below 1"
_NEVER = "what was earned is never below nothing"
_LENGTH = "no date and no number is near that length; any bound from 40 on does"

EQUIVALENT: dict[tuple[str, int, str], str] = {
    ("breaker", 151, "0 -> 1"): _WITH_A_NUMBER,
    ("breaker", 151, "0 -> -1"): _WITH_A_NUMBER,
    ("breaker", 248, "Lt -> LtE"): _TEN,
    ("breaker", 301, "Lt -> LtE"): _NOW,
    ("window", 39, "Sub -> Add"): _PRUNED,
    ("pace", 32, "GtE -> Gt"): _EQUAL,
    ("budget", 86, "GtE -> Gt"): _BETWEEN,
    ("budget", 95, "GtE -> Gt"): _BETWEEN,
    ("budget", 108, "0.0 -> -1.0"): _NEVER,
    ("budget", 134, "0 -> -1"): _PRUNED,
    ("budget", 134, "Sub -> Add"): _PRUNED,
    ("classify", 243, "100 -> 101"): _CUT,
    ("retry_after", 18, "64 -> 65"): _LENGTH,
    ("retry_after", 18, "64 -> 63"): _LENGTH,
}
