"""A real server whose engine freezes, and then dies: who has an answer keeps it, who has none gets another.

The first of them leaves the server as it was. The last kills it, so nothing runs after.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from hybridllm import RouteExhausted, StreamInterrupted
from real.routers import HELD, Pair, ended, gauge, history, idle, pair, read
from real.server import SLOTS, RealServer


@contextmanager
def frozen(server: RealServer) -> Iterator[None]:
    """Stop the engine for the length of the block; the process that speaks HTTP goes on."""
    server.signal(signal.SIGSTOP, engine=True)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT, engine=True)


@pytest.mark.flaky(reruns=1)  # where other work takes its cores, its page comes too late
async def test_a_frozen_engine_looks_well_and_is_left_by_its_time_limits(
    server: RealServer,
) -> None:
    """Health and metrics say what they said; only that no token comes tells. It comes back by itself."""
    limits = "first_token: 1s, attempt: 1s, idle: 1s"
    async with pair(server, timeouts=limits) as here, server.client() as client:
        running = await here.stream(tokens=HELD)
        before = await gauge(server, client, lambda g: g["num_requests_running"] == 1)
        with frozen(server):
            found = await ended(read(running), here.chat(), here.stream())
            assert (await client.get("/health")).status_code == 200
            during = await server.gauges(client)
        broken, plain, stream = found
        await read(stream)
        await idle(server, client)
        async with pair(server) as patient:
            thawed = await patient.chat(tokens=2, residency="phi")
    assert (during["num_requests_running"], during["num_requests_waiting"]) == (1, 0)
    assert during["generation_tokens_total"] - before["generation_tokens_total"] < HELD
    assert isinstance(broken, StreamInterrupted)
    assert broken.cause == "idle_timeout"
    assert history(plain) == [("gpu", "attempt_timeout"), ("api", None)]
    assert history(stream) == [("gpu", "first_token_timeout"), ("api", None)]
    assert history(thawed) == [("gpu", None)]


@pytest.mark.last
async def test_a_killed_engine_breaks_what_it_had_begun_and_nothing_else(
    server: RealServer,
) -> None:
    """Begun streams end as failures inside their 200; what waited is answered by the API, unseen.

    What may not leave gets a typed error, then and after; the API sees no request of its.
    """
    async with pair(server) as here, server.client() as client:
        # At once: while a server warms up for two of them, the first might come to its end.
        begun = await ended(*(here.stream(tokens=HELD) for _ in range(SLOTS)))
        waiting = [
            asyncio.ensure_future(call)
            for call in (to_the_end(here), here.chat(tokens=HELD), here.chat(residency="phi"))
        ]
        await asyncio.sleep(
            2.0
        )  # they are in its queue; its metrics page may come too late to say so
        server.signal(signal.SIGKILL, engine=True)
        broken = await ended(*(read(stream) for stream in begun))
        stream, plain, kept = await ended(*waiting)
        causes = [getattr(one, "cause", one) for one in broken]
        assert causes == ["500"] * SLOTS
        assert all(isinstance(error, StreamInterrupted) for error in broken)
        assert stream == [("gpu", "500"), ("api", None)]
        assert history(plain) == [("gpu", "500"), ("api", None)]
        assert isinstance(kept, RouteExhausted)
        assert {backend for backend, _ in history(kept)} == {"gpu"}

        await refused(client)
        assert history(await here.chat())[-1] == ("api", None)
        with pytest.raises(RouteExhausted) as caught:
            await here.chat(residency="phi")
        assert "api" not in dict(
            history(caught.value)
        )  # its breaker may be open by now: nothing is sent
        assert here.asked_api == 3


async def to_the_end(here: Pair) -> list[tuple[str, str | None]]:
    """Read a whole stream; return who was asked for it."""
    stream = await here.stream(tokens=HELD)
    await read(stream)
    return history(stream)


async def refused(client: httpx.AsyncClient) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(20):
        while True:
            try:
                await client.get("/health")
            except httpx.TransportError:
                return
            await asyncio.sleep(0.02)
