"""What ends, and what outlives it.

A router that is closed ends what is under way, over real sockets, at once and with a word of its own. An
error outlives its router, in another process too; `explain` outlives the loop.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from pydantic import BaseModel

from hybridllm import (
    HybridLLMError,
    PolicyDenied,
    RequestFailed,
    Router,
    RouterClosed,
    StreamInterrupted,
)
from hybridllm.testing import Fault, Reply, ScriptedWire, run_in_virtual_time
from raw_server import until
from runtime.world import KEY, MESSAGES, World, policy, scripted, text_of, world

GOOD = Reply.chat("fine")
AT_ONCE_S = 2.0  # the limits are 30 s; a busy machine takes its time
BROKEN = Reply.chat_stream(["a"], finish_reason=None, done=False).then_fail("reset")
QUIET = {
    "stall": Fault.cut_after(2, "stall"),
    "pings": Fault.cut_after(2, "pings"),
}


async def how_it_ends(task: asyncio.Task[Any]) -> tuple[Exception, float]:
    """What a task raises, and how long that takes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises((RequestFailed, RouterClosed)) as caught:
        async with asyncio.timeout(3):
            await task
    return caught.value, loop.time() - began


async def read(here: World) -> None:
    """One stream, read to its end."""
    async with await here.stream() as stream:
        async for _ in stream:
            pass


@pytest.mark.parametrize("fault", QUIET.values(), ids=QUIET)
async def test_a_close_ends_a_stream_and_a_call_at_once(fault: Fault) -> None:
    """Neither hangs until its timeout, neither ends well, no backend is asked instead."""
    async with world("eu", "us", timeouts="idle: 30s, attempt: 30s, first_token: 30s") as here:
        here["eu"].answer = "one two three"
        here["eu"].fault = fault
        loop = asyncio.get_running_loop()
        stream = loop.create_task(read(here))
        await until(lambda: here.active == 1)
        await asyncio.sleep(0.1)  # two of its tokens are there
        here["eu"].fault = Fault.hang()
        call = loop.create_task(here.chat())
        starting = loop.create_task(here.stream())
        await until(lambda: here.active == 3)
        began = loop.time()
        await here.router.aclose(drain_s=0)
        assert loop.time() - began < AT_ONCE_S
        error, took_s = await how_it_ends(stream)
        assert isinstance(error, StreamInterrupted)
        assert error.partial_text == "one two"
        assert took_s < AT_ONCE_S
        for task in (call, starting):
            error, took_s = await how_it_ends(task)
            assert isinstance(error, RouterClosed | RequestFailed)
            assert took_s < AT_ONCE_S
        assert await here.idle() < AT_ONCE_S
        assert here["us"].requests == []


async def test_a_close_ends_a_call_that_waits_for_its_body() -> None:
    """Its head had come."""
    async with world("eu", timeouts="attempt: 30s") as here:
        here["eu"].fault = Fault.hang_after_head()
        call = asyncio.get_running_loop().create_task(here.chat())
        await until(lambda: here.active == 1)
        await asyncio.sleep(0.05)
        await here.router.aclose(drain_s=0)
        _, took_s = await how_it_ends(call)
        assert took_s < AT_ONCE_S
        assert await here.idle() < AT_ONCE_S


async def test_a_call_to_a_closed_router_is_told_so() -> None:
    """Before anything is built or sent; closing again does nothing."""
    async with world("eu") as here:
        await here.chat()
        await here.router.aclose()
        await here.router.aclose()
        with pytest.raises(RouterClosed, match="closed"):
            await here.chat()
        assert len(here["eu"].requests) == 1


async def test_a_router_that_was_never_used_closes() -> None:
    """There is no wire to close, and none is made for it."""
    router: Any = Router.from_text(policy("eu"), environ={"KEY": KEY})
    await router.aclose()
    with pytest.raises(RouterClosed):
        await router.chat.completions.create(messages=MESSAGES)


# --- errors that travel


class Label(BaseModel):
    label: str


RAISED: dict[str, tuple[Reply, dict[str, Any]]] = {
    "InvalidRequest": (GOOD, {"nonsense": 1}),
    "PolicyDenied": (GOOD, {"max_cost_usd": "0"}),
    "RequestRejected": (Reply.status(400, error_code="bad"), {}),
    "RouteExhausted": (Reply.status(503), {}),
    "DeadlineExceeded": (Reply.hang(), {"deadline_s": 1}),
    "StreamInterrupted": (BROKEN, {"stream": True}),
    "TruncatedOutput": (Reply.chat('{"la', finish_reason="length"), {"response_format": Label}),
    "InvalidOutput": (Reply.chat('{"a": 1}'), {"response_format": Label}),
    "ContentFiltered": (
        Reply.chat(None, finish_reason="content_filter"),
        {"response_format": Label},
    ),
    "RouterClosed": (GOOD, {}),
}


def raised_as(name: str) -> HybridLLMError:
    """An error of this class, as a router raises it."""
    reply, params = RAISED[name]

    async def main() -> HybridLLMError:
        async with scripted(policy("eu", repeats=0), eu=reply) as here:
            completions: Any = here.router.chat.completions
            make = completions.parse if "response_format" in params else completions.create
            if name == "RouterClosed":
                await here.chat()
                await here.router.aclose()
            try:
                await text_of(await make(messages=MESSAGES, **params))
            except HybridLLMError as error:
                return error
            raise AssertionError(f"{name} was not raised")

    return run_in_virtual_time(main)


def told_by(error: HybridLLMError) -> dict[str, Any]:
    """Its facts, comparable: candidates by their names, the receipt as it is shown."""
    facts = dict(vars(error))
    if "dropped" in facts:
        facts["dropped"] = [(drop.candidate.name, drop.detail) for drop in facts["dropped"]]
    for name in ("request", "response", "__notes__"):
        facts.pop(name, None)
    if facts.get("receipt") is not None:
        facts["receipt"] = facts["receipt"].to_dict()
    return facts


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize(
    "again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)  # fmt: skip
def test_an_error_of_a_router_travels_with_all_its_facts(name: str, again: Any) -> None:
    """To a worker's parent, through a queue, into a log: candidates, receipt and answer included."""
    error = raised_as(name)
    assert type(error).__name__ == name
    other = again(error)
    assert type(other).__name__ == name
    assert isinstance(other, HybridLLMError)
    assert str(other) == str(error)
    mine, theirs = told_by(error), told_by(other)
    assert {field: mine[field] for field in theirs} == theirs
    assert "receipt" not in mine or theirs["receipt"] == mine["receipt"]
    assert KEY not in str(theirs)


def test_what_a_denial_dropped_travels_with_it() -> None:
    """Every candidate that was considered, with its reason."""
    other = pickle.loads(pickle.dumps(raised_as("PolicyDenied")))
    assert isinstance(other, PolicyDenied)
    (drop,) = other.dropped
    assert drop.candidate.name == "eu/m"
    assert "max_cost_usd" in drop.detail


# --- explain, elsewhere


def alone(wire: ScriptedWire) -> Any:
    """A router with the clock that it has in production."""
    return Router.from_text(policy("eu", "us"), environ={"KEY": KEY}, wire=wire)


def passed_over(router: Any) -> dict[str, str]:
    told = router.explain(messages=MESSAGES)
    return {told.candidates[place]: reason for place, reason in told.refusals.items()}


def test_explain_works_in_a_thread_after_failures() -> None:
    """A web server's handler may live there; breakers and cool-offs are asked for all the same."""

    async def main() -> None:
        limited = Reply.status(429, retry_after=30)
        async with alone(ScriptedWire({"eu.test": limited, "us.test": GOOD})) as router:
            await router.chat.completions.create(messages=MESSAGES)
            found = await asyncio.to_thread(passed_over, router)
            assert list(found) == ["eu/m"]
            assert "429" in found["eu/m"]
            assert found == passed_over(router)

    run_in_virtual_time(main)


@pytest.mark.parametrize("failures", [1, 5])
def test_explain_works_after_its_loop_has_ended(failures: int) -> None:
    """And before any: it needs none."""
    router = alone(ScriptedWire({"eu.test": Reply.status(503), "us.test": GOOD}))
    assert passed_over(router) == {}

    async def main() -> None:
        for _ in range(failures):
            await router.chat.completions.create(messages=MESSAGES)

    run_in_virtual_time(main)
    assert passed_over(router) == ({"eu/m": "breaker open"} if failures == 5 else {})


def test_explain_takes_its_needs_from_a_generator() -> None:
    """It is read once, though it is looked at twice."""
    router = alone(ScriptedWire({}))
    told = router.explain(needs=(name for name in ("tools", "vision")))
    assert told.plan.facts.needs == {"tools", "vision"}
    assert told.allowed
