"""A wire that answers from scripts, in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hybridllm._runtime.ports import Wire, WireError, WireRequest
from hybridllm.testing import (
    Reply,
    ScriptedWire,
    SentRequest,
    UnscriptedRequest,
    run_in_virtual_time,
)

EU = "http://eu.test/v1"
US = "http://us.test/v1"


def request(base_url: str = EU, path: str = "/chat/completions", **body: Any) -> WireRequest:
    raw = json.dumps(body).encode()
    return WireRequest("POST", base_url + path, {"Authorization": "Bearer sk-secret"}, raw)


async def exchange(wire: Wire, sent: WireRequest) -> tuple[int, bytes]:
    """Send, read to the end, give the connection back."""
    response = await wire.send(sent)
    body = b""
    while piece := await response.chunk():
        body += piece
    await response.close(reusable=True)
    return response.status, body


async def test_steps_come_in_order_and_the_last_one_repeats() -> None:
    """A script is a list; a function makes a reply from the request."""

    def echo(sent: SentRequest) -> Reply:
        return Reply.json({"model": sent.json["model"]})

    wire = ScriptedWire({EU: [Reply.status(503), echo]})
    answers = [await exchange(wire, request(model=name)) for name in ("a", "b", "c")]
    assert [status for status, _ in answers] == [503, 200, 200]
    assert [json.loads(body).get("model") for _, body in answers] == [None, "b", "c"]


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        (EU, True),
        (EU + "/", True),
        ("http://eu.test", True),
        ("eu.test", True),
        ("http://eu.test/v1/embeddings", False),
        ("http://eu.test/v", False),
        ("eu", False),
        (US, False),
    ],
)
async def test_address_is_the_start_of_the_url_or_its_host(address: str, fits: bool) -> None:
    """Whole path segments only; what no script knows is an error of the test."""
    wire = ScriptedWire({address: Reply.chat("hello")})
    if fits:
        assert (await exchange(wire, request()))[0] == 200
        assert len(wire.sent_to(address)) == 1
        return
    with pytest.raises(UnscriptedRequest, match=r"no script for 'http://eu.test/v1/chat"):
        await wire.send(request())


async def test_longest_address_wins() -> None:
    """So one backend can answer each of its endpoints differently."""
    wire = ScriptedWire({EU: Reply.chat("hello"), f"{EU}/embeddings": Reply.embeddings([[0.5]])})
    _, body = await exchange(wire, request(path="/embeddings"))
    assert json.loads(body)["data"][0]["embedding"] == [0.5]


async def test_requests_are_recorded_with_the_fate_of_their_connections() -> None:
    """Open until given back; how it was given back is remembered; no secret is in a repr."""
    wire = ScriptedWire({EU: Reply.chat("hello"), US: Reply.fail("connect")})
    response = await wire.send(request(model="m"))
    assert wire.active == 1
    await response.close(reusable=False)
    await response.close(reusable=True)
    with pytest.raises(WireError) as failure:
        await wire.send(request(US))
    assert failure.value.kind == "connect"

    first, second = wire.requests
    assert wire.active == 0
    assert (first.closed, first.reusable) == (True, False)
    assert (second.closed, second.reusable) == (True, None)
    assert first.json == {"model": "m"}
    assert first.headers["authorization"] == "Bearer sk-secret"
    assert "secret" not in repr(first)
    with pytest.raises(WireError, match="closed before it was read"):
        await response.chunk()


async def test_headers_are_found_in_any_case() -> None:
    """As the `Wire` protocol asks."""
    wire = ScriptedWire({EU: Reply.status(429, retry_after=2, headers={"X-Should-Retry": "true"})})
    response = await wire.send(request())
    assert response.headers["Retry-After"] == response.headers["retry-after"] == "2"
    assert "x-should-retry" in response.headers
    assert response.headers.get("absent") is None


def test_waits_pass_in_virtual_time() -> None:
    """Before the head, between pieces: an hour each, and no time at all."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        reply = Reply.chat_stream(["a", "b"], usage=None).after(3600).paced(60)
        response = await ScriptedWire({EU: reply}).send(request())
        times = [loop.time()]
        while await response.chunk():
            times.append(loop.time())
        return times

    assert run_in_virtual_time(main) == [3600.0, 3660.0, 3720.0, 3780.0, 3840.0, 3900.0]


@pytest.mark.parametrize(
    "reply", [Reply.hang(), Reply.stream("data: 1\n\n").then_hang()], ids=["head", "body"]
)
def test_hang_lasts_until_it_is_cancelled(reply: Reply) -> None:
    """A time limit ends it; then nothing is open."""

    async def main() -> None:
        wire = ScriptedWire({EU: reply})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await exchange(wire, request())
        assert asyncio.get_running_loop().time() == 30.0
        if reply.headless:
            assert wire.active == 0

    run_in_virtual_time(main)


async def test_body_breaks_after_what_was_sent() -> None:
    """The pieces arrive, then the failure."""
    reply = Reply.chat_stream(["a"], finish_reason=None, usage=None, done=False).then_fail("reset")
    response = await ScriptedWire({EU: reply}).send(request())
    pieces = [await response.chunk(), await response.chunk()]
    assert b'"content":"a"' in pieces[1]
    with pytest.raises(WireError) as failure:
        await response.chunk()
    assert failure.value.kind == "reset"


def test_replies_have_openais_shape() -> None:
    """Chat, stream, embeddings and errors, as the official types read them."""
    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    chat = ChatCompletion.model_validate_json(Reply.chat("hi", usage=(12, 3), model="m").chunks[0])
    assert (chat.choices[0].message.content, chat.model) == ("hi", "m")
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.total_tokens) == (12, 15)

    *events, done = Reply.chat_stream(["a", "b"], usage=(12, 3)).chunks
    assert done == b"data: [DONE]\n\n"
    chunks = [ChatCompletionChunk.model_validate_json(event[6:]) for event in events]
    assert [chunk.choices[0].delta.content for chunk in chunks[:-2]] == ["", "a", "b"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []

    vectors = CreateEmbeddingResponse.model_validate_json(Reply.embeddings([[1.0, 0.0]]).chunks[0])
    assert vectors.data[0].embedding == [1.0, 0.0]
    error = json.loads(Reply.status(400, error_code="context_length_exceeded").chunks[0])
    assert error["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("reply", "chunks"),
    [
        (Reply.raw(b"<html>"), (b"<html>",)),
        (Reply.raw(b""), ()),
        (Reply.status(502, b"bad gateway"), (b"bad gateway",)),
        (Reply.stream("a", b"b", {"c": 1}), (b"a", b"b", b'data: {"c":1}\n\n')),
        (Reply.json([1]), (b"[1]",)),
    ],
)
def test_bytes_are_as_given(reply: Reply, chunks: tuple[bytes, ...]) -> None:
    """Text and bytes untouched, objects as events."""
    assert reply.chunks == chunks


async def test_closed_wire_and_empty_script_are_refused() -> None:
    """Each with its reason; a script can be replaced while the wire is open."""
    with pytest.raises(ValueError, match="at least one reply"):
        ScriptedWire({EU: []})
    wire = ScriptedWire({EU: Reply.status(500)})
    assert (await exchange(wire, request()))[0] == 500
    wire.script(EU, Reply.chat("well again"))
    assert (await exchange(wire, request()))[0] == 200
    await wire.close()
    with pytest.raises(WireError, match="the wire is closed"):
        await wire.send(request())
