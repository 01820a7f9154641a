"""What holds for our own wire alone: kept connections, names that hang, instrumentation, large bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._core.resilience.classify import classify_wire
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import STALE_WITHIN_S, WireRequest
from hybridllm.testing import run_in_virtual_time
from names import HANGS, FakeNames
from raw_server import Exchange, raw_server, whole
from wires import HEADERS, answering, body_of, failure_of, post


@pytest.fixture
async def wire() -> AsyncIterator[AiohttpWire]:
    wire = AiohttpWire()
    yield wire
    await wire.close()


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize(
    ("after_s", "kind", "billed"),
    [
        pytest.param(0.0, FailureKind.STALE_CONNECTION, False, id="at-once"),
        pytest.param(STALE_WITHIN_S + 0.1, FailureKind.RESET, True, id="later"),
    ],
)
async def test_a_kept_connection_that_breaks_at_once_was_stale_and_later_it_was_not(
    wire: AiohttpWire, after_s: float, kind: FailureKind, billed: bool, end: str
) -> None:
    """A server that worked for half a second had read the request: it may be billed, and is to blame."""

    async def play(exchange: Exchange) -> None:
        if not exchange.served_before:
            await exchange.write(whole(b"{}"))
            return
        await asyncio.sleep(after_s)
        exchange.rst() if end == "rst" else exchange.fin()

    async with raw_server(play) as server:
        await body_of(await wire.send(post(server.url)))
        error = await failure_of(wire, post(server.url))
        assert server.connections == 1
        assert error.kind is kind
        assert classify_wire(error.kind).maybe_billed is billed


async def test_a_new_connection_that_breaks_is_never_stale(wire: AiohttpWire) -> None:
    """However fast it was."""

    async def play(exchange: Exchange) -> None:
        exchange.rst()

    async with raw_server(play) as server:
        assert (await failure_of(wire, post(server.url))).kind is FailureKind.RESET


@pytest.mark.parametrize("limit_s", [0.5, 7.3])
def test_the_limit_for_connecting_covers_the_name(limit_s: float) -> None:
    """A name server that hangs costs no more than a port that does; to the instant, above 5 s too."""

    async def main() -> None:
        names = FakeNames({"backend.example": HANGS})
        wire = AiohttpWire(look_up=names.look_up)
        request = post("https://backend.example", connect_timeout_s=limit_s)
        error = await failure_of(wire, request)
        assert error.kind is FailureKind.CONNECT_TIMEOUT
        assert asyncio.get_running_loop().time() == pytest.approx(limit_s)
        assert names.asked == ["backend.example"]
        await wire.close()

    run_in_virtual_time(main)


async def test_an_instrumented_application_adds_nothing_to_what_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An instrumentor wraps every session's making; ours sends no baggage and no trace header by it."""
    seen: list[str] = []

    async def started(_session: Any, _context: SimpleNamespace, params: Any) -> None:
        seen.append(str(params.url))
        params.headers["baggage"] = "tenant=canary"
        params.headers["traceparent"] = "00-canary"

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(started)
    make = aiohttp.ClientSession.__init__

    def instrumented(self: Any, *args: Any, **options: Any) -> None:
        options["trace_configs"] = [*(options.get("trace_configs") or ()), tracing]
        make(self, *args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with raw_server(answering(whole(b"{}"))) as server:
        wire = AiohttpWire()
        await body_of(await wire.send(post(server.url)))
        await wire.close()
        assert seen == []
        assert "baggage" not in server.exchanges[0].headers
        assert "traceparent" not in server.exchanges[0].headers
        async with aiohttp.ClientSession() as session:  # the witness: another session is traced
            await (await session.post(server.url, data=b"{}")).read()
        assert server.exchanges[1].headers["baggage"] == "tenant=canary"


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 5 << 20])
async def test_a_body_of_any_size_is_sent_whole_with_its_length(
    wire: AiohttpWire, size: int
) -> None:
    """Pictures and files are large; a server may refuse what comes in pieces of unknown number."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with raw_server(answering(whole(b"{}"))) as server:
        for _ in range(2):
            request = WireRequest("POST", f"{server.url}/v1/chat/completions", HEADERS, body)
            assert await body_of(await wire.send(request)) == b"{}"
        for exchange in server.exchanges:
            assert exchange.headers["content-length"] == str(size)
            assert "transfer-encoding" not in exchange.headers
            assert exchange.headers["content-type"] == "application/json"
            assert exchange.body == body
        assert server.connections == 1
