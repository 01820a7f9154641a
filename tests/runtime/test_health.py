"""While a breaker is open, its health page is looked at: back within seconds, closed by probes only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hybridllm import Router, receipt
from hybridllm._runtime.ports import WireRequest, WireResponse
from hybridllm.testing import (
    FaultTransport,
    LoopClock,
    Reply,
    ScriptedWire,
    no_leaks,
    run_in_virtual_time,
)
from runtime.reloading import put, reloading
from runtime.world import KEY, Script, policy, scripted

BUSY, GOOD = Reply.status(503), Reply.chat("fine")
DEAD = Reply.fail("connect")


async def opened(here: Script) -> None:
    """Let `eu` fail until its breaker opens."""
    for _ in range(5):
        await here.chat()
    assert breaker(here).phase.value == "open"


def breaker(here: Script) -> Any:
    (state,) = here.router._engine.fleet.breakers.values()
    return state


def watching(here: Script) -> bool:
    return here.router._engine._health._looking is not None


def looks(here: Script) -> int:
    return len(here.wire.health_requests)


def test_nothing_is_looked_at_while_all_are_well() -> None:
    """Nor while a backend fails now and then."""

    async def main() -> None:
        async with scripted(policy("eu", "us"), eu=[BUSY, GOOD] * 20, us=GOOD) as here:
            for _ in range(20):
                await here.chat()
                await asyncio.sleep(5.0)
            assert not watching(here)
            assert looks(here) == 0

    run_in_virtual_time(main)


def test_a_page_that_is_good_twice_lets_a_probe_through_before_the_time() -> None:
    """Every two seconds; then only requests close it, and looking ends."""

    async def main() -> None:
        async with scripted(policy("eu", "us"), eu=[DEAD] * 5 + [GOOD], us=GOOD) as here:
            await opened(here)
            assert watching(here)
            await asyncio.sleep(1.99)
            assert looks(here) == 0
            await asyncio.sleep(0.02)
            assert here.wire.health_requests == ["https://eu.test/v1/models"]
            assert receipt(await here.chat()).attempts[0].backend == "us"
            await asyncio.sleep(2.0)
            assert looks(here) == 2
            assert breaker(here).phase.value == "open"  # a page closes nothing
            assert receipt(await here.chat()).attempts[0].backend == "eu"
            assert breaker(here).phase.value == "half_open"
            await here.chat()
            assert not here.router._engine.fleet.breakers
            await asyncio.sleep(60.0)
            assert looks(here) == 2
            assert not watching(here)

    run_in_virtual_time(main)


def test_a_page_of_a_backend_that_is_still_dead_lets_nobody_through() -> None:
    """Refused, and hanging: the wait is over when its time is, and so is looking."""

    async def main() -> None:
        for dead in (DEAD, Reply.hang()):
            text = policy("eu", "us", timeouts="attempt: 50ms")
            async with scripted(text, eu=dead, us=GOOD) as here:
                await opened(here)
                await asyncio.sleep(3.9)
                assert receipt(await here.chat()).attempts[0].backend == "us"
                await asyncio.sleep(60.0)
                assert looks(here) <= 4
                assert not watching(here)

    run_in_virtual_time(main)


def test_a_page_that_lies_is_believed_the_less() -> None:
    """It says 200 all the time, the requests hang: no more probes than without it, in the long run."""

    async def main() -> None:
        def lying(sent: Any) -> Reply:
            return Reply.hang()

        text = policy("eu", "us", timeouts="attempt: 50ms")
        async with scripted(text, eu=lying, us=GOOD) as here:
            await opened(here)
            before = here.sent("eu")
            for _ in range(600):
                await asyncio.sleep(0.5)
                await here.chat()
            assert looks(here) > 50
            assert here.sent("eu") - before <= 5 + 300 / 24

    run_in_virtual_time(main)


@pytest.mark.parametrize("after_s", [0.0, 1.0, 2.0, 2.5])
def test_a_router_that_is_closed_looks_no_more(after_s: float) -> None:
    """Before the first look, at it, and in the middle of one: no task is left (`no_leaks` counts them)."""

    async def main() -> None:
        text = policy("eu", "us", timeouts="attempt: 50ms")
        async with scripted(text, eu=Reply.hang(), us=GOOD) as here:
            await opened(here)
            await asyncio.sleep(after_s)
            engine = here.router._engine
            await here.router.aclose()
            engine._health.wake()  # what was broken off may still open a breaker
            assert engine._health._looking is None

    run_in_virtual_time(main)


def test_a_backend_may_have_none() -> None:
    """`health: off`: its time is waited for, and nothing looks."""

    async def main() -> None:
        text = policy("eu", "us", each="health: off")
        async with scripted(text, eu=DEAD, us=GOOD) as here:
            await opened(here)
            assert not watching(here)
            await asyncio.sleep(10.0)
            assert looks(here) == 0

    run_in_virtual_time(main)


def test_a_backend_that_a_reload_takes_away_is_looked_at_no_more(tmp_path: Path) -> None:
    """Nor is its page, once the policy has no such backend."""

    async def main() -> None:
        path = tmp_path / "p.yaml"
        replies = {"eu": DEAD, "us": GOOD}
        async with reloading(path, policy("eu", "us"), replies, environ={"KEY": KEY}) as here:
            await opened(here)
            put(path, policy("us"))
            assert await here.router.reload()
            await asyncio.sleep(10.0)
            assert looks(here) == 0
            assert not watching(here)

    run_in_virtual_time(main)


class Heard(ScriptedWire):
    """Remembers every request as it was handed to the wire."""

    def __init__(self, scripts: Any) -> None:
        super().__init__(scripts)
        self.heard: list[WireRequest] = []

    async def send(self, request: WireRequest) -> WireResponse:
        self.heard.append(request)
        return await super().send(request)


def test_a_look_carries_our_key_and_nothing_of_anybodys() -> None:
    """The list of models wants a key; no request's body, headers or trace goes along."""

    async def main() -> None:
        wire = Heard({"eu.test": DEAD, "us.test": GOOD})
        text = policy("eu", "us")
        async with (
            no_leaks(),
            Router.from_text(text, environ={"KEY": KEY}, wire=wire, clock=LoopClock()) as router,
        ):
            await opened(Script(router, wire, FaultTransport(wire)))
            await asyncio.sleep(2.1)
            (request,) = [one for one in wire.heard if one.method == "GET"]
            assert request.body is None
            headers = {name.lower(): value for name, value in dict(request.headers).items()}
            assert headers["authorization"] == f"Bearer {KEY}"
            assert "traceparent" not in headers

    run_in_virtual_time(main)
