"""When a simulated backend answers, on which connections, and what it remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm.testing import no_leaks
from lab.lateness import lateness
from testing.backends import server
from testing.raw_client import RawAnswer, ask, chat, request_bytes, stream

QUESTION = "I was charged twice"


async def test_first_token_and_speed_take_their_time() -> None:
    """`latency_s` passes before the role, `tokens_per_s` between tokens; both can change live."""
    loop = asyncio.get_running_loop()
    async with (
        server(answer="one two three four five", latency_s=0.05) as backend,
        lateness() as late,
    ):
        began_s = loop.time()
        await ask(backend, stream())
        slow_start_s = loop.time() - began_s
        backend.latency_s, backend.tokens_per_s = 0.0, 100.0
        began_s = loop.time()
        await ask(backend, stream())
        slow_tokens_s = loop.time() - began_s
        began_s = loop.time()
        await ask(backend, chat())
        slow_whole_s = loop.time() - began_s
    at_most_s = 0.15 + 6 * late.worst_s
    assert 0.05 <= slow_start_s < at_most_s
    assert 0.05 <= slow_tokens_s < at_most_s  # six tokens: five intervals of 10 ms
    assert 0.05 <= slow_whole_s < at_most_s


async def test_requests_are_recorded_and_connections_are_kept() -> None:
    """A client that keeps its connection is seen to; secrets are recorded, and not in a repr."""
    async with server() as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        key = {"Authorization": "Bearer sk-secret"}
        for _ in range(2):
            writer.write(request_bytes("POST", "/v1/chat/completions", chat(), key))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        first, second = backend.requests
        assert (backend.connections, backend.connections_opened, backend.served) == (1, 1, 2)
        writer.close()
        await writer.wait_closed()

    assert (first.method, first.path) == ("POST", "/v1/chat/completions")
    assert first.json == chat()
    assert first.headers["authorization"] == first.headers["AUTHORIZATION"] == "Bearer sk-secret"
    assert [r.number_on_connection for r in (first, second)] == [1, 2]
    assert "secret" not in repr(first)
    assert QUESTION not in repr(first)


async def test_client_that_leaves_is_served_no_further() -> None:
    """As with vLLM: the slot is free at once, and the request knows that its client left."""
    async with server(kind="vllm", slots=1, latency_s=30.0) as backend:
        _, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("POST", "/v1/chat/completions", stream()))
        await asyncio.sleep(0.02)
        assert (backend.active, backend.load.running) == (1, 1)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.02)
        assert (backend.active, backend.load.running, backend.connections) == (0, 0, 0)
        assert backend.requests[0].client_left


async def test_idle_connections_are_closed_after_their_time() -> None:
    """`idle_timeout_s` counts from the last answer; a request in progress is not idle."""
    async with server(idle_timeout_s=0.05, latency_s=0.08) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("POST", "/v1/chat/completions", chat()))
        async with asyncio.timeout(1.0):
            received = await reader.read()
        assert received.startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()


async def test_request_comes_in_any_cut_and_framing() -> None:
    """Byte by byte, chunked, two at once, or after `100 Continue`: the same request."""
    plain = request_bytes("POST", "/v1/chat/completions", chat())
    chunked = (
        b"POST /v1/nope HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        b'4\r\n{"a"\r\n5;x=1\r\n: 1}\n\r\n0\r\n\r\n'
    )
    waiting = b"POST /v1/nope HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    async with server() as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        for at in range(len(plain)):
            writer.write(plain[at : at + 1])
            await asyncio.sleep(0)
        writer.write(plain + plain)
        while len(backend.requests) < 3:
            await asyncio.sleep(0.005)
        assert [request.json for request in backend.requests] == [chat()] * 3
        writer.write(waiting)
        while b"100 Continue" not in await reader.read(65_536):
            pass
        writer.write(b"{}")
        assert b"404" in await reader.read(65_536)
        writer.write(chunked)
        assert b"404" in await reader.read(65_536)
        assert backend.requests[-1].json == {"a": 1}
        writer.write(b"rubbish\r\n\r\n")
        assert b"400 Bad Request" in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_failing_answer_function_is_told_to_both_sides() -> None:
    """The client gets a 500, and the test its own exception when the block ends."""

    def answer(body: Any) -> str:
        return body["no such field"]

    async def ask_and_close() -> None:
        async with server(answer=answer) as backend:
            replies.append(await ask(backend, chat()))

    replies: list[RawAnswer] = []
    with pytest.raises(KeyError, match="no such field"):
        await ask_and_close()
    assert replies[0].status == 500
    assert "no such field" in replies[0].json["error"]["message"]


async def test_same_seed_gives_the_same_bytes() -> None:
    """Nothing in an answer depends on the clock or on chance."""
    answers = []
    for _ in range(2):
        async with server(answer="one two") as backend:
            answers.append((await ask(backend, stream())).raw)
    assert answers[0] == answers[1]


async def test_misuse_is_told() -> None:
    """An unknown kind, no model, an address before it is open, opening twice."""
    with pytest.raises(ValueError, match="known: api, vllm"):
        server(kind="tgi")
    with pytest.raises(ValueError, match="at least one"):
        server(models=[])
    with pytest.raises(RuntimeError, match="async with"):
        _ = server().base_url
    async with server() as backend:
        assert backend.base_url == f"http://127.0.0.1:{backend.port}/v1"
        with pytest.raises(RuntimeError, match="open already"):
            await backend.__aenter__()


async def test_closing_leaves_nothing_behind() -> None:
    """Requests in progress are broken off; no task, connection or port is left."""
    async with no_leaks():
        async with server(latency_s=30.0) as backend:
            port = backend.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_bytes("POST", "/v1/chat/completions", chat()))
            await asyncio.sleep(0.02)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
