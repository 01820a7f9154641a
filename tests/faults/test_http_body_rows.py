"""The fault catalogue, rows H12 to H17: a 200 whose body is no answer, or no cheap one to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faults.odd_answers import odd_table
from faults.skipping import leap, run_skipping
from hybridllm import RequestRejected, RouteExhausted, receipt
from hybridllm._core.money.usage import UsageSource
from hybridllm.testing import Fault, prompt_tokens
from odd_backend import DEEP, HTML, INVALID, Odd, answer, completion
from runtime.world import MESSAGES, world

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def twice(key: bytes, value: bytes) -> bytes:
    """The good answer, in which a key comes twice, the second time with this value."""
    return completion().replace(b'"%b":' % key, b'"%b": %b, "%b":' % (key, value, key), 1)


H12: dict[str, Odd] = {
    "html": answer(HTML, b"content-type: text/html"),
    "html called json": answer(HTML),
    "empty": answer(b""),
    "blank": answer(b" \n"),
    "null": answer(b"null"),
    "list": answer(b"[]"),
    "empty object": answer(b"{}"),
    "number": answer(b"5"),
    "text": answer(b'"hello"'),
    "truncated": answer(completion()[:-9]),
    "half a character": answer(completion().replace(b"hello", "gr\u00fc\u00df".encode()[:-1])),
    "more behind it": answer(completion() + b"{}"),
    "NUL": answer(completion() + b"\0"),
    "deep": answer(DEEP),
    "deep and closed": answer(b"[" * 100_000 + b"]" * 100_000),
    "deep inside": answer(completion()[:-1] + b', "x": ' + DEEP + b"]" * 100_000 + b"}"),
    "deep objects": answer(b'{"a":' * 100_000),
    "UTF-16": answer(completion().decode().encode("utf-16")),
    "choices twice": answer(twice(b"choices", b"[]")),
    "message twice": answer(twice(b"message", b'{"role": "assistant", "content": "no"}')),
    "content twice": answer(twice(b"content", b'"no"')),
    "finish_reason twice": answer(twice(b"finish_reason", b'"length"')),
}


def test_h12_a_200_that_is_no_answer_goes_elsewhere() -> None:
    """A page, nothing, half a JSON, a hundred thousand brackets, a key said twice: never a success."""

    async def main() -> None:
        async with odd_table() as here:
            for name, odd in H12.items():
                told = await here.told(odd)
                assert told.history == [("odd", INVALID), ("well", None)], name
                assert (told.text, here.asked) == ("hello", (1, 1)), name
        async with odd_table(alone=True) as here:
            for name, odd in H12.items():
                told = await here.told(odd)
                assert isinstance(told.error, RouteExhausted), name
                assert (told.history, here.asked) == ([("odd", INVALID)], (1, 0)), name
                assert "canary" not in str(told.error)

    run_skipping(main)


def said(error: Any, **more: Any) -> Odd:
    return answer(json.dumps({"error": error} | more).encode())


# What the error is, as what it counts, and for how long its backend is left alone.
H13: dict[str, tuple[Odd, str, float]] = {
    "429 in digits": (said({"code": 429, "message": "m"}), "429", 1.0),
    "429 as text": (said({"code": "429"}), "429", 1.0),
    "429 in words": (said({"code": "rate_limit_exceeded"}), "429", 1.0),
    "quota": (said({"code": "insufficient_quota"}), "429", 300.0),
    "wrong key": (said({"code": "invalid_api_key"}), "401", 60.0),
    "no model": (said({"code": "model_not_found"}), "404", 60.0),
    "overloaded": (said({"type": "overloaded_error"}), "529", 0.0),
    "unavailable": (said({"code": 503}), "503", 0.0),
    "words only": (said("busy"), "500", 0.0),
    "nothing known": (said({"message": "m", "type": "Nope"}), "500", 0.0),
    "beside an answer": (said({"code": 503}, **json.loads(completion())), "503", 0.0),
    "flat": (answer(b'{"object": "error", "message": "m", "code": 503}'), "503", 0.0),
}


def test_h13_an_error_inside_a_200_counts_as_what_it_says() -> None:
    """Another backend answers; the gates are those of the same status outside of a 200."""

    async def main() -> None:
        async with odd_table() as here:
            for name, (odd, label, away_s) in H13.items():
                told = await here.told(odd)
                assert told.history == [("odd", label), ("well", None)], name
                assert told.receipt.attempts[0].maybe_billed, name
                await leap(away_s * 0.85)
                first = (await here.again()).history[0]
                assert first[0] == ("well" if away_s else "odd"), name

    run_skipping(main)


@pytest.mark.parametrize("code", ["invalid_request_error", "context_length_exceeded", 400, 422])
def test_h13_a_wrong_request_is_wrong_inside_a_200_too(code: Any) -> None:
    """One attempt; nobody else is bothered with it."""

    async def main() -> None:
        async with odd_table() as here:
            for stream in (False, True):
                told = await here.told(said({"code": code, "message": "m"}), stream=stream)
                assert isinstance(told.error, RequestRejected)
                assert here.asked == (1, 0)
                assert told.error.status_code == (code if isinstance(code, int) else 400)

    run_skipping(main)


H14: dict[str, Odd] = {
    "missing": answer(b'{"id": "c", "object": "chat.completion"}'),
    "null": answer(b'{"choices": null}'),
    "empty": answer(b'{"choices": []}'),
    "text": answer(b'{"choices": "x"}'),
    "number": answer(b'{"choices": 1}'),
    "object": answer(b'{"choices": {"0": {}}}'),
    "of null": answer(b'{"choices": [null]}'),
    "of text": answer(b'{"choices": ["x"]}'),
    "message missing": answer(b'{"choices": [{"index": 0, "finish_reason": "stop"}]}'),
    "message null": answer(completion(message=None)),
    "message a list": answer(completion(message=[])),
    "content null": answer(completion(message={"role": "assistant", "content": None})),
    "content missing": answer(completion(message={"role": "assistant"})),
    "content a number": answer(completion(message={"role": "assistant", "content": 5})),
    "content parts": answer(completion(message={"content": [{"type": "text", "text": "x"}]})),
    "calls empty": answer(completion(message={"content": None, "tool_calls": []})),
    "calls null": answer(completion(message={"content": None, "tool_calls": [None]})),
    "call without a name": answer(
        completion(message={"content": None, "tool_calls": [CALL | {"function": {"name": ""}}]})
    ),
    "arguments an object": answer(
        completion(
            message={
                "content": None,
                "tool_calls": [CALL | {"function": {"name": "f", "arguments": {}}}],
            }
        )
    ),
    "unfinished": answer(completion(finish_reason=None)),
    "aborted": answer(completion(finish_reason="abort")),
}


def test_h14_choices_that_are_none_are_no_answer() -> None:
    """Missing, empty or of another type; a message without anything in it."""

    async def main() -> None:
        async with odd_table() as here:
            for name, odd in H14.items():
                told = await here.told(odd)
                assert told.history == [("odd", INVALID), ("well", None)], name
                assert told.text == "hello", name

    run_skipping(main)


def test_h14_a_null_beside_tool_calls_is_an_answer() -> None:
    """So is a refusal, or a filter that has taken everything away."""

    async def main() -> None:
        async with odd_table() as here:
            for message, finish in (
                ({"role": "assistant", "content": None, "tool_calls": [CALL]}, "tool_calls"),
                ({"role": "assistant", "content": None, "refusal": "No."}, "stop"),
                ({"role": "assistant", "content": None}, "content_filter"),
                ({"role": "assistant", "content": ""}, "stop"),
            ):
                told = await here.told(answer(completion(message=message, finish_reason=finish)))
                assert told.history == [("odd", None)], message

    run_skipping(main)


COUNTS = '"completion_tokens": 4, "total_tokens": 9'
H15 = {
    "missing": None,
    "null": "null",
    "empty": "{}",
    "list": "[5, 4]",
    "a string": '"5"',
    "half of it": '{"prompt_tokens": 5}',
} | {
    name: f'{{"prompt_tokens": {count}, {COUNTS}}}'
    for name, count in (
        ("negative", "-5"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("huge", "1" + "0" * 40),
        ("5000 digits", "9" * 5_000),
        ("fraction", "5.5"),
        ("text", '"5"'),
        ("truth", "true"),
    )
}


def test_h15_a_usage_that_cannot_be_is_estimated_and_said_so() -> None:
    """The answer is delivered all the same, whole or streamed; the receipt marks its cost as incomplete."""

    async def main() -> None:
        async with world("eu") as here:
            here["eu"].answer = "one two six ten"
            for name, value in H15.items():
                here["eu"].fault = Fault.no_usage() if value is None else Fault.usage(value)
                reply = await here.chat()
                assert reply.choices[0].message.content == "one two six ten", name
                stream = await here.stream()
                pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
                assert "".join(pieces) == "one two six ten", name
                for told in (receipt(reply), stream.receipt):
                    (attempt,) = told.attempts
                    assert attempt.usage.source is UsageSource.ESTIMATED, name
                    assert not told.cost_complete, name
                    assert abs(attempt.usage.input_tokens - prompt_tokens(MESSAGES)) < 20, name
                    assert 1 <= attempt.usage.output_tokens <= 8, name

    run_skipping(main)


def test_h17_a_body_that_would_fill_the_memory_is_refused() -> None:
    """250 MiB in a few hundred KiB, or without an end: in a process of its own less than 40 MiB are taken."""
    script = Path(__file__).with_name("bomb.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["histories"]) == 8
    for name, history in told["histories"].items():
        label = "503" if name == "error" else INVALID
        assert history == [["odd", label], ["well", None]], name
    assert told["grown_mib"] < 40
    assert told["sent_mib"] < 32
