"""Who is asked next, after which wait, and when it ends."""

from __future__ import annotations

import pytest

from hybridllm._core.decide.plan import Kept
from hybridllm._core.policy.compiled import Backend, BackendKind, Candidate, Model
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.next_step import (
    Call,
    GiveUp,
    GiveUpReason,
    attempt_limit_s,
    candidates_left,
    next_step,
)
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Next
from hybridllm._core.resilience.standing import ALL_FREE, Standing

PRIMARY, AGAIN = AttemptReason.PRIMARY, AttemptReason.RETRY
FAILOVER, FALLBACK = AttemptReason.FAILOVER, AttemptReason.FALLBACK
NOBODY: frozenset[int] = frozenset()


def kept(*names: str) -> tuple[Kept, ...]:
    """`eu/big`, `us/big`, `eu/small`: every model but the first is a fallback."""
    entries = []
    for name in names:
        backend, model = name.split("/")
        candidate = Candidate(
            Backend(backend, BackendKind.API, f"https://{backend}.test/v1"), Model(model), model
        )
        entries.append(Kept(candidate, model != names[0].split("/")[1], "test"))
    return tuple(entries)


def failed(
    then: Next,
    *,
    retry_after_s: float | None = None,
    cool_off_s: float | None = None,
    whole_backend: bool = False,
) -> Failure:
    return Failure(
        FailureKind.STATUS,
        then,
        BreakerEffect.FAILURE,
        "x",
        retry_after_s=retry_after_s,
        cool_off_s=cool_off_s,
        cool_off_backend=whole_backend,
    )


STOP, ELSEWHERE = failed(Next.STOP), failed(Next.ELSEWHERE)
RETRY, STALE = failed(Next.RETRY), failed(Next.SAME_ONCE)
LIMITED = failed(Next.RETRY, retry_after_s=1.0, cool_off_s=1.1)
NO_KEY = failed(Next.ELSEWHERE, cool_off_s=60.0, whole_backend=True)
THREE = kept("eu/big", "us/big", "eu/small")
ONE = kept("eu/big")


def standing_of(gated: frozenset[int], cooling: frozenset[int]) -> Standing:
    """Those refused, and for how long the gates of some of them stay closed: long."""
    if not gated:
        return ALL_FREE
    return Standing(dict.fromkeys(sorted(gated), "test"), dict.fromkeys(sorted(cooling), 30.0))


def step(
    entries: tuple[Kept, ...],
    *failures: tuple[int, Failure],
    gated: frozenset[int] = NOBODY,
    cooling: frozenset[int] = NOBODY,
    retries_max: int = 2,
    attempts_max: int = 6,
    remaining_s: float = 60.0,
    jitter: float = 1.0,
) -> Call | GiveUp:
    return next_step(
        kept=entries,
        failures=failures,
        standing=standing_of(gated, cooling),
        retries_max=retries_max,
        attempts_max=attempts_max,
        remaining_s=remaining_s,
        jitter=jitter,
    )


def given_up(reason: GiveUpReason) -> GiveUp:
    return GiveUp(reason)


REJECTED, EXHAUSTED = given_up(GiveUpReason.REJECTED), given_up(GiveUpReason.EXHAUSTED)
ATTEMPTS, DEADLINE = given_up(GiveUpReason.ATTEMPTS), given_up(GiveUpReason.DEADLINE)


@pytest.mark.parametrize(
    ("gated", "cooling", "expected"),
    [
        pytest.param((), (), Call(0, 0.0, PRIMARY), id="first-in-order"),
        pytest.param((1, 2), (), Call(0, 0.0, PRIMARY), id="others-refused"),
        pytest.param((0,), (), Call(1, 0.0, PRIMARY), id="around-an-open-breaker"),
        pytest.param((0, 1), (), Call(2, 0.0, FALLBACK), id="another-model"),
        pytest.param((0, 1, 2), (), Call(0, 0.0, PRIMARY, panic=True), id="panic"),
        pytest.param((0, 1, 2), (0,), Call(1, 0.0, PRIMARY, panic=True), id="panic-spares-cooling"),
        pytest.param(
            (0, 1, 2), (0, 1, 2), Call(0, 0.0, PRIMARY, panic=True), id="even-if-all-are-cooling"
        ),
    ],
)
def test_the_first_attempt(
    gated: tuple[int, ...], cooling: tuple[int, ...], expected: Call
) -> None:
    """The first who is not refused. What we learned from failures never empties the set."""
    assert step(THREE, gated=frozenset(gated), cooling=frozenset(cooling)) == expected


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param([(0, STOP)], REJECTED, id="stop"),
        pytest.param([(0, RETRY), (1, STOP)], REJECTED, id="stop-later"),
        pytest.param([(0, ELSEWHERE)], Call(1, 0.0, FAILOVER), id="elsewhere"),
        pytest.param([(0, RETRY)], Call(1, 0.0, FAILOVER), id="others-before-a-repeat"),
        pytest.param([(0, LIMITED)], Call(1, 0.0, FAILOVER), id="nobody-waits-while-others-are"),
        pytest.param(
            [(0, ELSEWHERE), (1, ELSEWHERE)], Call(2, 0.0, FALLBACK), id="another-model-at-last"
        ),
        pytest.param([(0, ELSEWHERE), (1, ELSEWHERE), (2, ELSEWHERE)], EXHAUSTED, id="nobody-left"),
        pytest.param([(0, STALE)], Call(0, 0.0, AGAIN), id="stale-same-at-once"),
        pytest.param([(0, STALE), (0, STALE)], Call(1, 0.0, FAILOVER), id="stale-once-only"),
        pytest.param(
            [(0, STALE), (0, RETRY), (1, STALE)], Call(1, 0.0, AGAIN), id="stale-once-for-each"
        ),
        pytest.param(
            [(0, RETRY), (1, ELSEWHERE), (2, ELSEWHERE)], Call(0, 0.1, AGAIN), id="repeat"
        ),
        pytest.param(
            [(0, ELSEWHERE), (1, RETRY), (2, RETRY)], Call(1, 0.1, AGAIN), id="repeat-in-order"
        ),
        pytest.param(
            [(0, RETRY), (1, RETRY), (2, ELSEWHERE), (0, RETRY)],
            Call(1, 0.1, AGAIN),
            id="repeat-who-waits-least",
        ),
        pytest.param(
            [(0, RETRY), (1, ELSEWHERE), (2, ELSEWHERE), (0, ELSEWHERE)],
            EXHAUSTED,
            id="the-last-word-counts",
        ),
        pytest.param([(0, NO_KEY)], Call(1, 0.0, FAILOVER), id="no-key-here"),
        pytest.param([(1, ELSEWHERE), (0, NO_KEY)], EXHAUSTED, id="no-key-for-any-model-there"),
    ],
)
def test_the_next_attempt(failures: list[tuple[int, Failure]], expected: Call | GiveUp) -> None:
    """`eu/big`, `us/big`, `eu/small`: other candidates at once, repeats last."""
    assert step(THREE, *failures) == expected


def test_another_model_on_the_same_backend_waits_a_moment() -> None:
    """So that a crowd does not come back all at once to whom they just left; elsewhere it is 0."""
    entries = kept("eu/big", "eu/small")
    assert step(entries, (0, RETRY), jitter=1.0) == Call(1, 0.025, FALLBACK)
    assert step(entries, (0, RETRY), jitter=0.0) == Call(1, 0.0, FALLBACK)


def test_a_first_attempt_at_another_model_is_a_fallback_however_it_came_about() -> None:
    """A refused first candidate is passed over; the model that was meant stays the plan's first."""
    entries = kept("eu/big", "us/small")
    assert step(entries, gated={0}) == Call(1, 0.0, FALLBACK)


def test_another_backend_for_a_fallback_model_is_a_fallback() -> None:
    """The model that was meant is the plan's first; whatever failed in between."""
    entries = kept("eu/big", "eu/small", "us/small")
    found = step(entries, (0, RETRY), (1, RETRY))
    assert found == Call(2, 0.0, AttemptReason.FALLBACK)


@pytest.mark.parametrize(
    ("failures", "retries_max", "expected"),
    [
        pytest.param([RETRY], 0, EXHAUSTED, id="none-allowed"),
        pytest.param([RETRY], 1, Call(0, 0.1, AGAIN), id="first-of-one"),
        pytest.param([RETRY, RETRY], 1, EXHAUSTED, id="second-of-one"),
        pytest.param([RETRY, RETRY], 2, Call(0, 0.2, AGAIN), id="second-of-two"),
        pytest.param([RETRY] * 3, 2, EXHAUSTED, id="third-of-two"),
        pytest.param([STALE, RETRY, RETRY], 2, Call(0, 0.2, AGAIN), id="stale-is-no-repeat"),
        pytest.param([STALE, STALE], 2, Call(0, 0.1, AGAIN), id="second-stale-is-a-failure"),
    ],
)
def test_repeats_of_one_candidate(
    failures: list[Failure], retries_max: int, expected: Call | GiveUp
) -> None:
    found = step(ONE, *((0, failure) for failure in failures), retries_max=retries_max)
    assert found == expected


@pytest.mark.parametrize(
    ("failures", "attempts_max", "expected"),
    [
        pytest.param([(0, RETRY)], 1, ATTEMPTS, id="one"),
        pytest.param([(0, RETRY)], 2, Call(1, 0.0, FAILOVER), id="first-of-two"),
        pytest.param([(0, RETRY), (1, RETRY)], 2, ATTEMPTS, id="second-of-two"),
        pytest.param([(0, STALE)], 1, Call(0, 0.0, AGAIN), id="stale-does-not-count"),
        pytest.param([(0, STALE), (0, STALE)], 1, ATTEMPTS, id="but-only-once"),
    ],
)
def test_attempts_of_one_request(
    failures: list[tuple[int, Failure]], attempts_max: int, expected: Call | GiveUp
) -> None:
    assert step(THREE, *failures, attempts_max=attempts_max) == expected


def limited(retry_after_s: float | None, cool_off_s: float | None) -> Failure:
    return failed(Next.RETRY, retry_after_s=retry_after_s, cool_off_s=cool_off_s)


@pytest.mark.parametrize(
    ("failure", "remaining_s", "expected"),
    [
        pytest.param(limited(1.0, 1.1), 60.0, Call(0, 1.1, AGAIN), id="as-long-as-its-gate"),
        pytest.param(limited(1.0, None), 60.0, Call(0, 1.0, AGAIN), id="as-it-asks"),
        pytest.param(limited(None, 1.05), 60.0, Call(0, 1.05, AGAIN), id="no-time-named"),
        pytest.param(limited(2.0, 2.2), 60.0, Call(0, 2.2, AGAIN), id="two-seconds"),
        pytest.param(limited(2.01, 2.01), 60.0, EXHAUSTED, id="over-two-seconds"),
        pytest.param(limited(1.0, 1.0), 4.0, Call(0, 1.0, AGAIN), id="a-quarter-of-the-time"),
        pytest.param(limited(1.0, 1.0), 3.99, EXHAUSTED, id="over-a-quarter"),
    ],
)
@pytest.mark.parametrize("gated", [NOBODY, frozenset({0})])
def test_a_wait_that_a_backend_asks_for(
    failure: Failure, remaining_s: float, expected: Call | GiveUp, gated: frozenset[int]
) -> None:
    """Kept to if it is short; its own cool-off, over by then, does not stand in the way."""
    gated = gated if failure.cool_off_s else NOBODY
    assert step(ONE, (0, failure), remaining_s=remaining_s, gated=gated, cooling=gated) == expected


@pytest.mark.parametrize(
    ("failures", "gated", "cooling", "expected"),
    [
        pytest.param([(0, RETRY)], (1,), (), Call(2, 0.025, FALLBACK), id="skips-the-refused"),
        pytest.param(
            [(0, RETRY)], (1, 2), (), Call(0, 0.1, AGAIN), id="a-repeat-before-an-open-breaker"
        ),
        pytest.param(
            [(0, ELSEWHERE)],
            (1, 2),
            (),
            Call(1, 0.0, FAILOVER, panic=True),
            id="an-open-breaker-before-giving-up",
        ),
        pytest.param(
            [(0, RETRY)],
            (0, 1, 2),
            (),
            Call(1, 0.0, FAILOVER, panic=True),
            id="no-repeat-against-an-open-breaker",
        ),
        pytest.param(
            [(0, ELSEWHERE)],
            (1, 2),
            (1,),
            Call(2, 0.0, FALLBACK, panic=True),
            id="but-nobody-who-told-us-to-stay-away",
        ),
        pytest.param([(0, ELSEWHERE)], (1, 2), (1, 2), EXHAUSTED, id="not-even-then"),
        pytest.param([(0, STALE)], (0,), (), Call(1, 0.0, FAILOVER), id="stale-but-refused-now"),
        pytest.param([(0, NO_KEY), (1, ELSEWHERE)], (0, 2), (), EXHAUSTED, id="no-key-no-panic"),
    ],
)
def test_who_is_refused_now(
    failures: list[tuple[int, Failure]],
    gated: tuple[int, ...],
    cooling: tuple[int, ...],
    expected: Call | GiveUp,
) -> None:
    found = step(THREE, *failures, gated=frozenset(gated), cooling=frozenset(cooling))
    assert found == expected


@pytest.mark.parametrize(
    ("failures", "remaining_s", "expected"),
    [
        pytest.param([], 0.05, Call(0, 0.0, PRIMARY), id="at-the-floor"),
        pytest.param([], 0.0499, DEADLINE, id="under-the-floor"),
        pytest.param([], -1.0, DEADLINE, id="over"),
        pytest.param([(0, STOP)], 60.0, REJECTED, id="rejected-in-time"),
        pytest.param([(0, STOP)], 0.0, REJECTED, id="rejected-as-time-ran-out"),
        pytest.param([(0, RETRY)], 0.0499, DEADLINE, id="under-the-floor-later"),
        pytest.param([(0, RETRY)], 0.151, Call(0, 0.1, AGAIN), id="the-wait-just-fits"),
        pytest.param([(0, RETRY)], 0.149, DEADLINE, id="the-wait-no-longer-fits"),
    ],
)
def test_nothing_is_started_that_cannot_end(
    failures: list[tuple[int, Failure]], remaining_s: float, expected: Call | GiveUp
) -> None:
    assert step(ONE, *failures, remaining_s=remaining_s) == expected


def test_a_wait_may_leave_just_the_floor() -> None:
    assert step(ONE, (0, RETRY), remaining_s=0.1, jitter=0.5) == Call(0, 0.05, AGAIN)


def test_a_plan_may_begin_with_a_fallback() -> None:
    """The route's first model was dropped by a filter: the attempt says that it is another's."""
    entries = (Kept(ONE[0].candidate, fallback=True, reason="test"),)
    assert step(entries) == Call(0, 0.0, FALLBACK)


def test_an_empty_plan_gives_up() -> None:
    """A plan keeps at least one; if one ever did not, nothing would be sent."""
    assert step(()) == EXHAUSTED


@pytest.mark.parametrize(
    ("remaining_s", "left", "own_limit_s", "expected_s"),
    [
        pytest.param(60.0, 3, None, 20.0, id="equal-share"),
        pytest.param(60.0, 1, None, 60.0, id="the-last-has-it-all"),
        pytest.param(60.0, 0, None, 60.0, id="never-divides-by-zero"),
        pytest.param(60.0, 3, 5.0, 5.0, id="as-set"),
        pytest.param(60.0, 3, 30.0, 30.0, id="as-set-beyond-the-share"),
        pytest.param(2.0, 3, 5.0, 2.0, id="never-beyond-the-deadline"),
    ],
)
def test_the_time_of_one_attempt(
    remaining_s: float, left: int, own_limit_s: float | None, expected_s: float
) -> None:
    limit_s = attempt_limit_s(
        remaining_s=remaining_s, candidates_left=left, own_limit_s=own_limit_s
    )
    assert limit_s == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("tried", "gated", "attempts_max", "expected"),
    [
        pytest.param((), (), 6, 3, id="all"),
        pytest.param((), (), 2, 2, id="no-more-than-attempts"),
        pytest.param((0,), (), 6, 2, id="one-tried"),
        pytest.param((0, 0), (), 6, 2, id="one-tried-twice"),
        pytest.param((0,), (), 2, 1, id="one-attempt-left"),
        pytest.param((0,), (1,), 6, 1, id="one-refused"),
        pytest.param((), (0, 1), 6, 1, id="only-one-is-free"),
        pytest.param((), (0, 1, 2), 6, 3, id="all-refused-so-panic-asks-all"),
        pytest.param((0,), (1, 2), 6, 2, id="the-rest-refused-so-panic-asks-them"),
        pytest.param((0, 1, 2), (), 6, 1, id="a-repeat"),
        pytest.param((0, 1, 2), (), 3, 1, id="never-none"),
    ],
)
def test_the_time_left_is_shared_by_who_may_still_be_asked(
    tried: tuple[int, ...], gated: tuple[int, ...], attempts_max: int, expected: int
) -> None:
    left = candidates_left(
        kept=THREE,
        failures=[(index, RETRY) for index in tried],
        gated=frozenset(gated),
        attempts_max=attempts_max,
    )
    assert left == expected
