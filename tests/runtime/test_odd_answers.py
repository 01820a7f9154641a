"""Broken and odd answers, byte for byte over real sockets: none of them is ever a success.

The cases are those that the `openai` SDK reports as success, or lets escape as errors of other
libraries, and more of their kind. Three ways each: with a healthy backend beside (the caller notices
nothing), alone (one typed error), and in a stream that has begun (interrupted, never continued).
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from hybridllm import RouteExhausted, Router, StreamInterrupted, receipt
from raw_server import STREAM_HEAD, Exchange, RawServer, chunk, raw_server, until, whole

KEY = "sk-canary-0123456789"
MESSAGES = [{"role": "user", "content": "canary prompt"}]


def completion(**choice: Any) -> bytes:
    choice = {
        "index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop",
    } | choice  # fmt: skip
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


def event(data: bytes, name: bytes = b"") -> bytes:
    return (b"event: %b\n" % name if name else b"") + b"data: " + data + b"\n\n"


def piece(*, finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(
        json.dumps(
            {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
             "choices": [choice]}
        ).encode()
    )  # fmt: skip


ROLE = piece(role="assistant", content="")
HEL, LO = piece(content="hel"), piece(content="lo")
STOP, DONE = piece(finish="stop"), event(b"[DONE]")
Odd = Callable[[Exchange], Any]


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Odd:
    head = b"\r\n".join([b"HTTP/1.1 " + status, *(headers or [b"content-type: application/json"])])

    async def play(exchange: Exchange) -> None:
        await exchange.write(whole(body, head + b"\r\n"))

    return play


def stream(*pieces: bytes, end: str = "clean") -> Odd:
    """A stream of events, each in a chunk of its own, that ends so."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        for data in pieces:
            await exchange.write(chunk(data))
        if end == "clean":
            await exchange.write(chunk(b""))
        elif end == "stall":
            await exchange.peer_left()
        else:
            await asyncio.sleep(0.01)
            exchange.rst() if end == "rst" else exchange.fin()

    return play


async def good(exchange: Exchange) -> None:
    """What a healthy backend answers."""
    if json.loads(exchange.body).get("stream"):
        await stream(ROLE, HEL, LO, STOP, DONE)(exchange)
    else:
        await exchange.write(whole(completion()))


@dataclass
class Fleet:
    router: Router
    odd: RawServer
    good: RawServer


def policy(odd: RawServer, fallback: RawServer | None) -> str:
    servers = {"odd": odd} | ({"good": fallback} if fallback else {})
    backends = "\n".join(
        f"  {name}: {{kind: api, base_url: '{server.url}/v1', api_key_env: KEY, region: eu, "
        "operator: self}"
        for name, server in servers.items()
    )
    places = ", ".join(f"{name}: m" for name in servers)
    return f"""
version: 1
retries: {{same_backend_max: 0}}
backends:
{backends}
models:
  m: {{on: {{{places}}}}}
tasks:
  chat: {{bucket: bandwidth, timeouts: {{total: 5s, first_token: 300ms, idle: 300ms, attempt: 300ms}}}}
routes:
  - {{name: all, use: [{{model: m, on: [{", ".join(servers)}]}}]}}
"""


@asynccontextmanager
async def fleet(odd: Odd, *, alone: bool = False) -> AsyncIterator[Fleet]:
    """A router over an odd backend and, behind it, a good one; at the end nothing is left."""
    async with raw_server(odd) as first, raw_server(good) as second:
        text = policy(first, None if alone else second)
        async with Router.from_text(text, environ={"KEY": KEY}) as router:
            yield Fleet(router, first, second)
            await until(lambda: first.busy == second.busy == 0)
        await until(lambda: first.open == second.open == 0)


async def text_of(stream: Any) -> str:
    async with stream:
        return "".join([c.choices[0].delta.content or "" for c in [c async for c in stream]])


DEEP = b"[" * 100_000
HTML = b"<!doctype html><html><body>Sign in to the hotel's network</body></html>"
ERROR = {"message": "no", "type": "Nope", "param": None, "code": 500}
INVALID = "invalid_response"

ANSWERS = [
    pytest.param(answer(HTML, b"content-type: text/html"), INVALID, id="html"),
    pytest.param(answer(HTML), INVALID, id="html-called-json"),
    pytest.param(answer(b""), INVALID, id="empty"),
    pytest.param(answer(b"null"), INVALID, id="null"),
    pytest.param(answer(b"[]"), INVALID, id="list"),
    pytest.param(answer(b"[" + completion() + b"]"), INVALID, id="answer-in-a-list"),
    pytest.param(answer(b'"hello"'), INVALID, id="text"),
    pytest.param(answer(b"{}"), INVALID, id="empty-object"),
    pytest.param(answer(completion()[:-9]), INVALID, id="truncated-json"),
    pytest.param(answer(completion().replace(b"hello", b"\xff\xfe")), INVALID, id="bad-utf-8"),
    pytest.param(answer(completion().decode().encode("utf-16")), INVALID, id="utf-16"),
    pytest.param(answer(DEEP), INVALID, id="deep"),
    pytest.param(answer(b'{"choices": ' + DEEP), INVALID, id="deep-inside"),
    pytest.param(answer(b"x" * (17 << 20)), INVALID, id="17-MiB"),
    pytest.param(answer(b'{"choices": null}'), INVALID, id="choices-null"),
    pytest.param(answer(b'{"choices": []}'), INVALID, id="choices-empty"),
    pytest.param(answer(b'{"choices": "x"}'), INVALID, id="choices-text"),
    pytest.param(answer(b'{"choices": [null]}'), INVALID, id="choice-null"),
    pytest.param(answer(completion(message=None)), INVALID, id="message-null"),
    pytest.param(answer(completion(message={"content": None})), INVALID, id="content-null"),
    pytest.param(answer(completion(message={"content": 5})), INVALID, id="content-number"),
    pytest.param(answer(completion(finish_reason="abort")), INVALID, id="finish-abort"),
    pytest.param(answer(completion(finish_reason="error")), INVALID, id="finish-error"),
    pytest.param(answer(completion(finish_reason=None)), INVALID, id="not-finished"),
    pytest.param(answer(completion(index=-1)), INVALID, id="negative-index"),
    pytest.param(answer(json.dumps({"error": ERROR}).encode()), "500", id="error"),
    pytest.param(answer(b'{"error": "Rate limit reached"}'), "500", id="error-text"),
    pytest.param(
        answer(json.dumps({"error": ERROR | {"code": 429}}).encode()), "429", id="error-429"
    ),
    pytest.param(answer(json.dumps({"object": "error", **ERROR}).encode()), "500", id="flat-error"),
    pytest.param(
        answer(completion()[:-1] + b', "error": {"code": 503}}'), "503", id="answer-and-error"
    ),
    pytest.param(
        answer(gzip.compress(completion()), b"content-encoding: gzip"), INVALID, id="gzip"
    ),
    pytest.param(
        answer(b"", b"location: http://127.0.0.1:1/", status=b"307 No"), "307", id="redirect"
    ),
    pytest.param(stream(completion()[:20], end="fin"), "reset", id="fin-in-body"),
    pytest.param(stream(completion()[:20], end="rst"), "reset", id="rst-in-body"),
    pytest.param(stream(completion()[:20], end="stall"), "attempt_timeout", id="stall-in-body"),
    pytest.param(stream(end="stall"), "attempt_timeout", id="head-and-no-more"),
]


@pytest.mark.parametrize(("odd", "label"), ANSWERS)
async def test_an_odd_answer_is_replaced_by_another_backends(odd: Odd, label: str) -> None:
    """The caller gets the good one; the receipt tells of the other."""
    async with fleet(odd) as here:
        reply = await here.router.chat.completions.create(task="chat", messages=MESSAGES)
        assert reply.choices[0].message.content == "hello"
        failed, served = receipt(reply).attempts
        assert (failed.backend, failed.error, served.backend) == ("odd", label, "good")
        assert (len(here.odd.exchanges), len(here.good.exchanges)) == (1, 1)


@pytest.mark.parametrize(("odd", "label"), ANSWERS)
async def test_an_odd_answer_of_the_only_backend_is_one_typed_error(odd: Odd, label: str) -> None:
    """Ours and openai's; neither key nor prompt is in it, nor what any library said."""
    async with fleet(odd, alone=True) as here:
        with pytest.raises(RouteExhausted) as caught:
            await here.router.chat.completions.create(task="chat", messages=MESSAGES)
        error = caught.value
        assert isinstance(error, openai.OpenAIError)
        assert error.failures == (("odd", label),)
        assert "canary" not in f"{error} {error!r} {vars(error)}"
        assert (error.__cause__, error.__context__) == (None, None)
        assert len(here.odd.exchanges) == 1


STREAMS = [
    pytest.param(stream(ROLE), "stream_interrupted", id="no-finish"),
    pytest.param(stream(ROLE, DONE), "stream_interrupted", id="done-without-finish"),
    pytest.param(stream(ROLE, STOP[:-3]), "stream_interrupted", id="last-line-cut"),
    pytest.param(stream(ROLE, STOP[:-1]), "stream_interrupted", id="last-event-not-ended"),
    pytest.param(stream(ROLE, piece(finish="abort"), DONE), "stream_interrupted", id="abort"),
    pytest.param(stream(ROLE, piece(finish="error"), DONE), "stream_interrupted", id="error-end"),
    pytest.param(stream(ROLE, event(json.dumps({"error": ERROR}).encode())), "500", id="error"),
    pytest.param(stream(ROLE, event(b'{"error": "busy"}'), DONE), "500", id="error-text"),
    pytest.param(stream(ROLE, event(b'{"error": {"code": "429"}}')), "429", id="error-429"),
    pytest.param(stream(ROLE, event(b'{"code": 503}', b"error"), DONE), "503", id="error-frame"),
    pytest.param(stream(ROLE, event(b'"busy"', b"error")), "500", id="error-frame-text"),
    pytest.param(stream(ROLE, event(b"busy", b"error")), INVALID, id="error-frame-no-json"),
    pytest.param(
        stream(ROLE, event(json.dumps({"object": "error", **ERROR}).encode()), DONE), "500",
        id="flat-error",
    ),
    pytest.param(stream(ROLE, event(b'{"id": ')), INVALID, id="bad-json"),
    pytest.param(stream(ROLE, HEL.replace(b"hel", b"\xff\xfe")), INVALID, id="bad-utf-8"),
    pytest.param(stream(ROLE, event(b"[1, 2]")), INVALID, id="list"),
    pytest.param(stream(ROLE, event(b"null")), INVALID, id="null"),
    pytest.param(stream(ROLE, event(b"{}")), INVALID, id="no-choices"),
    pytest.param(stream(ROLE, event(b'{"choices": null}')), INVALID, id="choices-null"),
    pytest.param(stream(ROLE, event(b'{"choices": "x"}')), INVALID, id="choices-text"),
    pytest.param(stream(ROLE, event(b'{"choices": [{"index": 0}, 5]}')), INVALID, id="choice-5"),
    pytest.param(stream(ROLE, event(DEEP)), INVALID, id="deep"),
    pytest.param(stream(ROLE, b"data: " + b"x" * (1 << 20)), INVALID, id="1-MiB-line"),
    pytest.param(stream(ROLE, end="fin"), "reset", id="fin"),
    pytest.param(stream(ROLE, end="rst"), "reset", id="rst"),
]  # fmt: skip
BEFORE_ANY_EVENT = [
    pytest.param(answer(HTML, b"content-type: text/html"), INVALID, id="html"),
    pytest.param(answer(b""), INVALID, id="empty"),
    pytest.param(answer(b'{"error": "busy"}'), INVALID, id="json-in-place-of-events"),
    pytest.param(stream(b": ping\n\n", b": ping\n\n"), INVALID, id="only-comments"),
    pytest.param(stream(b"\n" * 65_536, b"\n" * 65_536), INVALID, id="only-blank-lines"),
    pytest.param(stream(DONE), INVALID, id="only-done"),
    pytest.param(stream(ROLE, end="stall"), "first_token_timeout", id="role-and-no-more"),
    pytest.param(stream(end="stall"), "first_token_timeout", id="head-and-no-more"),
    pytest.param(answer(gzip.compress(HEL), b"content-encoding: gzip"), INVALID, id="gzip"),
]


@pytest.mark.parametrize(("odd", "label"), [*STREAMS, *BEFORE_ANY_EVENT])
async def test_an_odd_stream_is_replaced_before_its_first_token(odd: Odd, label: str) -> None:
    """A role is not a token: what was held back is forgotten, and nothing is doubled."""
    async with fleet(odd) as here:
        stream = await here.router.chat.completions.create(
            task="chat", messages=MESSAGES, stream=True
        )
        assert await text_of(stream) == "hello"
        failed, served = receipt(stream).attempts
        assert (failed.backend, failed.error, served.backend) == ("odd", label, "good")
        assert (len(here.odd.exchanges), len(here.good.exchanges)) == (1, 1)


@pytest.mark.parametrize(("odd", "label"), [*STREAMS, *BEFORE_ANY_EVENT])
async def test_an_odd_stream_of_the_only_backend_is_one_typed_error(odd: Odd, label: str) -> None:
    """It is raised where the stream is asked for, before anything was handed out."""
    async with fleet(odd, alone=True) as here:
        with pytest.raises(RouteExhausted) as caught:
            await here.router.chat.completions.create(task="chat", messages=MESSAGES, stream=True)
        assert caught.value.failures == (("odd", label),)
        assert "canary" not in f"{caught.value} {vars(caught.value)}"


def begun(odd: Odd) -> Odd:
    """The same oddity, after two tokens."""

    async def play(exchange: Exchange) -> None:
        write = exchange.write

        async def after_tokens(data: bytes) -> None:
            await write(data)
            if data == chunk(ROLE):
                await write(chunk(HEL) + chunk(LO))

        exchange.write = after_tokens  # type: ignore[method-assign]
        await odd(exchange)

    return play


@pytest.mark.parametrize(
    ("odd", "label"),
    [*STREAMS, pytest.param(stream(ROLE, end="stall"), "idle_timeout", id="stall")],
)
async def test_an_odd_stream_that_has_begun_is_interrupted(odd: Odd, label: str) -> None:
    """The caller keeps what came and is told; nobody else goes on with it."""
    async with fleet(begun(odd)) as here:
        stream = await here.router.chat.completions.create(
            task="chat", messages=MESSAGES, stream=True
        )
        with pytest.raises(StreamInterrupted) as caught:
            await text_of(stream)
        error = caught.value
        assert isinstance(error, openai.APIConnectionError)
        assert (error.partial_text, error.tokens_seen, error.backend) == ("hello", 2, "odd")
        assert error.cause == label
        assert "canary" not in f"{error} {vars(error)}"
        assert (len(here.odd.exchanges), len(here.good.exchanges)) == (1, 0)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(stream(ROLE + HEL, LO + STOP, DONE), id="plain"),
        pytest.param(stream(ROLE, HEL, LO, STOP), id="no-done"),
        pytest.param(
            stream(HEL, piece(content="lo", finish="stop"), DONE), id="last-text-finishes"
        ),
        pytest.param(stream(ROLE, HEL, LO, piece(finish="length"), DONE), id="length"),
        pytest.param(stream(ROLE, HEL, LO, STOP, DONE, event(b"{")), id="rubbish-after-done"),
        pytest.param(stream(ROLE, HEL, LO, STOP, DONE, end="stall"), id="never-ends-after-done"),
        pytest.param(stream(b"\xef\xbb\xbf", ROLE, HEL, LO, STOP, DONE), id="bom"),
        pytest.param(
            stream(*((ROLE + HEL + LO + STOP + DONE).replace(b"\n", b"\r\n"),)), id="crlf"
        ),
        pytest.param(
            stream(*(bytes([byte]) for byte in ROLE + HEL + LO + STOP + DONE)), id="byte-by-byte"
        ),
        pytest.param(stream(b": a\n\n", ROLE, b": b\n", HEL, LO, STOP, DONE), id="comments"),
    ],
)
async def test_a_whole_stream_is_whole_however_it_comes(odd: Odd) -> None:
    """The witness for the cases above."""
    async with fleet(odd) as here:
        stream = await here.router.chat.completions.create(
            task="chat", messages=MESSAGES, stream=True
        )
        assert await text_of(stream) == "hello"
        assert [attempt.backend for attempt in receipt(stream).attempts] == ["odd"]
        assert len(here.good.exchanges) == 0
