"""The bytes of each fault, seen by a client that forgives nothing."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from hybridllm.testing import Fault, no_leaks
from testing.backends import ANSWER, HANGS_S, server, struck
from testing.raw_client import (
    ask,
    chat,
    collect,
    request_bytes,
    stream,
)


@pytest.mark.parametrize("body", [chat(), stream()], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fault", "end", "raw"),
    [
        pytest.param(Fault.hang(), "silence", b"", id="hang"),
        pytest.param(Fault.reset_before_head(), "rst", b"", id="reset-before-head"),
        pytest.param(Fault.fin_before_head(), "fin", b"", id="fin-before-head"),
        pytest.param(
            Fault.reset_mid_head(), "rst", b"HTTP/1.1 200 OK\r\nserver: hybr", id="reset-mid-head"
        ),
        pytest.param(Fault.garbage(b"\x00\xff\x16"), "fin", b"\x00\xff\x16", id="garbage"),
    ],
)
async def test_no_whole_head_comes(body: Any, fault: Fault, end: str, raw: bytes) -> None:
    """Whatever was asked, these are the bytes, and that is their end."""
    answer = await struck(fault, body, silent=end == "silence")
    assert (answer.raw, answer.end) == (raw, end)


@pytest.mark.parametrize("body", [chat(), stream()], ids=["whole", "stream"])
async def test_head_comes_and_then_nothing(body: Any) -> None:
    """A head is no sign of an answer."""
    answer = await struck(Fault.hang_after_head(), body, silent=True)
    assert (answer.status, answer.payload, answer.end) == (200, b"", "silence")


@pytest.mark.parametrize(
    ("fault", "status", "headers", "body"),
    [
        pytest.param(
            Fault.html(),
            200,
            {"content-type": "text/html; charset=utf-8"},
            b"<!doctype html><html><body><h1>It works!</h1></body></html>",
            id="html",
        ),
        pytest.param(Fault.empty(), 200, {"content-length": "0"}, b"", id="empty"),
        pytest.param(
            Fault.body(b"[1]"), 200, {"content-type": "application/json"}, b"[1]", id="body"
        ),
        pytest.param(
            Fault.body(b"data: [DONE]\r\n\r\n", content_type="text/event-stream", piece_bytes=1),
            200,
            {"content-type": "text/event-stream"},
            b"data: [DONE]\r\n\r\n",
            id="body-in-pieces",
        ),
        pytest.param(
            Fault.redirect("http://127.0.0.1:9/v1"),
            307,
            {"location": "http://127.0.0.1:9/v1"},
            b"",
            id="redirect",
        ),
        pytest.param(
            Fault.status(429, {"a": 1}, retry_after="soon", headers={"x-should-retry": "true"}),
            429,
            {"retry-after": "soon", "x-should-retry": "true", "content-type": "application/json"},
            b'{"a": 1}',
            id="status-json",
        ),
        pytest.param(Fault.status(520, b"\xff"), 520, {}, b"\xff", id="status-bytes"),
        pytest.param(
            Fault.status(503, retry_after=1.5),
            503,
            {"retry-after": "1.5"},
            b'{"error":{"message":"simulated failure with status 503","type":"server_error",'
            b'"param":null,"code":null}}',
            id="status-in-the-kinds-shape",
        ),
    ],
)
async def test_wrong_answer_is_sent_as_given(
    fault: Fault, status: int, headers: dict[str, str], body: bytes
) -> None:
    """Status, headers and body are the fault's, for a stream too."""
    for request in (chat(), stream()):
        answer = await struck(fault, request)
        assert (answer.status, answer.body, answer.end) == (status, body, "fin")
        assert answer.headers.items() >= headers.items()


@pytest.mark.parametrize(
    ("fault", "usage"),
    [
        pytest.param(Fault.no_usage(), None, id="none"),
        pytest.param(Fault.usage({"prompt_tokens": -5}), '{"prompt_tokens": -5}', id="negative"),
        pytest.param(
            Fault.usage('{"prompt_tokens": 1e999, "total_tokens": NaN}'),
            '{"prompt_tokens": 1e999, "total_tokens": NaN}',
            id="no-number",
        ),
        pytest.param(Fault.usage("many"), "many", id="not-even-json"),
    ],
)
async def test_usage_is_reported_as_the_fault_says(fault: Fault, usage: str | None) -> None:
    """Letter by letter, whole or streamed; without it, the stream lacks the usage event."""
    whole = (await struck(fault, chat())).body.decode()
    streamed = (await struck(fault, stream())).body.decode()
    for body in (whole, streamed):
        if usage is None:
            assert '"usage"' not in body.replace('"usage":null', "")
        else:
            assert f'"usage":{usage}' in body
    assert streamed.endswith("data: [DONE]\n\n")


async def test_finish_reason_is_any_word() -> None:
    """Filters and unknown words, whole or streamed."""
    fault = Fault.finish_reason("content_filter")
    assert (await struck(fault, chat())).json["choices"][0]["finish_reason"] == "content_filter"
    streamed = await struck(fault, stream())
    assert streamed.text == ANSWER
    assert streamed.events[-2]["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("body", [chat(), stream()], ids=["whole", "stream"])
async def test_gzip_that_nobody_asked_for(body: Any) -> None:
    """The same answer, compressed; as a bomb, of the size that was ordered."""
    async with server() as backend:
        good = (await ask(backend, body)).body
    packed = await struck(Fault.gzip(), body)
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == good
    bomb = await struck(Fault.gzip(decoded_bytes=5_000_000), body)
    unpacked = zlib.decompress(bomb.body, wbits=31)
    assert unpacked.startswith(good)
    assert 5_000_000 <= len(unpacked) < 5_000_100
    assert len(bomb.raw) < 40_000


@pytest.mark.parametrize("size", [10_000, 2_000_000])
async def test_oversize_line(size: int) -> None:
    """One line of the stream is that long, or the answer's text."""
    fault = Fault.oversize_line(size)
    whole = (await struck(fault, chat())).json
    assert len(whole["choices"][0]["message"]["content"]) == size
    streamed = await struck(fault, stream())
    assert max(map(len, streamed.body.splitlines())) > size
    assert streamed.data[-1] == "[DONE]"


async def test_slow_and_trickle_take_their_time() -> None:
    """Slow waits once; a trickle cuts everything to pieces, the head as well."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    slow = await struck(Fault.slow(0.05), chat())
    assert loop.time() - began_s >= 0.05
    assert slow.json["choices"][0]["message"]["content"] == ANSWER

    async with server(fault=Fault.trickle(0.01, piece_bytes=300)) as backend:
        began_s = loop.time()
        trickled = await ask(backend, chat())
        assert loop.time() - began_s >= 0.03
        backend.fault = Fault.trickle(0.0)
        cut = await ask(backend, stream())
    assert trickled.body == slow.body
    assert cut.text == ANSWER


async def test_connection_is_closed_after_a_good_answer() -> None:
    """`close_idle` says nothing of it in the head: the next request meets a closed connection."""
    async with server(fault=Fault.close_idle()) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("POST", "/v1/chat/completions", chat()))
        answer = await collect(reader, wait_s=1.0)
        writer.close()
        await writer.wait_closed()
    assert answer.end == "fin"
    assert answer.json["object"] == "chat.completion"
    assert "connection" not in answer.headers


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_kept_alive_connection_is_stale(how: Any) -> None:
    """The first request of a connection is answered, the second one never."""
    async with server(fault=Fault.stale_keep_alive(how)) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("GET", "/health"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(request_bytes("GET", "/health"))
        second = await collect(reader, wait_s=1.0)
        writer.close()
        assert (await ask(backend, path="/health")).status == 200
    assert (second.raw, second.end) == (b"", how)


async def test_refused_and_healed_on_the_same_port() -> None:
    """Refusing closes idle connections and lets a request in progress end; healing is at once."""
    async with no_leaks(), server(latency_s=0.05) as backend:
        port = backend.port
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            in_progress = group.create_task(ask(backend, chat()))
            await asyncio.sleep(0.02)
            backend.fault = Fault.refuse()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            assert await idle_reader.read() == b""
        assert in_progress.result().status == 200
        idle_writer.close()
        await idle_writer.wait_closed()
        backend.heal()
        assert backend.port == port
        assert (await ask(backend, chat())).status == 200
        assert backend.connections_opened == 3


async def test_refuse_and_heal_in_one_breath() -> None:
    """However often it goes up and down before the loop turns, the last word counts."""
    async with no_leaks(), server(fault=Fault.refuse()) as backend:
        with pytest.raises(ConnectionRefusedError):
            await ask(backend, chat())
        for _ in range(3):
            backend.heal()
            backend.fault = Fault.refuse()
        with pytest.raises(ConnectionRefusedError):
            await ask(backend, chat())
        backend.heal()
        backend.heal()
        assert (await ask(backend, chat())).status == 200


async def test_killed_backend_resets_all_and_can_be_healed() -> None:
    """A stream in progress gets a reset in its middle, new connections are refused."""
    async with no_leaks(), server(answer="word " * 500, tokens_per_s=100.0) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("POST", "/v1/chat/completions", stream()))
        await asyncio.sleep(0.05)
        backend.kill()
        answer = await collect(reader, wait_s=1.0)
        writer.close()
        assert answer.end == "rst"
        assert b"data: " in answer.raw
        with pytest.raises(ConnectionRefusedError):
            await ask(backend, chat())
        assert (backend.active, backend.connections) == (0, 0)
        backend.heal()
        assert (await ask(backend, path="/health")).status == 200


async def test_blackhole_lets_nobody_connect() -> None:
    """Connecting neither succeeds nor fails; healing ends it."""
    async with server(fault=Fault.blackhole()) as backend:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HANGS_S):
                await ask(backend, chat())
        backend.heal()
        assert (await ask(backend, chat())).status == 200


async def test_share_of_requests_is_struck_the_same_on_every_run() -> None:
    """The seed decides which; another seed, other ones."""

    async def statuses(seed: int) -> list[int]:
        fault = Fault.status(500, probability=0.3)
        async with server(fault=fault, seed=seed) as backend:
            return [(await ask(backend, path="/health")).status for _ in range(60)]

    first, again, other = await statuses(1), await statuses(1), await statuses(2)
    assert first == again != other
    assert 8 <= first.count(500) <= 28


async def test_first_requests_only_and_paths_only() -> None:
    """`times` counts what was struck, `path` spares the rest; of several faults the first one strikes."""
    async with server() as backend:
        backend.fault = [
            Fault.status(429, times=1, path="/chat/completions"),
            Fault.status(500, times=2, path="/chat/completions"),
        ]
        statuses = []
        for _ in range(4):
            assert (await ask(backend, path="/health")).status == 200
            statuses.append((await ask(backend, chat())).status)
        assert statuses == [429, 500, 500, 200]
        assert backend.served == 5


async def test_hanging_request_is_active_until_its_client_leaves() -> None:
    """A test can see that a client gave up."""
    async with no_leaks(), server(fault=Fault.hang()) as backend:
        _, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("POST", "/v1/chat/completions", chat()))
        await asyncio.sleep(0.02)
        assert backend.active == 1
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.02)
        assert (backend.active, backend.served) == (0, 0)
        assert backend.requests[0].client_left


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault.hang(probability=1.5), "from 0 to 1: 1.5"),
        (lambda: Fault.hang(times=0), "1 or more: 0"),
        (lambda: Fault.cut_after(-1), "after -1 tokens"),
        (lambda: Fault.cut_after(1, "bang"), "unknown cut 'bang'; known: fin, rst"),
        (lambda: Fault.trickle(piece_bytes=0), "1 byte or more: 0"),
        (lambda: Fault(Fault.refuse().kind, probability=0.5), "reset_before_head can"),
    ],
)
def test_impossible_fault_is_refused(make: Callable[[], Fault], message: str) -> None:
    """With the value that was wrong and what is allowed."""
    with pytest.raises(ValueError, match=message):
        make()
