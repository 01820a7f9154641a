"""An item that nobody takes now waits and is tried again, inside its own time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from hybridllm._core.bulk.patience import LEFT_S_MIN, OWN_WAIT_S_MAX, WAIT_S_MAX, wait_s
from hybridllm._core.bulk.tally import Tally
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.read import Call, read_chat
from hybridllm._runtime.bulk.ports import Prepared
from hybridllm._runtime.bulk.tries import Ended, ask
from hybridllm.errors import HybridLLMError, Overloaded, RequestFailed
from hybridllm.testing import LoopClock, run_in_virtual_time


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
    """With the refusal itself as its error; it was patient, and asked seldom."""

    async def main() -> None:
        answerer = Refusing([refused(0.0) for _ in range(10_000)])
        ended = await asked(answerer)
        assert isinstance(ended.error, Overloaded)
        assert 500 < asyncio.get_running_loop().time() <= 600
        assert 10 < ended.tries < 40

    run_in_virtual_time(main)


def test_any_other_error_is_final() -> None:
    """The router has retried already what is worth it."""

    async def main() -> None:
        ended = await asked(Refusing([RequestFailed("no")]))
        assert (str(ended.error), ended.tries) == ("no", 1)
        assert ended.paid.cost_usd is None or ended.paid.cost_usd == Decimal(0)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("asked_s", "refusals", "remaining_s", "expected_s"),
    [
        pytest.param(3.0, 1, 100, 3.0, id="as-asked"),
        pytest.param(0.0, 1, 100, 0.25, id="never-at-once"),
        pytest.param(None, 3, 100, 1.0, id="not-asked"),
        pytest.param(0.1, 4, 100, 2.0, id="longer-each-time"),
        pytest.param(0.1, 50, 100, OWN_WAIT_S_MAX, id="up-to-a-limit"),
        pytest.param(86_400, 1, 600, WAIT_S_MAX, id="insane"),
        pytest.param(float("nan"), 1, 100, 0.25, id="no-number"),
        pytest.param(float("inf"), 1, 100, 0.25, id="infinite"),
        pytest.param(-5, 1, 100, 0.25, id="negative"),
        pytest.param(10.0, 1, 10.0 + LEFT_S_MIN, 10.0, id="just-in-time"),
        pytest.param(10.0, 1, 10.0, None, id="too-late"),
    ],
)
def test_a_wait_is_what_was_asked_for_within_reason(
    asked_s: float | None, refusals: int, remaining_s: float, expected_s: float | None
) -> None:
    """Bounded from below and above; None if nothing could come of it any more."""
    assert expected_s == wait_s(asked_s, refusals=refusals, remaining_s=remaining_s, jitter=0.0)


def test_many_do_not_come_back_together() -> None:
    """Up to a quarter later, never sooner than asked."""
    waits = [wait_s(8.0, refusals=1, remaining_s=100, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]
    assert waits == [8.0, 9.0, 10.0]
