"""A limit grows by one and shrinks by a tenth, at most once a second, between its floor and its ceiling."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.limit import (
    Concurrency,
    LimitState,
    after_answer,
    after_first_token,
    after_overload,
    new_limit,
)

CONFIG = Concurrency(start=32, floor=4, ceiling=64)
FIXED = Concurrency(start=8, floor=8, ceiling=8)
NEVER = float("-inf")


def state(limit: float = 32.0, **fields: object) -> LimitState:
    return replace(LimitState(limit), **fields)  # type: ignore[arg-type]


def known(usual_s: float = 1.0, samples: int = 100, *, place: int = 0) -> LimitState:
    """First tokens were measured, for prompts of one length."""
    usual, count = [0.0] * 4, [0] * 4
    usual[place], count[place] = usual_s, samples
    return state(usual_s=tuple(usual), samples=tuple(count))


def first_token(
    before: LimitState,
    seconds: float,
    *,
    prompt_tokens: int = 10,
    in_flight: int = 0,
    now_s: float = 100.0,
    config: Concurrency = CONFIG,
) -> LimitState:
    return after_first_token(
        before,
        config,
        seconds,
        prompt_tokens=prompt_tokens,
        in_flight=in_flight,
        now_s=now_s,
    )


def test_it_starts_where_the_policy_says() -> None:
    """The defaults are those of the design."""
    assert new_limit(CONFIG) == LimitState(32.0, NEVER, NEVER, (0.0,) * 4, (0,) * 4)
    assert Concurrency() == Concurrency(start=32, floor=4, ceiling=1_024)
    assert (CONFIG.fixed, FIXED.fixed) == (False, True)


@pytest.mark.parametrize(
    ("limit", "in_flight", "expected"),
    [
        pytest.param(32.0, 16, 33.0, id="half-used"),
        pytest.param(32.0, 15, 32.0, id="not-quite"),
        pytest.param(28.8, 15, 29.8, id="half-of-a-broken-number"),
        pytest.param(28.8, 14, 28.8, id="and-not-quite"),
        pytest.param(63.5, 64, 64.0, id="never-over-the-ceiling"),
        pytest.param(64.0, 64, 64.0, id="at-the-ceiling"),
    ],
)
def test_it_grows_while_it_is_used(limit: float, in_flight: int, expected: float) -> None:
    after = after_answer(state(limit), CONFIG, in_flight=in_flight, now_s=100.0)
    assert after == state(expected, grown_at_s=100.0 if expected != limit else NEVER)


@pytest.mark.parametrize(
    ("grown_at_s", "shrunk_at_s", "grows"),
    [
        pytest.param(99.0, NEVER, True, id="a-second-after-it-grew"),
        pytest.param(99.1, NEVER, False, id="less"),
        pytest.param(NEVER, 99.0, True, id="a-second-after-it-shrank"),
        pytest.param(NEVER, 99.1, False, id="less-than-that"),
        pytest.param(99.1, 90.0, False, id="the-later-counts"),
        pytest.param(90.0, 99.1, False, id="either-way"),
    ],
)
def test_it_grows_once_a_second(grown_at_s: float, shrunk_at_s: float, grows: bool) -> None:
    before = state(grown_at_s=grown_at_s, shrunk_at_s=shrunk_at_s)
    after = after_answer(before, CONFIG, in_flight=32, now_s=100.0)
    if grows:
        assert after == replace(before, limit=33.0, grown_at_s=100.0)
    else:
        assert after is before


@pytest.mark.parametrize(
    ("limit", "shrunk_at_s", "expected"),
    [
        pytest.param(32.0, NEVER, 28.8, id="by-a-tenth"),
        pytest.param(32.0, 99.0, 28.8, id="a-second-later"),
        pytest.param(32.0, 99.1, 32.0, id="not-twice-in-a-second"),
        pytest.param(4.2, NEVER, 4.0, id="never-under-the-floor"),
        pytest.param(4.0, NEVER, 4.0, id="at-the-floor"),
    ],
)
def test_it_shrinks_when_the_backend_has_too_much_to_do(
    limit: float, shrunk_at_s: float, expected: float
) -> None:
    """That it has just grown does not matter."""
    before = state(limit, shrunk_at_s=shrunk_at_s, grown_at_s=99.9)
    after = after_overload(before, CONFIG, now_s=100.0)
    assert after.limit == pytest.approx(expected)
    assert (after is before) is (shrunk_at_s == 99.1)
    assert after.shrunk_at_s == (99.1 if shrunk_at_s == 99.1 else 100.0)
    assert after.grown_at_s == 99.9


@pytest.mark.parametrize(
    ("seconds", "samples", "shrinks"),
    [
        pytest.param(3.01, 100, True, id="three-times-the-usual"),
        pytest.param(3.0, 100, False, id="not-more"),
        pytest.param(3.01, 5, True, id="five-make-a-usual"),
        pytest.param(300.0, 4, False, id="four-do-not"),
    ],
)
def test_a_slow_first_token_is_a_sign_of_overload(
    seconds: float, samples: int, shrinks: bool
) -> None:
    after = first_token(known(samples=samples), seconds)
    assert after.limit == (pytest.approx(28.8) if shrinks else 32.0)
    assert after.samples[0] == samples + 1
    assert after.usual_s[0] > 1.0


@pytest.mark.parametrize(("usual_s", "seconds"), [(2.0, 6.0), (0.5, 1.5)])
def test_three_times_is_three_times_whatever_is_usual(usual_s: float, seconds: float) -> None:
    assert first_token(known(usual_s), seconds).limit == 32.0
    assert first_token(known(usual_s), seconds + 0.01).limit < 32.0


def test_a_quick_first_token_is_an_answer() -> None:
    """It grows the limit where that is used, and is learnt from."""
    assert first_token(known(), 1.0, in_flight=16).limit == 33.0
    assert first_token(known(), 1.0, in_flight=15).limit == 32.0


@pytest.mark.parametrize(
    ("prompt_tokens", "place"),
    [
        (0, 0),
        (1_024, 0),
        (1_025, 1),
        (4_096, 1),
        (4_097, 2),
        (16_384, 2),
        (16_385, 3),
        (10**6, 3),
    ],
)
def test_what_is_usual_is_known_by_length_of_prompt(prompt_tokens: int, place: int) -> None:
    """A long prompt takes long to read; only its like are compared."""
    after = first_token(known(place=place), 5.0, prompt_tokens=prompt_tokens)
    assert after.limit < 32.0
    assert [count != 0 for count in after.samples] == [one == place for one in range(4)]
    other = first_token(known(place=(place + 1) % 4), 5.0, prompt_tokens=prompt_tokens)
    assert other.limit == 32.0


def test_the_usual_is_an_average_of_which_one_sample_is_a_twentieth() -> None:
    """Of the first twenty each counts alike, later ones fade; samples are counted to a thousand."""
    found, seen = state(), (4.0, 2.0, 3.0, 1.0)
    for count, seconds in enumerate(seen, start=1):
        found = first_token(found, seconds)
        assert found.usual_s[0] == pytest.approx(sum(seen[:count]) / count)
    assert first_token(known(2.0, 19), 1.0).usual_s[0] == pytest.approx(1.95)
    assert first_token(known(2.0, 500), 1.0).usual_s[0] == pytest.approx(1.95)
    assert first_token(known(2.0, 9), 1.0).usual_s[0] == pytest.approx(1.9)
    assert first_token(known(2.0, 999), 1.0).samples[0] == 1_000
    assert first_token(known(2.0, 1_000), 1.0).samples[0] == 1_000


def test_learning_keeps_the_rest() -> None:
    """The limit, and when it moved last."""
    before = replace(known(), shrunk_at_s=99.5, grown_at_s=99.2)
    after = first_token(before, 1.0, in_flight=32)
    assert (after.limit, after.shrunk_at_s, after.grown_at_s) == (32.0, 99.5, 99.2)


def test_a_fixed_limit_never_moves() -> None:
    """Whatever happens; nothing is learnt either."""
    before = new_limit(FIXED)
    assert first_token(before, 100.0, config=FIXED) is before
    assert after_answer(before, FIXED, in_flight=8, now_s=100.0) is before
    assert after_overload(before, FIXED, now_s=100.0) is before


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("token", "answer", "overload")),
        st.floats(0, 3),
        st.floats(0.01, 50),
        st.integers(0, 100),
        st.integers(0, 30_000),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_it_stays_within_bounds_and_moves_once_a_second(
    steps: list[tuple[str, float, float, int, int]],
) -> None:
    """Up by one at most, down by a tenth at most."""
    found, now_s = new_limit(CONFIG), 0.0
    moved: dict[bool, float] = {}
    for kind, waited_s, seconds, in_flight, prompt_tokens in steps:
        now_s += waited_s
        before = found
        if kind == "token":
            found = first_token(
                found, seconds, prompt_tokens=prompt_tokens, in_flight=in_flight, now_s=now_s
            )
        elif kind == "answer":
            found = after_answer(found, CONFIG, in_flight=in_flight, now_s=now_s)
        else:
            found = after_overload(found, CONFIG, now_s=now_s)
        assert 4.0 <= found.limit <= 64.0
        assert before.limit * 0.9 - 1e-9 <= found.limit <= before.limit + 1.0
        if found.limit != before.limit:
            up = found.limit > before.limit
            assert now_s - moved.get(up, NEVER) >= 1.0
            moved[up] = now_s
