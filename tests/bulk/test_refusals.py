"""An item that nobody takes now waits and is tried again, inside its own time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from bulk.jobs import all_of, backend, in_a_second, number_in, requests
from hybridllm._core.bulk.patience import LEFT_S_MIN, Waits, may_pass, wait_s
from hybridllm._core.bulk.tally import Tally
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.read import Call, read_chat
from hybridllm._runtime.bulk.ports import Prepared
from hybridllm._runtime.bulk.tries import Ended, ask
from hybridllm.errors import (
    BackendsUnavailable,
    HybridLLMError,
    Overloaded,
    RequestFailed,
    WarmingUp,
)
from hybridllm.testing import LoopClock, Reply, SentRequest, run_in_virtual_time
from runtime.world import policy, scripted


def refused(retry_after_s: float) -> Overloaded:
    return Overloaded("nobody takes it now", retry_after_s=retry_after_s)


class Refusing:
    """Refuses so often, then says so."""

    def __init__(self, errors: list[Exception]) -> None:
        self._errors = errors
        self.deadlines_s: list[float | None] = []
        self.at_s: list[float] = []

    async def answer(self, call: Call) -> Any:
        self.deadlines_s.append(call.hints.deadline_s)
        self.at_s.append(asyncio.get_running_loop().time())
        if self._errors:
            raise self._errors.pop(0)
        raise HybridLLMError("the last word")


async def asked(answerer: Any, *, budget_s: float = 600.0) -> Ended:
    call = read_chat({"messages": []}, Hints(deadline_s=budget_s))
    tally = Tally(total=None, now_s=0.0)
    ended = await ask(
        answerer,
        Prepared(call, None, budget_s),
        clock=LoopClock(),
        draw=lambda: 0.0,
        tally=tally,
    )
    assert tally.waiting == 0
    return ended


def test_a_refused_item_comes_back_when_it_was_told_to() -> None:
    """Not before; each time with what is left of its time."""

    async def main() -> None:
        answerer = Refusing([refused(5.0), refused(20.0)])
        ended = await asked(answerer)
        assert answerer.at_s == [0.0, 5.0, 25.0]
        assert answerer.deadlines_s == [600.0, 595.0, 575.0]
        assert str(ended.error) == "the last word"
        assert ended.tries == 3

    run_in_virtual_time(main)


def test_an_item_that_is_refused_for_ever_ends_inside_its_time() -> None:
    """With the refusal itself as its error."""

    async def main() -> None:
        answerer = Refusing([refused(0.0) for _ in range(10_000)])
        ended = await asked(answerer)
        assert isinstance(ended.error, Overloaded)
        assert 500 < asyncio.get_running_loop().time() <= 600
        assert 100 < ended.tries < 140

    run_in_virtual_time(main)


def test_any_other_error_is_final() -> None:
    """The router has retried already what is worth it."""

    async def main() -> None:
        ended = await asked(Refusing([RequestFailed("no")]))
        assert (str(ended.error), ended.tries) == ("no", 1)
        assert ended.paid.cost_usd is None or ended.paid.cost_usd == Decimal(0)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("asked_s", "waits", "remaining_s", "expected_s"),
    [
        pytest.param(3.0, Waits(1), 100, 3.0, id="as-asked"),
        pytest.param(0.0, Waits(1), 100, 0.25, id="never-at-once"),
        pytest.param(None, Waits(3), 100, 1.0, id="not-asked"),
        pytest.param(0.1, Waits(4), 100, 2.0, id="longer-each-time"),
        pytest.param(0.1, Waits(50), 100, 5.0, id="up-to-a-limit"),
        pytest.param(None, Waits(9, 1, last_failed=True), 100, 2.0, id="failed-once"),
        pytest.param(None, Waits(0, 4, last_failed=True), 100, 16.0, id="failed-often"),
        pytest.param(None, Waits(0, 50, last_failed=True), 100, 30.0, id="up-to-another-limit"),
        pytest.param(float("nan"), Waits(1), 100, 0.25, id="no-number"),
        pytest.param(float("inf"), Waits(1), 100, 0.25, id="infinite"),
        pytest.param(-5, Waits(1), 100, 0.25, id="negative"),
        pytest.param(10.0, Waits(1), 10.0 + LEFT_S_MIN, 10.0, id="just-in-time"),
        pytest.param(10.0, Waits(1), 10.0, None, id="too-late"),
    ],
)
def test_a_wait_is_what_was_asked_for_within_reason(
    asked_s: float | None, waits: Waits, remaining_s: float, expected_s: float | None
) -> None:
    """Bounded from below and above; None if nothing could come of it any more."""
    assert expected_s == wait_s(waits, asked_s=asked_s, remaining_s=remaining_s, jitter=0.0)


def test_many_do_not_come_back_together() -> None:
    """Up to a quarter later, never sooner than asked."""
    waits = [wait_s(Waits(1), asked_s=8.0, remaining_s=100, jitter=each) for each in (0, 0.5, 1)]
    assert waits == [8.0, 9.0, 10.0]


def down(retry_after_s: float, status_code: int | None = None) -> BackendsUnavailable:
    return BackendsUnavailable(
        "down", route="r", failures=[], retry_after_s=retry_after_s, status_code=status_code
    )


def waking(retry_after_s: float) -> WarmingUp:
    return WarmingUp("wakes", route="r", failures=[], retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("error", "waits", "passes"),
    [
        pytest.param(refused(500.0), Waits(99), True, id="overloaded"),
        pytest.param(down(30.0), Waits(99), True, id="all-down"),
        pytest.param(down(30.0, 429), Waits(1), True, id="all-busy"),
        pytest.param(down(30.0, 401), Waits(1), False, id="a-wrong-key"),
        pytest.param(down(300.0, 429), Waits(1), False, id="a-spent-quota"),
        pytest.param(waking(300.0), Waits(99), True, id="a-machine-that-loads-a-large-model"),
        pytest.param(RequestFailed("no"), Waits(0, 1), False, id="another-error"),
        pytest.param(ValueError("a bug"), Waits(0, 1), False, id="a-bug"),
    ],
)
def test_what_no_waiting_mends_is_final(error: Exception, waits: Waits, passes: bool) -> None:
    """Or a whole job would stand still for ten minutes, item by item, because of a wrong key."""
    assert may_pass(error, waits) is passes


@pytest.mark.parametrize(
    ("reply", "tries"),
    [
        pytest.param(Reply.status(503), 6, id="unpaid"),
        pytest.param(Reply.fail("connect"), 6, id="not-reached"),
        pytest.param(Reply.status(504), 1, id="perhaps-paid"),
        pytest.param(Reply.fail("reset"), 1, id="broken"),
        pytest.param(Reply.raw(b"<html>"), 1, id="no-answer"),
        pytest.param(Reply.status(401), 1, id="a-wrong-key"),
        pytest.param(Reply.status(400), 1, id="a-wrong-request"),
    ],
)
def test_an_item_that_everybody_fails_is_tried_again_while_it_costs_nothing(
    reply: Reply, tries: int
) -> None:
    """A few times, over a minute: it may be an outage, or the item itself."""

    async def main() -> None:
        async with backend(lambda _: reply) as here:
            (result,) = await all_of(here.router.map(requests(1)))
            assert len(here.wire.requests) <= tries
        assert not result.ok
        assert (result.tries > 1) is (tries > 1)

    run_in_virtual_time(main)


def test_a_job_that_is_larger_than_its_backend_is_answered_whole() -> None:
    """Sixty-four at once for a backend that takes two: none fails, and none is sent beyond its limit."""
    text = policy("eu", repeats=0).replace("region: eu", "region: eu, concurrency: 2")
    most = 0

    def answer(sent: SentRequest) -> Reply:
        nonlocal most
        most = max(most, here.wire.active)
        return in_a_second(number_in(sent))

    async def main() -> None:
        nonlocal here
        async with scripted(text, eu=answer) as here:
            job = here.router.map(requests(300), concurrency=64)
            results = await all_of(job)
        assert all(result.ok for result in results)
        assert any(result.tries > 1 for result in results)
        assert most == 2
        assert job.progress.elapsed_s < 200
        assert job.progress.waiting == 0

    here: Any = None
    run_in_virtual_time(main)


def test_an_outage_is_waited_out() -> None:
    """Every backend is down for three minutes: a job loses the requests that found that out, and no more."""
    healthy_from_s = 200.0

    def answer(number: int) -> Reply:
        now_s = asyncio.get_running_loop().time()
        return in_a_second(number) if not 20 < now_s < healthy_from_s else Reply.status(503)

    async def main() -> None:
        async with backend(answer) as here:
            job = here.router.map(requests(2_000), concurrency=16)
            results = await all_of(job)
            asked = len(here.wire.requests)
        failed = [result for result in results if not result.ok]
        assert len(failed) < 60, len(failed)
        assert job.progress.elapsed_s > healthy_from_s
        assert asked < 2_000 + 500

    run_in_virtual_time(main)
