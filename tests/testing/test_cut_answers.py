"""Answers that go wrong in their middle: the bytes of each cut, streamed and not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from hybridllm.testing import Cut, Fault, tokenize
from testing.backends import ANSWER, HANGS_S, server, struck
from testing.raw_client import (
    RawAnswer,
    ask,
    chat,
    dechunked,
    request_bytes,
    stream,
)

_STREAM_CUTS: dict[str, tuple[str, str]] = {  # how: how the connection ends, the last bytes
    "fin": ("fin", ""),
    "rst": ("rst", ""),
    "eof": ("fin", ""),
    "partial_event": ("fin", 'data: {"id": "chatcmpl-broken", "choi'),
    "done_without_finish": ("fin", "data: [DONE]\n\n"),
    "stall": ("silence", ""),
    "pings": ("silence", ": ping\n\n"),
}


@pytest.mark.parametrize("tokens", [0, 2, 99])
@pytest.mark.parametrize("how", _STREAM_CUTS)
async def test_stream_is_cut_after_its_tokens(how: Cut, tokens: int) -> None:
    """So many tokens arrive, or as many as there are; a finish reason never does."""
    fault = Fault.cut_after(tokens, how)
    if how == "pings":
        async with server(fault=fault) as backend:
            reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
            writer.write(request_bytes("POST", "/v1/chat/completions", stream()))
            await asyncio.sleep(HANGS_S)
            answer = RawAnswer(await reader.read(65_536), "silence")
            writer.close()
            await writer.wait_closed()
    else:
        answer = await struck(fault, stream(), silent=how == "stall")

    end, last = _STREAM_CUTS[how]
    pieces = tokenize(ANSWER)[:tokens]
    assert answer.end == end
    assert answer.payload.endswith(b"0\r\n\r\n") == (end == "fin" and how != "fin")
    body = dechunked(answer.payload).decode()
    assert body.endswith(last or "\n\n")
    events = [json.loads(line[6:]) for line in body.splitlines() if line.endswith("}")]
    contents = [event["choices"][0]["delta"]["content"] for event in events]
    assert contents == ["", *pieces]
    assert all(event["choices"][0]["finish_reason"] is None for event in events)


@pytest.mark.parametrize(
    ("how", "lines"),
    [
        ("bad_json", 'data: {"id": "chatcmpl-broken", "choices": [{"ind'),
        ("bad_utf8", '{"content": "\\xff\\xfe"}}]}'),
        ("list", "data: [1, 2]"),
        ("null", "data: null"),
    ],
)
async def test_stream_goes_on_after_what_is_no_chunk(how: Cut, lines: str) -> None:
    """The tempting case: skip one event, and the answer looks whole. It lacks nothing but trust."""
    answer = await struck(Fault.cut_after(2, how), stream())
    body = answer.body.decode(errors="backslashreplace")
    before, broken, after = body.partition(lines)
    assert broken
    assert before.count('"content":') == 3
    assert after.count('"finish_reason":"stop"') == 1
    assert after.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("kind", ["api", "vllm"])
@pytest.mark.parametrize(
    ("how", "prefix"),
    [("error_event", ""), ("named_error_event", "event: error\n"), ("flat_error", "")],
)
@pytest.mark.parametrize("early", [False, True])
async def test_stream_ends_in_an_error_event(kind: Any, how: Any, prefix: str, early: bool) -> None:
    """In three forms, after some tokens or before anything; `[DONE]` follows all the same."""
    fault = Fault.error_before_first_token(how) if early else Fault.cut_after(2, how)
    answer = await struck(fault, stream(), kind=kind)
    *before, error, done = answer.data
    assert len(before) == (0 if early else 3)
    assert done == "[DONE]"
    assert f"{prefix}data: {error}\n\n".encode() in answer.body
    decoded = json.loads(error)
    if how == "flat_error":
        assert (decoded["object"], decoded["code"]) == ("error", 500)
    else:
        assert decoded["error"]["type"] in {"InternalServerError", "server_error"}
    assert answer.status == 200


async def test_abort_is_vllms_death_in_good_order() -> None:
    """Status 200, `finish_reason` `abort`, usage up to there, `[DONE]`."""
    answer = await struck(Fault.cut_after(2, "abort"), stream())
    *_, last, usage = answer.events
    assert answer.text == "one two"
    assert last["choices"][0]["finish_reason"] == "abort"
    assert usage["usage"]["completion_tokens"] == 2
    assert answer.data[-1] == "[DONE]"


async def test_pings_alone_are_no_event() -> None:
    """A stream of comments, without even a role."""
    async with server(fault=Fault.pings_before_first_token()) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(request_bytes("POST", "/v1/chat/completions", stream()))
        await asyncio.sleep(HANGS_S)
        received = await reader.read(65_536)
        writer.close()
        await writer.wait_closed()
    assert received.count(b": ping\n\n") >= 1
    assert b"data:" not in received


_WHOLE_CUTS: dict[str, Callable[[RawAnswer, bytes], bool]] = {
    "fin": lambda a, good: a.end == "fin" and a.payload == good[: len(good) // 2],
    "rst": lambda a, good: a.end == "rst" and a.payload == good[: len(good) // 2],
    "stall": lambda a, good: a.end == "silence" and a.payload == good[: len(good) // 2],
    "pings": lambda a, good: a.end == "silence" and a.payload == good[: len(good) // 2],
    "eof": lambda a, good: a.end == "fin" and a.body == good[: len(good) // 2],
    "partial_event": lambda a, good: a.end == "fin" and a.body == good[: len(good) // 2],
    "bad_json": lambda a, good: a.end == "fin" and a.body == good[: len(good) // 2],
    "bad_utf8": lambda a, good: b"\xff\xfe" in a.body and len(a.body) == len(good) + 2,
    "list": lambda a, good: a.body == b"[1, 2]",
    "null": lambda a, good: a.body == b"null",
    "abort": lambda a, good: a.json["choices"][0]["finish_reason"] == "abort",
    "done_without_finish": lambda a, good: a.json["choices"][0]["finish_reason"] is None,
    "error_event": lambda a, good: a.status == 500 and "error" in a.json,
    "named_error_event": lambda a, good: a.status == 500 and "error" in a.json,
    "flat_error": lambda a, good: a.status == 500 and a.json["object"] == "error",
}


@pytest.mark.parametrize("how", get_args(Cut))
async def test_answer_that_is_not_streamed_goes_wrong_alike(how: Cut) -> None:
    """Each cut means something for a whole answer too; where the length fits, the JSON does not."""
    async with server() as backend:
        good = await ask(backend, chat())
    answer = await struck(Fault.cut_after(2, how), chat(), silent=how in {"stall", "pings"})
    assert _WHOLE_CUTS[how](answer, good.body), answer
    if answer.end == "fin" and how != "fin":
        assert int(answer.headers["content-length"]) == len(answer.body)
    else:
        assert int(answer.headers["content-length"]) > len(answer.payload)


async def test_short_names_for_common_cuts() -> None:
    """The names of the fault catalogue, as cuts after one token."""
    assert Fault.reset_mid_body() == Fault.cut_after(1, "rst")
    assert Fault.fin_mid_body() == Fault.cut_after(1, "fin")
    assert Fault.role_then_hang() == Fault.cut_after(0, "stall")
    assert Fault.truncated_json() == Fault.cut_after(1, "partial_event")
