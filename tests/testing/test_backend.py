"""What a simulated backend answers when nothing is wrong with it."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import pytest

from hybridllm.testing import (
    count_tokens,
    prompt_tokens,
    tokenize,
)
from testing.backends import server
from testing.raw_client import ask, chat, stream

QUESTION = "I was charged twice"
PRICE_TOOL = {
    "type": "function",
    "function": {
        "name": "get_price",
        "parameters": {
            "type": "object",
            "properties": {
                "model": {"type": "string", "enum": ["a", "b"]},
                "count": {"type": "integer", "minimum": 2},
            },
            "required": ["model", "count"],
        },
    },
}
NAMED = {"type": "function", "function": {"name": "get_price"}}


@pytest.mark.parametrize("kind", ["api", "vllm"])
async def test_chat_tells_tokens_by_the_published_rule(kind: Any) -> None:
    """A test can compute the cost of an answer before it asks for it."""
    async with server(kind=kind, answer="twice, indeed") as backend:
        answer = (await ask(backend, chat())).json

    assert answer["choices"][0]["message"]["content"] == "twice, indeed"
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["prompt_tokens"] == prompt_tokens(chat()["messages"]) == 9
    assert usage["completion_tokens"] == count_tokens("twice, indeed") == 4
    assert usage["total_tokens"] == 13


@pytest.mark.parametrize("kind", ["api", "vllm"])
async def test_stream_is_role_tokens_finish_usage_done(kind: Any) -> None:
    """The role comes first and alone; usage comes last, with empty choices, and only if asked for."""
    async with server(kind=kind, answer="one two three") as backend:
        with_usage = await ask(backend, stream())
        without = await ask(backend, chat(stream=True))

    assert with_usage.end == "fin"
    assert with_usage.payload.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert with_usage.text == without.text == "one two three"
    first, *_, last = with_usage.events
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert first["choices"][0]["delta"]["content"] == ""
    reasons = [e["choices"][0]["finish_reason"] for e in with_usage.events if e["choices"]]
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == len(tokenize("one two three"))
    assert not any(event.get("usage") for event in without.events)


@pytest.mark.parametrize(
    ("fields", "text", "finish", "stop_reason"),
    [
        pytest.param({}, "alpha beta gamma", "stop", None, id="whole"),
        pytest.param({"max_tokens": 2}, "alpha", "length", None, id="max-tokens"),
        pytest.param({"max_completion_tokens": 1}, "alph", "length", None, id="new-name"),
        pytest.param({"max_tokens": 99}, "alpha beta gamma", "stop", None, id="room-enough"),
        pytest.param({"stop": "beta"}, "alpha ", "stop", "beta", id="stop-word"),
        pytest.param({"stop": ["gam", "ta"]}, "alpha be", "stop", "ta", id="first-of-two"),
        pytest.param({"stop": "nowhere"}, "alpha beta gamma", "stop", None, id="stop-not-met"),
    ],
)
async def test_answer_ends_where_the_request_says(
    fields: dict[str, Any], text: str, finish: str, stop_reason: str | None
) -> None:
    """Token limits and stop words work, streamed or not, and the finish reason tells which."""
    async with server(kind="vllm", answer="alpha beta gamma") as backend:
        whole = (await ask(backend, chat(**fields))).json["choices"][0]
        streamed = await ask(backend, stream(**fields))

    assert (whole["message"]["content"], whole["finish_reason"]) == (text, finish)
    assert whole["stop_reason"] == stop_reason
    assert streamed.text == text
    assert streamed.events[-2]["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("kind", ["api", "vllm"])
@pytest.mark.parametrize(
    ("choice", "finish"), [("required", "tool_calls"), (NAMED, "stop")], ids=["required", "named"]
)
async def test_forced_tool_is_called_with_arguments_that_fit(
    kind: Any, choice: Any, finish: str
) -> None:
    """A named tool ends with `stop`, as with both real ones; its arguments come in pieces."""
    body = {"tools": [PRICE_TOOL], "tool_choice": choice}
    async with server(kind=kind) as backend:
        whole = (await ask(backend, chat(**body))).json["choices"][0]
        streamed = await ask(backend, stream(**body))

    call = whole["message"]["tool_calls"][0]
    assert call["function"] == {"name": "get_price", "arguments": '{"model": "a", "count": 2}'}
    assert whole["finish_reason"] == finish
    deltas = [event["choices"][0] for event in streamed.events if event["choices"]]
    calls = [d["delta"]["tool_calls"][0] for d in deltas if d["delta"].get("tool_calls")]
    assert calls[0]["function"]["name"] == "get_price"
    assert calls[0]["id"]
    arguments = [each["function"].get("arguments", "") for each in calls]
    assert "".join(arguments) == call["function"]["arguments"]
    assert len(arguments) > 3
    assert deltas[-1]["finish_reason"] == finish


async def test_tools_without_force_are_not_called() -> None:
    """Left to itself the simulated model talks."""
    async with server(answer="hm") as backend:
        answer = (await ask(backend, chat(tools=[PRICE_TOOL], tool_choice="auto"))).json
    assert answer["choices"][0]["message"]["content"] == "hm"


async def test_json_schema_is_satisfied_unless_a_function_answers() -> None:
    """A function's word is taken as it is, so that a test can have the form broken."""
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["bug", "question"]}, "sure": {"type": "boolean"}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "triage", "schema": schema}}
    async with server(answer="ignored") as backend:
        formed = (await ask(backend, chat(response_format=form))).json
        loose = (await ask(backend, chat(response_format={"type": "json_object"}))).json
        backend.answer = lambda body: f"no JSON: {body['messages'][0]['content']}"
        broken = (await ask(backend, chat(response_format=form))).json

    contents = [a["choices"][0]["message"]["content"] for a in (formed, loose, broken)]
    assert contents == [
        '{"kind": "bug", "sure": true}',
        '{"answer": "ignored"}',
        f"no JSON: {QUESTION}",
    ]


async def test_choices_take_turns_in_a_stream() -> None:
    """With `n: 2` the events of both choices interleave by index, and both are billed."""
    async with server(answer="one two") as backend:
        answer = await ask(backend, stream(n=2))
    indexes = [event["choices"][0]["index"] for event in answer.events if event["choices"]]
    assert indexes == [0, 1, 0, 1, 0, 0, 1, 1]
    assert answer.events[-1]["usage"]["completion_tokens"] == 4


async def test_logprobs_belong_to_the_tokens() -> None:
    """One entry per token, with as many alternatives as asked for, the same on every run."""
    async with server(answer="one two") as backend:
        first = (await ask(backend, chat(logprobs=True, top_logprobs=2))).json
        again = (await ask(backend, chat(logprobs=True, top_logprobs=2))).json
    entries = first["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["one", " two"]
    assert [len(entry["top_logprobs"]) for entry in entries] == [2, 2]
    assert all(entry["logprob"] < 0 for entry in entries)
    assert again["choices"][0]["logprobs"]["content"] == entries


@pytest.mark.parametrize(("kind", "field"), [("api", "reasoning_content"), ("vllm", "reasoning")])
async def test_reasoning_comes_first_and_is_billed(kind: Any, field: str) -> None:
    """Cut off while it thinks, vLLM's answer has no content at all."""
    async with server(kind=kind, answer="yes", reasoning="let me think") as backend:
        whole = (await ask(backend, chat())).json
        streamed = await ask(backend, stream())
        cut = (await ask(backend, chat(max_tokens=2))).json["choices"][0]

    assert whole["choices"][0]["message"][field] == "let me think"
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4
    deltas = [event["choices"][0]["delta"] for event in streamed.events if event["choices"]]
    assert "".join(delta.get(field) or "" for delta in deltas) == "let me think"
    assert streamed.text == "yes"
    assert cut["finish_reason"] == "length"
    assert not cut["message"]["content"]


async def test_cached_tokens_are_reported_up_to_the_prompt() -> None:
    """A backend cannot have cached more than it was sent."""
    async with server(cached_tokens=4) as backend:
        some = (await ask(backend, chat())).json["usage"]
        backend.cached_tokens = 1_000
        all_of_it = (await ask(backend, chat())).json["usage"]
    assert some["prompt_tokens_details"]["cached_tokens"] == 4
    assert all_of_it["prompt_tokens_details"]["cached_tokens"] == all_of_it["prompt_tokens"]


async def test_embeddings_are_unit_vectors_in_two_encodings() -> None:
    """Same model and text, same vector; base64 holds the very same numbers as float32."""
    path = "/v1/embeddings"
    body = {"model": "qwen3-8b", "input": ["one", "two"], "dimensions": 8}
    async with server() as backend:
        plain = (await ask(backend, body, path=path)).json
        packed = (await ask(backend, {**body, "encoding_format": "base64"}, path=path)).json
        single = (await ask(backend, {"model": "qwen3-8b", "input": "one"}, path=path)).json
        numbers = (await ask(backend, {"model": "qwen3-8b", "input": [1, 2, 3]}, path=path)).json

    one, two = (entry["embedding"] for entry in plain["data"])
    assert len(one) == 8
    assert one != two
    assert sum(value * value for value in one) == pytest.approx(1.0)
    assert list(struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"]))) == one
    assert len(single["data"][0]["embedding"]) == backend.dimensions
    assert plain["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert numbers["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("kind", ["api", "vllm"])
async def test_models_health_and_metrics(kind: Any) -> None:
    """Models need the key, health and metrics do not; only vLLM has metrics and a model's length."""
    async with server(kind=kind, api_key="sk-test", context_tokens=2048) as backend:
        key = {"authorization": "Bearer sk-test"}
        models = await ask(backend, path="/v1/models", headers=key)
        health = await ask(backend, path="/health")
        metrics = await ask(backend, path="/metrics")

    assert [model["id"] for model in models.json["data"]] == ["qwen3-8b"]
    assert health.status == 200
    assert health.body == b""
    assert metrics.status == (200 if kind == "vllm" else 404)
    if kind == "vllm":
        assert models.json["data"][0]["max_model_len"] == 2048
        assert metrics.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"


async def test_metrics_count_what_was_served() -> None:
    """Gauges tell of now, counters of all; a test can set a value, or hide it."""
    async with server(kind="vllm", answer="one two", slots=1, latency_s=0.05) as backend:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask(backend, chat()))
            await asyncio.sleep(0.025)
            busy = (await ask(backend, path="/metrics")).body.decode()
        backend.metrics = {"vllm:kv_cache_usage_perc": 0.97, "vllm:num_requests_waiting": None}
        idle = (await ask(backend, path="/metrics")).body.decode()

    labels = 'engine="0",model_name="qwen3-8b"'
    assert f"vllm:num_requests_running{{{labels}}} 1.0" in busy
    assert f"vllm:num_requests_waiting{{{labels}}} 2.0" in busy
    assert f"vllm:num_requests_running{{{labels}}} 0.0" in idle
    assert f"vllm:prompt_tokens_total{{{labels}}} 27.0" in idle
    assert f"vllm:generation_tokens_total{{{labels}}} 6.0" in idle
    assert 'finished_reason="stop",model_name="qwen3-8b"} 3.0' in idle
    assert f"vllm:kv_cache_usage_perc{{{labels}}} 0.97" in idle
    assert "vllm:num_requests_waiting{" not in idle


@pytest.mark.parametrize("streamed", [False, True])
async def test_full_queue_is_refused(streamed: bool) -> None:
    """With `queue_max`, one request too many gets vLLM's 503, before any event of a stream."""
    full = server(kind="vllm", slots=1, queue_max=1, latency_s=0.1)
    async with full as backend, asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(ask(backend, chat()))
        await asyncio.sleep(0.03)
        refused = await ask(backend, chat(stream=streamed))
    assert refused.status == 503
    assert refused.json["error"]["type"] == "Service Unavailable"
    assert "currently busy" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "request_body", "headers", "status", "error"),
    [
        pytest.param("vllm", chat(), {}, 401, "Unauthorized", id="vllm-no-key"),
        pytest.param(
            "api",
            chat(),
            {"authorization": "Bearer sk-wrong"},
            401,
            {
                "message": "Incorrect API key provided: ****.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            },
            id="api-wrong-key",
        ),
        pytest.param(
            "vllm",
            {**chat(), "model": "nope"},
            {"authorization": "Bearer sk-test"},
            404,
            {
                "message": "The model `nope` does not exist. Valid aliases: qwen3-8b.",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            },
            id="vllm-unknown-model",
        ),
        pytest.param(
            "api",
            {**chat(), "model": "nope"},
            {"authorization": "Bearer sk-test"},
            404,
            {
                "message": "The model `nope` does not exist or you do not have access to it.",
                "type": "invalid_request_error",
                "param": None,
                "code": "model_not_found",
            },
            id="api-unknown-model",
        ),
        pytest.param(
            "api",
            chat("word " * 40),
            {"authorization": "Bearer sk-test"},
            400,
            {
                "message": "This model's maximum context length is 32 tokens. However, your prompt "
                "contains at least 33 input tokens, which exceeds this limit even without any output "
                "tokens. Please reduce the length of the input prompt.",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            },
            id="api-too-long",
        ),
    ],
)
async def test_refusals_have_the_shape_of_the_kind(
    kind: Any, request_body: Any, headers: dict[str, str], status: int, error: Any
) -> None:
    """Three shapes of error are about; each kind has its own."""
    async with server(kind=kind, api_key="sk-test", context_tokens=32) as backend:
        answer = await ask(backend, request_body, headers=headers)
    assert (answer.status, answer.json["error"]) == (status, error)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nope", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/health", 405),
    ],
)
async def test_other_addresses_have_vllms_third_shape(method: str, path: str, status: int) -> None:
    """`{"detail": ...}`: neither an error object nor a string."""
    async with server() as backend:
        answer = await ask(backend, path=path, method=method)
    assert answer.status == status
    assert list(answer.json) == ["detail"]
