"""What comes next where slots, time, the retry budget or the throttle stand in the way."""

from __future__ import annotations

from typing import Any

import pytest

from core.plans import kept
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.next_step import Call, GiveUp, GiveUpReason, Queue, Wake, next_step
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Next
from hybridllm._core.resilience.standing import ALL_FREE, Standing

PRIMARY, AGAIN = AttemptReason.PRIMARY, AttemptReason.RETRY
OVERFLOW = AttemptReason.OVERFLOW
FAILOVER, FALLBACK = AttemptReason.FAILOVER, AttemptReason.FALLBACK
THREE = kept("eu/big", "us/big", "eu/small")
ONE = kept("eu/big")
DEADLINE, EXHAUSTED = GiveUp(GiveUpReason.DEADLINE), GiveUp(GiveUpReason.EXHAUSTED)
BUDGET, REJECTED = GiveUp(GiveUpReason.BUDGET), GiveUp(GiveUpReason.REJECTED)
UNAVAILABLE, ATTEMPTS = GiveUp(GiveUpReason.UNAVAILABLE), GiveUp(GiveUpReason.ATTEMPTS)


def failed(then: Next, **fields: Any) -> Failure:
    return Failure(FailureKind.STATUS, then, BreakerEffect.FAILURE, "x", **fields)


STOP, ELSEWHERE = failed(Next.STOP), failed(Next.ELSEWHERE)
RETRY, STALE = failed(Next.RETRY), failed(Next.SAME_ONCE)
NO_KEY = failed(Next.ELSEWHERE, cool_off_s=60.0, cool_off_backend=True)
ALL_REFUSED = dict.fromkeys(range(3), "breaker open")


def standing(
    *,
    refused: tuple[int, ...] = (),
    gates: dict[int, float] | None = None,
    full: tuple[int, ...] = (),
    slow: tuple[int, ...] = (),
    panic: tuple[int, ...] | None = None,
) -> Standing:
    gates = gates or {}
    words = dict.fromkeys(sorted({*refused, *gates}), "test")
    return Standing(words, gates, frozenset(full), frozenset(slow), panic=panic)


def step(
    now: Standing,
    *failures: tuple[int, Failure],
    entries: Any = THREE,
    remaining_s: float = 60.0,
    affordable: bool = True,
    barred: tuple[int, ...] = (),
    jitter: float = 1.0,
    attempts_max: int = 6,
) -> Call | Queue | Wake | GiveUp:
    return next_step(
        kept=entries,
        failures=failures,
        standing=now,
        retries_max=2,
        attempts_max=attempts_max,
        remaining_s=remaining_s,
        jitter=jitter,
        affordable=affordable,
        barred=frozenset(barred),
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(standing(full=(0,)), Call(1, 0.0, OVERFLOW), id="around-a-full-one"),
        pytest.param(standing(full=(0, 1)), Call(2, 0.0, FALLBACK), id="to-another-model"),
        pytest.param(standing(full=(0, 1, 2)), Queue((0, 1, 2)), id="all-full"),
        pytest.param(
            standing(full=(0, 2), refused=(1,)), Queue((0, 2)), id="not-for-who-is-refused"
        ),
        pytest.param(standing(full=(0, 2), slow=(1,)), Queue((0, 2)), id="not-for-who-is-slow"),
        pytest.param(
            standing(full=(0,), slow=(0,), refused=(1, 2)), DEADLINE, id="full-and-too-slow"
        ),
        pytest.param(standing(slow=(0,)), Call(1, 0.0, PRIMARY), id="around-a-slow-one"),
        pytest.param(standing(slow=(0, 1, 2)), DEADLINE, id="all-slow"),
        pytest.param(
            standing(slow=(1, 2), refused=(0,)), DEADLINE, id="slow-or-refused-is-no-panic"
        ),
    ],
)
def test_the_first_attempt_under_load(now: Standing, expected: Call | Queue | GiveUp) -> None:
    """The first who has a slot and answers in time; else a place in the queue; else the truth."""
    assert step(now) == expected


@pytest.mark.parametrize(
    ("gates", "remaining_s", "expected"),
    [
        pytest.param({0: 2.0, 1: 9.0, 2: 9.0}, 60.0, Call(0, 2.0, PRIMARY), id="two-seconds"),
        pytest.param({0: 9.0, 1: 1.0, 2: 0.5}, 60.0, Call(2, 0.5, FALLBACK), id="the-soonest"),
        pytest.param(
            {0: 2.01, 1: 9.0, 2: 9.0}, 60.0, Call(0, 0.0, PRIMARY, panic=True), id="longer"
        ),
        pytest.param({0: 1.0, 1: 9.0, 2: 9.0}, 4.0, Call(0, 1.0, PRIMARY), id="a-quarter"),
        pytest.param(
            {0: 1.0, 1: 9.0, 2: 9.0}, 3.9, Call(0, 0.0, PRIMARY, panic=True), id="over-a-quarter"
        ),
        pytest.param({1: 1.0}, 60.0, Call(1, 1.0, PRIMARY), id="a-gate-before-open-breakers"),
        pytest.param({1: 9.0}, 60.0, Call(0, 0.0, PRIMARY, panic=True), id="or-after-them"),
    ],
)
def test_a_gate_that_is_soon_over_is_waited_for(
    gates: dict[int, float], remaining_s: float, expected: Call
) -> None:
    """Two seconds and a quarter of the time left, at most; otherwise it is panic."""
    found = step(standing(refused=(0, 1, 2), gates=gates), remaining_s=remaining_s, jitter=0.0)
    assert found == expected


@pytest.mark.parametrize(
    ("left_s", "jitter", "after_s"),
    [(1.0, 0.0, 1.0), (1.0, 0.5, 1.05), (2.0, 1.0, 2.2), (0.1, 1.0, 0.125), (0.0, 1.0, 0.025)],
)
def test_those_who_wait_for_one_gate_do_not_all_go_at_once(
    left_s: float, jitter: float, after_s: float
) -> None:
    """Up to a tenth later, and 25 ms at least; never earlier."""
    found = step(standing(refused=(0, 1, 2), gates={0: left_s, 1: 9.0, 2: 9.0}), jitter=jitter)
    assert found == Call(0, pytest.approx(after_s), PRIMARY)


@pytest.mark.parametrize(
    ("panic", "full", "expected"),
    [
        pytest.param((1, 0), (), Call(1, 0.0, PRIMARY, panic=True), id="in-its-order"),
        pytest.param((2,), (), Call(2, 0.0, FALLBACK, panic=True), id="whoever-is-admitted"),
        pytest.param((), (), UNAVAILABLE, id="nobody-is-admitted"),
        pytest.param((1, 0), (1,), Call(0, 0.0, PRIMARY, panic=True), id="not-who-is-full"),
        pytest.param((1, 0), (0, 1), Queue((1, 0)), id="all-of-them-full"),
        pytest.param((), (0, 1, 2), UNAVAILABLE, id="no-queue-for-nobody"),
    ],
)
def test_panic_asks_as_far_as_the_throttle_admits(
    panic: tuple[int, ...], full: tuple[int, ...], expected: Call | Queue | GiveUp
) -> None:
    """A slot is needed in panic too."""
    assert step(standing(refused=(0, 1, 2), full=full, panic=panic)) == expected


def test_without_a_throttle_panic_takes_gates_last() -> None:
    """In the plan's order otherwise."""
    assert standing(refused=(0, 1, 2), gates={0: 9.0}).in_panic() == (1, 2, 0)
    assert standing(refused=(0, 1, 2), panic=(2,)).in_panic() == (2,)
    assert ALL_FREE.in_panic() == ()


@pytest.mark.parametrize(
    ("now", "failures", "expected"),
    [
        pytest.param(
            standing(full=(1,)), [(0, RETRY)], Call(2, 0.025, FALLBACK), id="around-a-full-one"
        ),
        pytest.param(standing(full=(1, 2)), [(0, RETRY)], Queue((1, 2)), id="all-others-full"),
        pytest.param(
            standing(full=(1, 2), refused=(1,)), [(0, RETRY)], Queue((2,)), id="those-who-may-be"
        ),
        pytest.param(
            standing(slow=(1, 2)), [(0, RETRY)], Call(0, 0.1, AGAIN), id="a-repeat-before-the-slow"
        ),
        pytest.param(standing(slow=(1, 2)), [(0, ELSEWHERE)], DEADLINE, id="only-slow-are-left"),
        pytest.param(
            standing(slow=(1,), refused=(1, 2), panic=()),
            [(0, ELSEWHERE)],
            EXHAUSTED,
            id="slow-but-refused-is-not-late",
        ),
        pytest.param(
            standing(refused=(1, 2), panic=(2, 1)),
            [(0, ELSEWHERE)],
            Call(2, 0.0, FALLBACK, panic=True),
            id="panic-in-its-order",
        ),
        pytest.param(
            standing(refused=(1, 2), panic=(2, 1), full=(2,)),
            [(0, ELSEWHERE)],
            Call(1, 0.0, FAILOVER, panic=True),
            id="panic-needs-a-slot",
        ),
        pytest.param(
            standing(refused=(1, 2), panic=()), [(0, ELSEWHERE)], EXHAUSTED, id="nobody-admitted"
        ),
        pytest.param(standing(full=(0,)), [(0, STALE)], Queue((0,)), id="stale-and-full-now"),
        pytest.param(standing(), [(0, STALE)], Call(0, 0.0, AGAIN), id="stale-and-free"),
    ],
)
def test_the_next_attempt_under_load(
    now: Standing, failures: list[tuple[int, Failure]], expected: Call | Queue | GiveUp
) -> None:
    assert step(now, *failures) == expected


def test_a_repeat_at_once_needs_a_free_slot() -> None:
    """One that waits first looks for a slot after its wait."""
    full = standing(full=(0,))
    assert step(full, (0, RETRY), entries=ONE, jitter=0.0) == Queue((0,))
    assert step(full, (0, RETRY), entries=ONE, jitter=0.5) == Call(0, 0.05, AGAIN)
    assert step(standing(), (0, RETRY), entries=ONE, jitter=0.0) == Call(0, 0.0, AGAIN)


@pytest.mark.parametrize(
    ("failures", "now", "expected"),
    [
        pytest.param([(0, RETRY)], ALL_FREE, BUDGET, id="no-failover"),
        pytest.param([(0, RETRY), (1, RETRY)], standing(refused=(2,)), BUDGET, id="no-repeat"),
        pytest.param([(0, RETRY)], standing(refused=(1, 2), panic=(1,)), BUDGET, id="no-panic"),
        pytest.param([(0, RETRY)], standing(full=(1, 2)), BUDGET, id="no-queue"),
        pytest.param([(0, STALE)], ALL_FREE, Call(0, 0.0, AGAIN), id="a-stale-one-is-free"),
        pytest.param([(0, STALE), (0, STALE)], ALL_FREE, BUDGET, id="once"),
        pytest.param([(0, STALE)], standing(refused=(0,)), BUDGET, id="elsewhere-it-is-not"),
        pytest.param([(0, STOP)], ALL_FREE, REJECTED, id="the-callers-fault-goes-before"),
    ],
)
def test_an_empty_budget_ends_it(
    failures: list[tuple[int, Failure]], now: Standing, expected: Call | GiveUp
) -> None:
    """The caller hears at once what happened; nothing waits for the budget."""
    assert step(now, *failures, affordable=False) == expected


def test_the_limit_of_one_request_is_told_before_the_budget_of_all() -> None:
    assert step(ALL_FREE, (0, RETRY), affordable=False, attempts_max=1) == ATTEMPTS


def test_an_empty_budget_costs_no_first_attempt() -> None:
    """Going round somebody who is refused, a full one or in panic included."""
    for now in (
        ALL_FREE,
        standing(refused=(0,)),
        standing(full=(0,)),
        standing(refused=(0, 1, 2)),
    ):
        found = step(now, affordable=False)
        assert isinstance(found, Call)
        assert not found.extra


@pytest.mark.parametrize(
    ("failures", "now", "extra"),
    [
        pytest.param([], ALL_FREE, False, id="the-first"),
        pytest.param([], standing(refused=(0, 1, 2)), False, id="the-first-in-panic"),
        pytest.param([], standing(refused=(0, 1, 2), gates={0: 1.0}), False, id="after-a-gate"),
        pytest.param([(0, STALE)], ALL_FREE, False, id="stale"),
        pytest.param([(0, RETRY)], ALL_FREE, True, id="failover"),
        pytest.param([(0, RETRY), (1, RETRY), (2, RETRY)], ALL_FREE, True, id="repeat"),
        pytest.param([(0, RETRY)], standing(refused=(0, 1, 2)), True, id="panic"),
    ],
)
def test_what_draws_on_the_budget_says_so(
    failures: list[tuple[int, Failure]], now: Standing, extra: bool
) -> None:
    """Once for every attempt beyond the first, never for a refusal."""
    found = step(now, *failures)
    assert isinstance(found, Call)
    assert found.extra is extra


@pytest.mark.parametrize(
    ("barred", "now", "failures", "expected"),
    [
        pytest.param((1,), ALL_FREE, [(0, RETRY)], Call(2, 0.025, FALLBACK), id="passed-over"),
        pytest.param((1, 2), ALL_FREE, [(0, RETRY)], Call(0, 0.1, AGAIN), id="not-the-same"),
        pytest.param((0, 1, 2), ALL_FREE, [(0, RETRY)], EXHAUSTED, id="everybody"),
        pytest.param(
            (1,),
            standing(refused=(0, 1, 2), panic=(1, 2)),
            [(0, RETRY)],
            Call(2, 0.0, FALLBACK, panic=True),
            id="not-even-in-panic",
        ),
        pytest.param((1,), standing(full=(1, 2)), [(0, RETRY)], Queue((2,)), id="nor-queued-for"),
        pytest.param((1,), standing(slow=(1,)), [(0, ELSEWHERE), (2, ELSEWHERE)], EXHAUSTED, id="nor-late"),
        pytest.param((), standing(slow=(1,)), [(0, ELSEWHERE), (2, ELSEWHERE)], DEADLINE, id="late"),
    ],
)  # fmt: skip
def test_who_is_barred_is_not_asked_whatever_happens(
    barred: tuple[int, ...],
    now: Standing,
    failures: list[tuple[int, Failure]],
    expected: Call | Queue | GiveUp,
) -> None:
    assert step(now, *failures, barred=barred) == expected


def test_of_two_attempts_side_by_side_a_rejection_counts_in_any_order() -> None:
    """The other one may fail a moment later: it is asked nobody else all the same."""
    assert step(ALL_FREE, (0, STOP), (1, RETRY)) == REJECTED
    assert step(ALL_FREE, (0, RETRY), (1, STOP)) == REJECTED


def test_who_is_on_a_backend_that_serves_us_nothing_is_not_queued_for() -> None:
    """`eu/small` is on the same backend as `eu/big`."""
    assert step(standing(full=(1, 2)), (0, NO_KEY)) == Queue((1,))
