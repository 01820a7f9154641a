"""Values that stand for all values: every way to fit some patterns, or to be in some windows, is met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import product
from random import Random
from zoneinfo import ZoneInfo

import pytest

from hybridllm._core.decide.match import within
from hybridllm._core.policy.conditions import Hours
from hybridllm._core.proof.globs import texts_for
from hybridllm._core.proof.hours import instants_for

PIECES = ["a", "b", "a", "b", "c", "*", "?", "[ab]", "[!a]", "[a-c]", "[", "[]a]", "[!]]"]


def fitted(text: str, patterns: list[str]) -> tuple[bool, ...]:
    return tuple(fnmatchcase(text, pattern) for pattern in patterns)


@pytest.mark.parametrize("seed", range(4))
def test_no_way_of_fitting_is_missed(seed: int) -> None:
    """All texts of up to four characters, one of which no pattern names, fit in no other way."""
    rng = Random(seed)
    for _ in range(40):
        patterns = [
            "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 4)))
            for _ in range(rng.randint(1, 4))
        ]
        texts = texts_for(patterns)
        assert texts is not None
        assert all(texts), "no hint is empty"
        found = {fitted(text, patterns) for text in texts}
        for length in range(1, 5):
            for signs in product("abcx]", repeat=length):
                assert fitted("".join(signs), patterns) in found, (patterns, signs)


@pytest.mark.parametrize(
    ("patterns", "fits_only"),
    [
        pytest.param(["acme-*", "*-eu"], (True, True), id="where-two-patterns-meet"),
        pytest.param(["acme-*", "acme-1"], (True, False), id="beside-a-name-that-a-pattern-fits"),
        pytest.param(
            ["?", "x", "y", "z"], (True, False, False, False), id="beside-every-short-name"
        ),
        pytest.param(["x", "z", "q"], (False, False, False), id="none-of-the-names"),
    ],
)
def test_a_text_is_found_for(patterns: list[str], fits_only: tuple[bool, ...]) -> None:
    """The ones that a person would forget."""
    texts = texts_for(patterns)
    assert texts is not None
    assert fits_only in {fitted(text, patterns) for text in texts}


def test_what_no_text_fits_is_not_made_up() -> None:
    """Nothing fits both; nothing fits neither."""
    texts = texts_for(["a*", "b*"])
    assert texts is not None
    assert (True, True) not in {fitted(text, ["a*", "b*"]) for text in texts}
    assert {fitted(text, ["*"]) for text in texts_for(["*"]) or ()} == {(True,)}


def test_patterns_that_are_too_entangled_are_given_up() -> None:
    """Rather than looked at for minutes."""
    assert texts_for([f"*{sign}*{sign}*{sign}*{sign}*" for sign in "abcdefgh"]) is None


def hours(begin: int, end: int, days: str, zone: str) -> Hours:
    numbers = frozenset(number for number, sign in enumerate(days) if sign != "-")
    return Hours(begin * 60, end * 60, numbers, ZoneInfo(zone), zone)


@pytest.mark.parametrize(
    "windows",
    [
        pytest.param([hours(8, 18, "mtwtf--", "UTC")], id="office-hours"),
        pytest.param([hours(22, 6, "----f--", "Europe/Berlin")], id="over-midnight"),
        pytest.param([hours(0, 24, "-----ss", "Asia/Tokyo")], id="whole-days"),
        pytest.param(
            [
                hours(8, 18, "mtwtf--", "Europe/Berlin"),
                hours(9, 12, "mtwtfss", "America/New_York"),
                hours(22, 6, "m------", "Australia/Lord_Howe"),
            ],
            id="three-zones-with-their-own-summers",
        ),
    ],
)
def test_every_combination_of_open_windows_is_met(windows: list[Hours]) -> None:
    """Compared with every quarter of an hour of a year."""
    found = {tuple(within(window, at) for window in windows) for at in instants_for(windows)}
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    every = (begin + timedelta(minutes=15 * count) for count in range(366 * 96))
    assert found == {tuple(within(window, at) for window in windows) for at in every}
