"""What we build from an answer's bytes is what the `openai` SDK builds from them: types, values, all.

The SDK is asked over an in-process transport. Recorded answers of a real vLLM server, and odd ones of
the kind that real APIs send. One difference is known and harmless: `model_fields_set` of ours also
names fields that `openai` does not know.
"""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from captures import Capture, captures
from hybridllm import receipt
from hybridllm._adapters.openai_types import OpenAICodec
from hybridllm._core.receipt import Receipt, RequestOutcome
from hybridllm._runtime.ports import Parsed

CODEC = OpenAICodec()


def sdk(body: bytes, *, content_type: str = "application/json") -> openai.AsyncOpenAI:
    """A client of `openai` whose every request is answered with these bytes."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": content_type, "x-request-id": "req-1"}
        return httpx2.Response(200, headers=headers, content=body)

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return openai.AsyncOpenAI(
        api_key="sk-x", base_url="https://b.test/v1", http_client=client, max_retries=0
    )


def theirs(body: bytes, *, operation: str = "chat") -> Any:
    """What the SDK makes of an answer."""

    async def ask() -> Any:
        async with sdk(body) as client:
            if operation == "chat":
                return await client.chat.completions.create(messages=[], model="m")
            return await client.embeddings.create(input="x", model="m", encoding_format="float")

    return asyncio.run(ask())


def their_chunks(body: bytes) -> list[Any]:
    """What the SDK makes of a stream."""

    async def ask() -> list[Any]:
        async with sdk(body, content_type="text/event-stream") as client:
            stream = await client.chat.completions.create(messages=[], model="m", stream=True)
            return [chunk async for chunk in stream]

    return asyncio.run(ask())


def ours(body: bytes, *, operation: str = "chat") -> Any:
    """What we make of an answer; it must be one."""
    if operation == "chat":
        parsed = CODEC.completion(body)
    else:
        parsed = CODEC.embeddings(body, inputs=None, dimensions=None)
    assert isinstance(parsed, Parsed), parsed
    CODEC.attach(parsed.value, RECEIPT, "req-1")
    return parsed.value


def tree(value: Any) -> Any:
    """A value with the class of everything in it."""
    if isinstance(value, BaseModel):
        fields = {name: tree(each) for name, each in dict(value).items()}
        extra = {name: tree(each) for name, each in (value.model_extra or {}).items()}
        return type(value).__qualname__, fields, extra
    if isinstance(value, dict):
        return {name: tree(each) for name, each in value.items()}
    if isinstance(value, list):
        return [tree(each) for each in value]
    return type(value).__name__, value


def assert_alike(mine: Any, their: Any) -> None:
    assert type(mine) is type(their)
    assert tree(mine) == tree(their)
    assert mine.model_dump(warnings=False) == their.model_dump(warnings=False)
    assert mine.to_json(warnings=False) == their.to_json(warnings=False)
    assert repr(mine) == repr(their)
    # What was sent, less what the SDK forgets was set: fields that it does not know.
    set_by_us = mine.model_fields_set - (mine.model_extra or {}).keys()
    assert set_by_us == their.model_fields_set - (their.model_extra or {}).keys()


RECEIPT = Receipt(
    request_id="0" * 32, policy="p", policy_version="v", route="r", operation="chat", task="canary",
    residency=None, tenant=None, feature=None, session=None, stream=False, candidates=(), reasons=(),
    dropped=(), attempts=(), outcome=RequestOutcome.OK, error=None,
    started_at=datetime(2026, 1, 1, tzinfo=UTC), duration_s=0.0, first_token_s=None,
    cost_usd=Decimal("0.1"), cost_wasted_usd=Decimal(0), cost_complete=True,
)  # fmt: skip


def answers(ending: str, *, stream: bool = False) -> list[Any]:
    """Recorded answers to requests whose path ends so."""
    return [
        pytest.param(capture, id=name)
        for name, capture in captures().items()
        if capture.path.endswith(ending)
        and capture.status == 200
        and capture.is_stream is stream
        and capture.complete
        and b'"finish_reason":"abort"' not in capture.body  # no answer: see test_captures.py
        and b'"error"' not in capture.body
    ]


@pytest.mark.parametrize("capture", answers("/chat/completions"))
def test_a_recorded_chat_answer_is_what_the_sdk_makes_of_it(capture: Capture) -> None:
    """Real bytes of a real server."""
    assert_alike(ours(capture.body), theirs(capture.body))


@pytest.mark.parametrize("capture", answers("/embeddings"))
def test_a_recorded_embeddings_answer_is_what_the_sdk_makes_of_it(capture: Capture) -> None:
    """Vectors as floats and as text."""
    mine = ours(capture.body, operation="embeddings")
    assert_alike(mine, theirs(capture.body, operation="embeddings"))


def events_of(body: bytes) -> list[bytes]:
    """The data of each event, up to [DONE]."""
    lines = body.split(b"\n")
    events = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    return events[: events.index(b"[DONE]")]


@pytest.mark.parametrize("capture", answers("/chat/completions", stream=True))
def test_a_recorded_stream_is_chunk_by_chunk_what_the_sdk_makes_of_it(capture: Capture) -> None:
    """Every chunk, the one with the usage too."""
    mine = [CODEC.chunk(b"", data) for data in events_of(capture.body)]
    their = their_chunks(capture.body)
    assert len(mine) == len(their)
    for one, other in zip(mine, their, strict=True):
        assert_alike(one, other)


MESSAGE = {"role": "assistant", "content": "hello"}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def chat(*choices: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "c", "object": "chat.completion", "created": 1_700_000_000, "model": "m",
        "choices": list(choices or [CHOICE]), "usage": USAGE,
    } | fields  # fmt: skip


def choice(finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {"index": 0, "message": MESSAGE | message, "finish_reason": finish_reason}


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


ODD = {
    "plain": chat(),
    "two-choices": chat(CHOICE, CHOICE | {"index": 1}),
    "tool-calls": chat(choice("tool_calls", content=None, tool_calls=[CALL, CALL | {"id": "c2"}])),
    "custom-tool": chat(
        choice("tool_calls", content=None,
               tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "n", "input": "i"}}])
    ),
    "unknown-tool-type": chat(choice("tool_calls", tool_calls=[CALL | {"type": "weird"}])),
    "function-call": chat(
        choice("function_call", content=None, function_call={"name": "f", "arguments": "{}"})
    ),
    "empty-tool-calls": chat(choice(tool_calls=[])),
    "refusal": chat(choice(content=None, refusal="I would rather not.")),
    "filtered": chat(choice("content_filter", content=None)),
    "length": chat(choice("length", content="")),
    "audio": chat(
        choice(content=None, audio={"id": "a", "data": "AAAA", "expires_at": 1, "transcript": "t"})
    ),
    "annotations": chat(
        choice(annotations=[{"type": "url_citation", "url_citation": {
            "start_index": 0, "end_index": 1, "title": "t", "url": "https://x"}}])
    ),
    "logprobs": chat(CHOICE | {"logprobs": {"content": [
        {"token": "hello", "logprob": -0.5, "bytes": [104], "top_logprobs": [
            {"token": "hello", "logprob": -0.5, "bytes": None}]}], "refusal": None}}),
    "integral-logprob": chat(CHOICE | {"logprobs": {"content": [
        {"token": "a", "logprob": 0, "bytes": None, "top_logprobs": []}], "refusal": None}}),
    "reasoning": chat(choice(reasoning="hm", reasoning_content="hm")),
    "extra-fields": chat(prompt_logprobs=None, kv_transfer_params={"a": [1, {"b": None}]}, x=1.5),
    "extra-in-choice": chat(CHOICE | {"stop_reason": None, "token_ids": [1, 2]}),
    "details": chat(usage=USAGE | {
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1, "accepted_prediction_tokens": 0}}),
    "details-null": chat(usage=USAGE | {"prompt_tokens_details": None}),
    "no-usage": without(chat(), "usage"),
    "usage-null": chat(usage=None),
    "no-id": without(chat(), "id"),
    "no-created": without(chat(), "created"),
    "no-object-no-model": without(chat(), "object", "model"),
    "only-choices": {"choices": [CHOICE]},
    "no-index": chat(without(CHOICE, "index")),
    "no-role": chat(CHOICE | {"message": {"content": "hello"}}),
    "other-role": chat(choice(role="model")),
    "float-created": chat(created=1_700_000_000.0),
    "fractional-created": chat(created=1_700_000_000.5),
    "text-created": chat(created="1700000000"),
    "number-id": chat(id=7),
    "usage-as-floats": chat(usage={"prompt_tokens": 3.0, "completion_tokens": 2.0, "total_tokens": 5.0}),
    "usage-as-text": chat(usage={"prompt_tokens": "3", "completion_tokens": "2", "total_tokens": "5"}),
    "usage-as-list": chat(usage=[1]),
    "other-object": chat(object="chat.completion.v2"),
    "service-tier": chat(service_tier="default", system_fingerprint="fp"),
    "unknown-service-tier": chat(service_tier="turbo"),
    "unicode": chat(choice(content="naïve 世界 🙂 \u2028 \ud83d\ude00")),
    "null-extra": chat(moderation=None, metadata=None),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_is_what_the_sdk_makes_of_it(name: str) -> None:
    """Missing, added and mistyped fields: taken as leniently, and in the same classes."""
    body = json.dumps(ODD[name]).encode()
    assert_alike(ours(body), theirs(body))


def test_whitespace_and_a_byte_order_do_not_matter() -> None:
    """Pretty-printed, or with a newline at its end."""
    body = json.dumps(chat(), indent=2).encode() + b"\r\n"
    assert_alike(ours(body), theirs(body))


def chunk(*choices: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": list(choices),
    } | fields  # fmt: skip


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": fields, "finish_reason": finish_reason}


PIECE = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
ODD_CHUNKS = {
    "role": chunk(delta(role="assistant", content="")),
    "content": chunk(delta(content="x")),
    "finish": chunk(delta("stop")),
    "usage": chunk(usage=USAGE),
    "usage-null": chunk(delta(content="x"), usage=None),
    "tool-call": chunk(delta(tool_calls=[PIECE])),
    "tool-call-rest": chunk(delta(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])),
    "tool-call-without-index": chunk(delta(tool_calls=[{"id": "c", "function": {"name": "f"}}])),
    "reasoning": chunk(delta(reasoning="hm")),
    "audio": chunk(delta(audio={"id": "a", "data": "AA"})),
    "logprobs": chunk(delta(content="x") | {"logprobs": {"content": [
        {"token": "x", "logprob": -1, "bytes": None, "top_logprobs": []}], "refusal": None}}),
    "two-choices": chunk(delta(content="x"), delta(content="y") | {"index": 1}),
    "no-finish-key": chunk({"index": 0, "delta": {"content": "x"}}),
    "no-head": {"choices": [delta(content="x")]},
    "empty-model": chunk(model="", id="", created=0, prompt_filter_results=[]),
    "unknown-finish": chunk(delta("abort")),
    "float-created": chunk(delta(content="x"), created=1.5),
    "extra": chunk(delta(content="x", thought="t") | {"stop_reason": None}, kv=None, obfuscation="q"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_an_odd_chunk_is_what_the_sdk_makes_of_it(name: str) -> None:
    """As with whole answers."""
    data = json.dumps(ODD_CHUNKS[name]).encode()
    (their,) = their_chunks(b"data: " + data + b"\n\ndata: [DONE]\n\n")
    assert_alike(CODEC.chunk(b"", data), their)


VECTOR = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
ODD_EMBEDDINGS: dict[str, dict[str, Any]] = {
    "plain": {"object": "list", "model": "m", "data": [VECTOR],
              "usage": {"prompt_tokens": 3, "total_tokens": 3}},
    "integers": {"object": "list", "model": "m", "data": [VECTOR | {"embedding": [1, 0]}],
                 "usage": {"prompt_tokens": 3, "total_tokens": 3}},
    "no-usage": {"object": "list", "model": "m", "data": [VECTOR]},
    "only-data": {"data": [VECTOR]},
    "extra": {"id": "e", "object": "list", "created": 1, "model": "m", "data": [VECTOR],
              "usage": {"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0,
                        "prompt_tokens_details": None}},
    "base64": {"object": "list", "model": "m", "data": [VECTOR | {"embedding": "AAAAPwAAgL4="}],
               "usage": {"prompt_tokens": 3, "total_tokens": 3}},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_EMBEDDINGS)
def test_odd_embeddings_are_what_the_sdk_makes_of_them(name: str) -> None:
    """With `encoding_format` given, as here, the SDK decodes nothing either."""
    body = json.dumps(ODD_EMBEDDINGS[name]).encode()
    assert_alike(ours(body, operation="embeddings"), theirs(body, operation="embeddings"))


# --- the receipt


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: ours(json.dumps(chat()).encode()), id="chat"),
        pytest.param(lambda: ours(json.dumps(ODD["only-choices"]).encode()), id="odd-chat"),
        pytest.param(
            lambda: ours(json.dumps(ODD_EMBEDDINGS["plain"]).encode(), operation="embeddings"),
            id="embeddings",
        ),
    ],
)
def test_a_receipt_goes_with_its_answer_and_is_not_in_it(answer: Any) -> None:
    """Copies keep it, dumps and reprs do not show it, another answer does not have it."""
    one = answer()
    assert isinstance(one, ChatCompletion | CreateEmbeddingResponse)
    copies = [
        one.model_copy(),
        one.model_copy(deep=True),
        copy.copy(one),
        copy.deepcopy(one),
        pickle.loads(pickle.dumps(one)),
    ]
    for each in (one, *copies):
        assert receipt(each) == RECEIPT
        assert each._request_id == "req-1"
        assert "canary" not in f"{each!r}{each}{each.model_dump()}{each.model_dump_json()}"
        assert "hybridllm" not in f"{each.model_dump()}{each.model_fields_set}{each.model_extra}"
    again = type(one).construct(**one.model_dump())
    with pytest.raises(LookupError):
        receipt(again)
    with pytest.raises(LookupError, match="dict has no receipt"):
        receipt({})


def test_the_request_id_is_that_of_the_answer() -> None:
    """None if the backend sent none, as with the SDK."""
    body = json.dumps(chat()).encode()
    assert ours(body)._request_id == theirs(body)._request_id == "req-1"
    parsed = CODEC.completion(body)
    assert isinstance(parsed, Parsed)
    CODEC.attach(parsed.value, RECEIPT, None)
    assert parsed.value._request_id is None
