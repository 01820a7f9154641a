"""Faults in front of any wire: the same as a simulated backend's, in virtual time, and nothing unasked."""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args

import httpx
import pytest

from hybridllm import HttpxWire, Router, receipt
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest
from hybridllm.errors import HybridLLMError, StreamInterrupted
from hybridllm.testing import (
    Cut,
    Fault,
    FaultTransport,
    LoopClock,
    Reply,
    ScriptedWire,
    SimulatedBackend,
    no_leaks,
    run_in_virtual_time,
)
from raw_server import until
from runtime.world import KEY, MESSAGES, MODEL, policy, text_of

TIMEOUTS = "total: 5s, connect: 400ms, attempt: 600ms, first_token: 600ms, idle: 600ms"
TOKENS = ["one", " two", " three", " four"]
EU = "https://eu.test/v1"


def scripted() -> ScriptedWire:
    """A wire whose backends answer well, streams and not."""

    def good(sent: Any) -> Reply:
        if sent.json.get("stream"):
            return Reply.chat_stream(TOKENS)
        return Reply.chat("one two three four")

    return ScriptedWire({"eu.test": good, "us.test": good})


async def asked(wire: Any, url: str = EU, **body: Any) -> tuple[int, bytes]:
    """Status and body of one exchange."""
    request = WireRequest(
        "POST", f"{url}/chat/completions", {}, json.dumps(body).encode(), connect_timeout_s=2.0
    )
    response = await wire.send(request)
    whole = b""
    try:
        while piece := await response.chunk():
            whole += piece
    finally:
        await response.close(reusable=True)
    return response.status, whole


# --- the same as over a socket

FAULTS: dict[str, Fault] = {
    "refuse": Fault.refuse(),
    "blackhole": Fault.blackhole(),
    "hang": Fault.hang(),
    "hang_after_head": Fault.hang_after_head(),
    "reset_before_head": Fault.reset_before_head(),
    "reset_mid_head": Fault.reset_mid_head(),
    "fin_before_head": Fault.fin_before_head(),
    "garbage": Fault.garbage(),
    "503": Fault.status(503),
    "429": Fault.status(429, retry_after=1),
    "401": Fault.status(401),
    "quota": Fault.status(429, {"error": {"code": "insufficient_quota", "message": "m"}}),
    "redirect": Fault.redirect("https://us.test/v1"),
    "html": Fault.html(),
    "empty": Fault.empty(),
    "slow": Fault.slow(1.0),
    "trickle": Fault.trickle(0.1, piece_bytes=10),
    "error_before_first_token": Fault.error_before_first_token(),
    "role_then_hang": Fault.role_then_hang(),
    "pings_before_first_token": Fault.pings_before_first_token(),
} | {f"cut-{how}": Fault.cut_after(2, how) for how in get_args(Cut)}


async def what_came_of_it(router: Router, *, stream: bool) -> tuple[list[Any], str]:
    """The error of each attempt, and what the caller got."""
    try:
        answer = await router.chat.completions.create(
            messages=MESSAGES, task="t", stream=stream, deadline_s=4.0
        )
        got = "answered"
        if stream:
            await text_of(answer)
    except HybridLLMError as error:
        answer, got = error, type(error).__name__
    told = receipt(answer)
    return [(a.backend, a.error, a.status_code, a.maybe_billed) for a in told.attempts], got


def in_process(fault: Fault, *, stream: bool) -> tuple[list[Any], str]:
    async def main() -> tuple[list[Any], str]:
        wire = scripted()
        transport = FaultTransport(wire, {"eu.test": fault})
        text = policy("eu", "us", timeouts=TIMEOUTS, repeats=0)
        async with (
            no_leaks(),
            Router.from_text(
                text, environ={"KEY": KEY}, wire=transport, clock=LoopClock()
            ) as router,
        ):
            outcome = await what_came_of_it(router, stream=stream)
            assert wire.active == 0
        assert wire.closed
        return outcome

    return run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_each_fault_is_the_one_that_a_simulated_backend_has(stream: bool) -> None:
    """The same attempts, errors and answers as over a loopback socket."""

    async def over_sockets(name: str, fault: Fault) -> None:
        async with (
            SimulatedBackend(name="eu", models=[MODEL], answer="one two three four") as eu,
            SimulatedBackend(name="us", models=[MODEL], answer="one two three four") as us,
        ):
            await asyncio.sleep(0.001)
            eu.fault = fault
            urls = {"eu": eu.base_url, "us": us.base_url}
            text = policy("eu", "us", urls=urls, timeouts=TIMEOUTS, repeats=0)
            async with Router.from_text(text, environ={"KEY": KEY}) as router:
                outcomes[name] = await what_came_of_it(router, stream=stream)

    def all_in_process() -> dict[str, Any]:
        return {name: in_process(fault, stream=stream) for name, fault in FAULTS.items()}

    told = await asyncio.to_thread(all_in_process)
    outcomes: dict[str, Any] = {}
    left = iter(FAULTS.items())

    async def some() -> None:
        for name, fault in left:
            await over_sockets(name, fault)

    async with asyncio.TaskGroup() as group:  # those that hang side by side
        for _ in range(6):
            group.create_task(some())
    assert told == outcomes


# --- whom it strikes


async def test_nothing_happens_unasked() -> None:
    """Without faults it is not there; a fault of one address leaves the others alone."""
    wire = scripted()
    transport = FaultTransport(wire, {"us.test": Fault.status(503)})
    assert (await asked(transport))[0] == 200
    assert (await asked(transport, "https://us.test/v1"))[0] == 503
    assert (transport.sent, transport.struck) == (2, 1)
    assert len(wire.requests) == 1  # what is answered by the fault is sent to nobody
    transport.heal()
    assert (await asked(transport, "https://us.test/v1"))[0] == 200


@pytest.mark.parametrize(
    ("address", "struck"),
    [("eu.test", 1), (EU, 1), ("*", 2), ("https://eu.test/v1/embeddings", 0), ("other", 0)],
)
async def test_an_address_is_a_url_or_a_host_or_every_other_one(address: str, struck: int) -> None:
    """As in a script, and `*`."""
    transport = FaultTransport(scripted(), {address: Fault.status(503)})
    for url in (EU, "https://us.test/v1"):
        await asked(transport, url)
    assert transport.struck == struck


async def test_the_longest_address_wins() -> None:
    """An address of its own, without a fault, is an exception from `*`."""
    transport = FaultTransport(scripted(), {"*": Fault.status(503), "eu.test": ()})
    statuses = [(await asked(transport, url))[0] for url in (EU, "https://us.test/v1")]
    assert statuses == [200, 503]


async def test_limits_are_kept() -> None:
    """Times, path and probability, as with a simulated backend; the same seed strikes the same ones."""
    once = FaultTransport(scripted(), {"*": Fault.status(503, times=2)})
    assert [(await asked(once))[0] for _ in range(3)] == [503, 503, 200]
    elsewhere = FaultTransport(scripted(), {"*": Fault.status(503, path="/embeddings")})
    assert (await asked(elsewhere))[0] == 200
    shares = []
    for seed in (1, 1, 2):
        some = FaultTransport(scripted(), {"*": Fault.status(503, probability=0.3)}, seed=seed)
        shares.append([(await asked(some))[0] for _ in range(200)])
    assert shares[0] == shares[1] != shares[2]
    assert 40 <= shares[0].count(503) <= 80


async def test_the_first_of_several_faults_strikes() -> None:
    """Those that have had their turn leave it to the next."""
    faults = [Fault.status(500, times=1), Fault.status(503, times=1)]
    transport = FaultTransport(scripted(), {"*": faults})
    assert [(await asked(transport))[0] for _ in range(3)] == [500, 503, 200]


async def test_only_a_kept_connection_can_be_stale() -> None:
    """The first request opens one; after a break the next request does."""
    transport = FaultTransport(scripted(), {"*": Fault.stale_keep_alive()})
    assert (await asked(transport))[0] == 200
    with pytest.raises(WireError) as caught:
        await asked(transport)
    assert caught.value.kind is FailureKind.STALE_CONNECTION
    assert (await asked(transport))[0] == 200


@pytest.mark.parametrize(
    "fault", [Fault.close_idle(), Fault.gzip(), Fault.usage({}), Fault.oversize_line()]
)
def test_a_fault_that_needs_a_connection_is_refused(fault: Fault) -> None:
    """Where it is handed in, with the names of those that can be had."""
    with pytest.raises(ValueError, match=r"use SimulatedBackend; FaultTransport can do blackhole"):
        FaultTransport(scripted(), {"*": fault})


async def test_a_cut_passes_by_what_is_no_answer() -> None:
    """There is nothing to cut in an error, or in what is not JSON."""
    wire = ScriptedWire({"eu.test": [Reply.status(500), Reply.raw(b"plain")]})
    transport = FaultTransport(wire, {"*": Fault.cut_after(1)})
    assert (await asked(transport))[0] == 500
    assert await asked(transport) == (200, b"plain")


def test_a_fault_that_waits_is_over_when_its_time_is() -> None:
    """In virtual time to the second: the deadline of an hour ends a hang, the connect limit a black hole."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport = FaultTransport(scripted(), {"*": Fault.blackhole()})
        with pytest.raises(WireError):
            await asked(transport)
        assert loop.time() == 2.0
        transport.set_fault("*", Fault.hang())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3_600):
                await asked(transport)
        assert loop.time() == 3_602.0

    run_in_virtual_time(main)


async def test_a_cut_stream_of_a_real_backend_is_closed() -> None:
    """In front of an `httpx` client too: the caller keeps what came, the backend is told to stop."""
    async with (
        no_leaks(),
        SimulatedBackend(models=[MODEL], answer="word " * 200, tokens_per_s=100.0) as backend,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        transport = FaultTransport(HttpxWire(client), {"127.0.0.1": Fault.cut_after(3, "rst")})
        text = policy("eu", urls={"eu": backend.base_url}, timeouts=TIMEOUTS, repeats=0)
        async with Router.from_text(text, environ={"KEY": KEY}, wire=transport) as router:
            stream = await router.chat.completions.create(messages=MESSAGES, stream=True)
            with pytest.raises(StreamInterrupted) as caught:
                await text_of(stream)
            assert caught.value.partial_text == "word word word"
            assert caught.value.cause == "reset"
        await until(lambda: backend.requests[0].client_left)
