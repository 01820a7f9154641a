"""Broken and odd streams, byte for byte over real sockets: none of them ever ends as if it were whole.

Before the first token another backend answers, and the caller notices nothing; after it the stream is
interrupted, and never continued by anybody else.
"""

from __future__ import annotations

import asyncio
import gzip
import json

import openai
import pytest

from hybridllm import (
    RouteExhausted,
    StreamInterrupted,
    receipt,
)
from odd_backend import (
    DEEP,
    DONE,
    ERROR,
    HEL,
    HTML,
    INVALID,
    LO,
    MESSAGES,
    ROLE,
    STOP,
    Odd,
    answer,
    begun,
    event,
    fleet,
    piece,
    stream,
    text_of,
)

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
    pytest.param(answer(b'{"error": "busy"}'), "500", id="json-in-place-of-events"),
    pytest.param(stream(b": ping\n\n", b": ping\n\n"), INVALID, id="only-comments"),
    pytest.param(stream(b"\n" * 65_536, b"\n" * 65_536), INVALID, id="only-blank-lines"),
    pytest.param(stream(DONE), "stream_interrupted", id="only-done"),
    pytest.param(stream(ROLE, end="stall"), "first_token_timeout", id="role-and-no-more"),
    pytest.param(stream(end="stall"), "first_token_timeout", id="head-and-no-more"),
    pytest.param(stream(ROLE, end="pings"), "first_token_timeout", id="role-and-pings"),
    pytest.param(stream(end="roles"), "first_token_timeout", id="nothing-but-roles"),
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


@pytest.mark.parametrize(
    ("odd", "label"),
    [
        *STREAMS,
        pytest.param(stream(ROLE, end="stall"), "idle_timeout", id="stall"),
        pytest.param(stream(ROLE, end="pings"), "idle_timeout", id="pings"),
        pytest.param(stream(ROLE, end="roles"), "idle_timeout", id="empty-deltas"),
    ],
)
async def test_an_odd_stream_that_has_begun_is_interrupted(odd: Odd, label: str) -> None:
    """The caller keeps what came and is told; nobody else goes on with it."""
    seen = asyncio.Event()
    async with fleet(begun(odd, seen)) as here:
        stream = await here.router.chat.completions.create(
            task="chat", messages=MESSAGES, stream=True
        )
        with pytest.raises(StreamInterrupted) as caught:
            await text_of(stream, then=seen)
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
