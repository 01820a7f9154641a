"""Acceptance: recorded streams, harmed at random; never a wrong text reported as complete, never text twice.

Ten thousand in virtual time (without `--full` an eighth of them), through the whole router, mostly with a
healthy backend beside that says something else, so that two answers glued together would show. The judge
is a plain reader of the recording that was not harmed; see `recordings.py`. `NUMBER` in a failure makes
that one again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from counted import PartOf
from faults.harms import Harm, harmed
from faults.recordings import Recording, Said, recordings
from faults.skipping import run_skipping
from faults.verdicts import ELSEWHERE, Seen, read, verdict
from hybridllm import Router
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import Wire, WireError, WireRequest
from hybridllm.testing import LoopClock, Reply, ScriptedWire, no_leaks, run_in_virtual_time
from raw_server import Exchange, chunk, raw_server
from runtime.world import environ, policy

SHARES, CASES = 8, 1_250
OVER_SOCKETS = 300
HEAD = {"content-type": "text/event-stream; charset=utf-8"}
BESIDE = Reply.chat_stream(["\u0398\u03b1\u03bb\u03ae\u03c2", " answers", " instead"])


class HarmedAnswer:
    """A body that comes as its harm says."""

    status, headers = 200, HEAD

    def __init__(self, steps: list[bytes | float], end: str) -> None:
        self._steps = iter(steps)
        self._end = end
        self.closed = False

    async def chunk(self) -> bytes:
        for step in self._steps:
            if isinstance(step, bytes):
                return step
            await asyncio.sleep(step)
        if self._end == "reset":
            raise WireError(FailureKind.RESET, "reset")
        if self._end == "hang":
            await asyncio.get_running_loop().create_future()
        return b""

    async def close(self, *, reusable: bool) -> None:
        self.closed = True


class HarmedWire:
    """`eu` is harmed, `us` is well."""

    def __init__(self, harm: Harm) -> None:
        self._harm = harm
        self.answers: list[HarmedAnswer] = []

    async def send(self, request: WireRequest) -> HarmedAnswer:
        if "eu.test" in request.url:
            answer = HarmedAnswer(self._harm.steps, self._harm.end)
        else:
            answer = HarmedAnswer(list(BESIDE.chunks), "clean")
        self.answers.append(answer)
        return answer

    async def close(self) -> None:
        """Nothing is kept."""


def drawn(number: int) -> tuple[Recording, Harm, bool]:
    """The case of this number: what was recorded, its harm, and whether nobody stands beside."""
    chance = random.Random(number)
    recording = chance.choice(recordings())
    return recording, harmed(recording, chance), recording.answers > 1 or chance.random() < 0.3


def policies() -> tuple[Any, Any]:
    """For two backends, and for the harmed one alone."""
    return tuple(
        load_policy_text(policy(*names, repeats=0))[0] for names in (("eu", "us"), ("eu",))
    )


async def in_virtual_time(number: int, compiled: Any) -> tuple[Harm, str]:
    """One case; returns how it ended."""
    recording, harm, alone = drawn(number)
    wire: Wire = HarmedWire(harm)
    router = Router(compiled[alone], environ=environ(), wire=wire, clock=LoopClock())
    async with router:
        seen = await read(router, recording.answers)
        assert router._engine.fleet.in_flight == 0
        assert all(answer.closed for answer in wire.answers)
    return harm, verdict(seen, harm, alone=alone)


async def many(numbers: range, one: Any) -> Counter[tuple[str, str]]:
    """Go through the cases; tell of the first that is wrong, and how the others ended."""
    counts: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        try:
            harm, ended = await one(number)
        except AssertionError as error:
            recording, harm, alone = drawn(number)
            error.add_note(f"NUMBER {number}: {recording.name}, alone: {alone}, {harm.what}")
            raise
        counts[harm.sort, ended] += 1
    return counts


def assert_telling(counts: Counter[tuple[str, str]], total: int) -> None:
    """Every kind of end has been seen often, and what was harmless has harmed nobody."""
    assert counts.total() == total
    ends = Counter[str]()
    for (_, ended), count in counts.items():
        ends[ended] += count
    assert min(ends[name] for name in ("whole", "elsewhere", "interrupted", "failed")) > total / 50
    assert counts["harmless", "whole"] > total / 10
    assert counts["broken", "whole"] < counts["broken", "interrupted"]


@pytest.mark.parametrize("share", range(SHARES))
def test_no_harm_makes_a_wrong_text_complete(share: int, part_of: PartOf) -> None:
    """Cut anywhere, split anywhere, stalled, reset, spoilt, begun anew, with more behind its end."""
    cases = part_of(CASES, 1 / 8)

    async def main() -> Counter[tuple[str, str]]:
        compiled = policies()
        async with no_leaks():
            numbers = range(share * CASES, share * CASES + cases)
            return await many(numbers, lambda number: in_virtual_time(number, compiled))

    assert_telling(run_in_virtual_time(main), cases)


def over_a_socket(harm: Harm, chance: random.Random) -> Any:
    """The harm as a server's play: chunked, or ended by its connection; cut to the wire's own bytes."""
    chunked = chance.random() < 0.7

    async def play(exchange: Exchange) -> None:
        framing = b"transfer-encoding: chunked" if chunked else b"connection: close"
        await exchange.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + framing + b"\r\n\r\n"
        )
        for step in harm.steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                await exchange.write(chunk(step) if chunked else step)
                await asyncio.sleep(0)
        if harm.end == "hang":
            await exchange.peer_left()
        elif harm.end == "reset":
            if chance.random() < 0.5:
                await exchange.write(b"ff\r\ndata: {" if chunked else b"data: {")
            exchange.rst() if chance.random() < 0.5 else exchange.fin()
        elif chunked:
            await exchange.write(chunk(b""))
        else:
            exchange.fin()

    return play


@asynccontextmanager
async def sockets() -> AsyncIterator[Any]:
    """Two servers, and what runs one case over them."""
    now: dict[str, Any] = {}
    compiled: dict[bool, Any] = {}

    async def first(exchange: Exchange) -> None:
        await now["play"](exchange)

    async def second(exchange: Exchange) -> None:
        await over_a_socket(Harm("", list(BESIDE.chunks), "clean", Said()), random.Random(1))(
            exchange
        )

    async def one(number: int) -> tuple[Harm, str]:
        recording, harm, alone = drawn(number)
        now["play"] = over_a_socket(harm, random.Random(number))
        async with Router(compiled[alone], environ=environ(), clock=LoopClock()) as router:
            seen = await read(router, recording.answers)
            assert router._engine.fleet.in_flight == 0
        return harm, verdict(seen, harm, alone=alone)

    async with raw_server(first) as harmed_one, raw_server(second) as beside:
        urls = {"eu": f"{harmed_one.url}/v1", "us": f"{beside.url}/v1"}
        for alone, names in ((False, ("eu", "us")), (True, ("eu",))):
            text = policy(*names, urls=urls, repeats=0)
            compiled[alone] = load_policy_text(text, environ=environ())[0]
        yield one


def test_no_harm_makes_a_wrong_text_complete_over_sockets() -> None:
    """The same by a real server: in the frames of HTTP, or without any; FIN and RST in their midst."""

    async def main() -> Counter[tuple[str, str]]:
        async with sockets() as one:
            return await many(range(SHARES * CASES, SHARES * CASES + OVER_SOCKETS), one)

    assert_telling(run_skipping(main), OVER_SOCKETS)


# --- the judge is awake


WHOLE = Said({(0, "content"): "Hello"}, {0: "stop"})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(Said({(0, "content"): "Hell"}, {0: "stop"}), None, id="a-part"),
        pytest.param(Said({(0, "content"): "HelloHello"}, {0: "stop"}), None, id="twice"),
        pytest.param(Said({(0, "content"): "HelHello"}, {0: "stop"}), None, id="glued"),
        pytest.param(Said({(0, "content"): "Hello"}, {0: None}), None, id="no-end"),
        pytest.param(
            Said({(0, "content"): "Hel" + ELSEWHERE}, {0: "stop"}), "us", id="two-answers"
        ),
        pytest.param(Said({(0, "content"): "Help"}, {}), "broken", id="not-its-beginning"),
        pytest.param(Said({(0, "content"): "Hel"}, {}), "asked-on", id="a-second-request"),
    ],
)
def test_the_judge_refuses_what_may_not_be(said: Said, told: str | None) -> None:
    """A router that glues, repeats or shortens would not pass."""
    harm = Harm("broken", [], "clean", WHOLE)
    with pytest.raises(AssertionError):
        verdict(seen_as(said, told), harm, alone=False)


def seen_as(said: Said, told: str | None) -> Seen:
    """What a router that errs would have shown."""
    text = policy("eu", "us", repeats=0)
    breaks = Reply.chat_stream(["Hello"], finish_reason=None)
    replies = {None: Reply.chat_stream(["Hello"]), "us": Reply.fail("reset"), "broken": breaks}

    async def main() -> Seen:
        wire = ScriptedWire({"eu.test": replies.get(told, breaks), "us.test": BESIDE})
        async with Router.from_text(
            text, environ=environ(), wire=wire, clock=LoopClock()
        ) as router:
            seen = await read(router, 1)
            if told == "asked-on":
                again = await read(router, 1)
                attempts = (*seen.receipt.attempts, *again.receipt.attempts[:1] * 2)
                return replace(seen, said=said, receipt=replace(seen.receipt, attempts=attempts))
            return replace(seen, said=said)

    return run_in_virtual_time(main)
