"""A router and event loops: one after the other, two at once, and threads that have none.

Warnings are errors in these tests, those of unclosed sockets too.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hybridllm import HttpxWire, Router, RouterClosed, StreamInterrupted
from hybridllm.testing import Fault, LoopClock, Reply, ScriptedWire, run_in_virtual_time
from raw_server import until
from runtime.outside import asked, backend_outside, router_to
from runtime.reloading import put, text
from runtime.world import KEY, MESSAGES, policy

GOOD = Reply.chat("fine")
TOKENS = "one two three four five six seven eight"


def in_flight(router: Any) -> int:
    return router._engine.fleet.in_flight


def run_carelessly(main: Any) -> Any:
    """As programs do that know loops from before `asyncio.run`: nothing is told that the loop ends."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


# --- one after the other


@pytest.mark.parametrize("run", [asyncio.run, run_carelessly])
def test_c8_a_router_works_in_one_event_loop_after_the_other(run: Any) -> None:
    """As a module's global in a script: a new connection in each loop, and nothing left of the former."""
    with backend_outside() as backend:
        router = router_to(backend)
        for number in range(1, 4):
            assert "simulated" in run(asked(router))
            assert backend.connections_opened == number
            gc.collect()  # what is left of a loop would complain now
        asyncio.run(router.aclose())
        with pytest.raises(RouterClosed, match="closed"):
            asyncio.run(asked(router))


def test_connections_are_closed_as_their_loop_ends() -> None:
    """Not later, when the next one happens to begin."""
    with backend_outside() as backend:
        router = router_to(backend)
        asyncio.run(asked(router))
        give_up_at_s = time.perf_counter() + 5
        while backend.connections:
            assert time.perf_counter() < give_up_at_s
            time.sleep(0.01)
        assert in_flight(router) == 0


@pytest.mark.parametrize("run", [asyncio.run, run_carelessly])
def test_a_stream_that_its_loop_left_behind_ends_with_a_clear_error(run: Any) -> None:
    """Read in the next loop, it says why; its permit is back, and its router goes on."""
    with backend_outside(tokens_per_s=40.0, answer=TOKENS) as backend:
        router = router_to(backend)
        stream = run(router.chat.completions.create(messages=MESSAGES, task="t", stream=True))

        async def read() -> None:
            async with stream:
                async for _ in stream:
                    pass

        with pytest.raises(StreamInterrupted, match="event loop ended") as caught:
            asyncio.run(read())
        assert caught.value.cause == "router_closed"
        assert caught.value.partial_text == "one"
        assert stream.receipt.attempts[0].error == "router_closed"
        assert asyncio.run(asked(router)) == TOKENS
        assert in_flight(router) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_requests_cut_off_with_their_loop_are_not_counted_for_ever() -> None:
    """A careless end leaves tasks that never run again; the next loop begins with nobody under way."""
    with backend_outside(latency_s=30.0) as backend:
        router = router_to(backend)

        async def leave() -> None:
            task = asyncio.get_running_loop().create_task(asked(router))
            await until(lambda: backend.active == 1)
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # careless, as said
            left.append(task)

        left: list[Any] = []
        run_carelessly(leave())
        assert in_flight(router) == 1
        backend.latency_s = 0.0
        asyncio.run(asked(router))
        assert in_flight(router) == 0
        assert router.status().in_flight == {"eu": 0}
        left.clear()
        gc.collect()  # what nobody closed may say so: that is what careless means


def limited(router: Any) -> dict[int, str]:
    return dict(router.explain(messages=MESSAGES).refusals)


def test_what_was_learnt_of_backends_stays() -> None:
    """A cool-off of the first loop holds in the second: real loops have one time."""
    wire = ScriptedWire({"eu.test": Reply.status(429, retry_after=30), "us.test": GOOD})
    router = Router.from_text(policy("eu", "us"), environ={"KEY": KEY}, wire=wire)
    asyncio.run(asked(router))
    before = limited(router)
    assert "429" in before[0]
    asyncio.run(asked(router))
    assert limited(router) == before
    assert len(wire.sent_to("eu.test")) == 1


def test_what_was_learnt_at_another_time_is_forgotten() -> None:
    """A virtual loop begins at 0 again: an hour that never was must not keep a backend out."""
    wire = ScriptedWire({"eu.test": Reply.status(429, retry_after=30), "us.test": GOOD})
    text = policy("eu", "us")
    router = Router.from_text(text, environ={"KEY": KEY}, wire=wire, clock=LoopClock())

    async def late() -> None:
        await asyncio.sleep(3600)
        await asked(router)

    run_in_virtual_time(late)
    run_in_virtual_time(lambda: asked(router))
    assert len(wire.sent_to("eu.test")) == 2


KEPT = """
residency:
  secret: {regions: [eu], taint: 1h}
"""


@pytest.mark.parametrize("first_s", [0, 1_800])
def test_what_a_session_carried_stays_whatever_the_time(first_s: float) -> None:
    """It restricts where data may go: of two times that cannot be compared, the strict one holds."""
    wire = ScriptedWire({"eu.test": GOOD, "us.test": GOOD})
    text = policy("us", "eu", more=KEPT)
    router = Router.from_text(text, environ={"KEY": KEY}, wire=wire, clock=LoopClock())

    async def tainted() -> None:
        await asyncio.sleep(first_s)
        await asked(router, session="s", residency="secret")

    run_in_virtual_time(tainted)
    run_in_virtual_time(lambda: asked(router, session="s"))
    assert len(wire.sent_to("us.test")) == 0


def test_a_watched_file_is_watched_in_the_next_loop_too(tmp_path: Path) -> None:
    """From its first request on."""
    path = tmp_path / "team.yaml"
    put(path, text("eu"))
    wire = ScriptedWire({"eu.test": GOOD})
    router = Router.from_file(path, environ={"KEY": KEY}, wire=wire, watch=True, watch_s=0.01)

    async def ask() -> bool:
        await router.chat.completions.create(messages=MESSAGES)
        return router.status().watching

    assert asyncio.run(ask())
    assert not router.status().watching
    assert asyncio.run(ask())
    asyncio.run(router.aclose())


def test_a_wire_that_was_handed_in_does_not_come_along() -> None:
    """Its connections belong to its loop; the error says what to do. Nothing was sent."""
    httpx = pytest.importorskip("httpx")
    with backend_outside() as backend:
        client = httpx.AsyncClient()
        router = router_to(backend, wire=HttpxWire(client, owns_client=True))
        asyncio.run(asked(router))
        with pytest.raises(RouterClosed, match="handed a wire"):
            asyncio.run(asked(router))
        assert len(backend.requests) == 1


# --- two at once


def test_c8_two_event_loops_at_once_are_an_error_that_says_what_to_do() -> None:
    """Two threads, each with its loop: one works, the other is told; nothing hangs or is mixed up."""
    with backend_outside(latency_s=0.05) as backend:
        router = router_to(backend)
        together = threading.Barrier(8)

        async def ask_often() -> str:
            together.wait(10)
            try:
                for _ in range(3):
                    await asked(router)
            except RouterClosed as error:
                return str(error)
            return "answered"

        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(lambda _: asyncio.run(ask_often()), range(8)))
        assert told.count("answered") == 1
        others = [one for one in told if one != "answered"]
        assert all("another event loop" in one and "make one in each" in one for one in others)
        assert len(backend.requests) == 3
        assert in_flight(router) == 0
        assert "simulated" in asyncio.run(asked(router))  # once they have ended, it goes on


def test_two_loops_in_one_thread_are_told_too_while_the_first_is_open() -> None:
    """It could run again; once it is closed, the second works."""
    with backend_outside() as backend:
        router = router_to(backend)
        with asyncio.Runner() as first:
            first.run(asked(router))
            with pytest.raises(RouterClosed, match="another event loop"):
                asyncio.run(asked(router))
            with pytest.raises(RouterClosed, match="another event loop"):
                asyncio.run(_entered(router))
            assert "simulated" in first.run(asked(router))
        assert "simulated" in asyncio.run(asked(router))


async def _entered(router: Any) -> None:
    """`async with` alone binds nothing; the first request does."""
    router._begin()
    await asked(router)


def test_a_stream_is_read_in_its_own_loop_only() -> None:
    """Elsewhere it says so, and is none the worse for it."""
    with backend_outside(answer=TOKENS, tokens_per_s=50.0) as backend:
        router = router_to(backend)
        with asyncio.Runner() as first:
            stream = first.run(
                router.chat.completions.create(messages=MESSAGES, task="t", stream=True)
            )

            async def rest() -> str:
                return "".join([c.choices[0].delta.content or "" async for c in stream])

            async def elsewhere() -> None:
                await anext(stream)  # its first token is here already
                with pytest.raises(RuntimeError, match="another event loop"):
                    await rest()
                with pytest.raises(RuntimeError, match="another event loop"):
                    await stream.close()

            asyncio.run(elsewhere())
            assert first.run(rest()).endswith("eight")
            first.run(router.aclose())


def test_a_router_is_closed_from_another_thread() -> None:
    """In the loop that it works in: its stream is drained there, and both threads know."""
    with backend_outside(answer=TOKENS, tokens_per_s=40.0) as backend:
        router = router_to(backend)
        begun = threading.Event()

        async def work() -> str:
            stream = await router.chat.completions.create(messages=MESSAGES, task="t", stream=True)
            begun.set()
            return "".join([c.choices[0].delta.content or "" async for c in stream])

        with ThreadPoolExecutor(1) as thread:
            working = thread.submit(asyncio.run, work())
            assert begun.wait(10)
            asyncio.run(router.aclose(drain_s=10))
            assert working.result(10) == TOKENS
            with pytest.raises(RouterClosed):
                thread.submit(asyncio.run, asked(router)).result(10)


def test_a_router_whose_loop_stands_still_is_closed_from_another() -> None:
    """Nobody could wait for that loop; what was under way in it is told when it runs again."""
    with backend_outside() as backend:
        backend.fault = Fault.hang()
        router = router_to(backend)
        with asyncio.Runner() as first:

            async def begin() -> Any:
                task = asyncio.get_running_loop().create_task(asked(router))
                while not in_flight(router):
                    await asyncio.sleep(0.001)
                return task

            task = first.run(begin())
            asyncio.run(router.aclose(drain_s=30))

            async def end() -> None:
                with pytest.raises(RouterClosed, match="closed"):
                    await task

            first.run(end())
        assert in_flight(router) == 0


# --- threads without a loop


def test_explain_and_status_work_in_threads_while_requests_run() -> None:
    """They are answered between two steps of the router's loop: never half of something."""
    wire = ScriptedWire(
        {"eu.test": [GOOD, Reply.status(503), Reply.status(429)] * 200, "us.test": GOOD}
    )
    routed = "order_by: latency"
    router = Router.from_text(
        policy("eu", "us", ordered=False).replace("use: [m]", f"use: [m], {routed}"),
        environ={"KEY": KEY},
        wire=wire,
    )
    over = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not over.is_set():
            router.explain(messages=MESSAGES)
            seen.append(sum(router.status().in_flight.values()))

    async def main() -> None:
        async with router:
            await asked(router)
            loop = asyncio.get_running_loop()
            looking = [loop.run_in_executor(threads, look) for _ in range(3)]
            for _ in range(40):
                async with asyncio.TaskGroup() as group:
                    for _ in range(10):
                        group.create_task(asked(router))
            over.set()
            await asyncio.wait(looking)
            for one in looking:
                one.result()

    with ThreadPoolExecutor(3) as threads:
        asyncio.run(main())
    assert seen
    assert in_flight(router) == 0


def test_explain_does_not_wait_for_a_loop_that_waits_for_it() -> None:
    """A thread that is joined by the loop itself: it reads at once, for nothing changes meanwhile."""
    wire = ScriptedWire({"eu.test": GOOD})
    router = Router.from_text(policy("eu"), environ={"KEY": KEY}, wire=wire)

    async def main() -> None:
        await asked(router)
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(router.explain(messages=MESSAGES)))
        thread.start()
        thread.join(10)  # blocks the loop, as careless code does
        assert found[0].allowed

    asyncio.run(main())
