"""The calls of `openai`, as people make them: what goes out is what was said, what comes back is typed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion

from hybridllm import (
    PolicyDenied,
    RouteExhausted,
    receipt,
)
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import MESSAGES, MODEL, policy, script, scripted, text_of, world

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


# --- chat


async def test_an_answer_is_an_openai_object_with_a_receipt() -> None:
    """Typed as `openai` types it; ours is beside it, not in it."""
    async with world("eu") as here:
        answer = await here.chat(temperature=0.5, seed=7, user="u")
        assert type(answer) is ChatCompletion
        assert answer.choices[0].message.content == "A simulated answer from eu."
        assert receipt(answer).attempts[0].backend == "eu"
        assert "receipt" not in f"{answer!r}{answer.model_dump_json()}"
        sent = here["eu"].requests[0].json
        assert sent == {
            "model": MODEL, "messages": MESSAGES, "temperature": 0.5, "seed": 7, "user": "u",
        }  # fmt: skip


async def test_nothing_that_only_we_are_told_reaches_a_backend() -> None:
    """Who the tenant is, is nobody's business but ours."""
    hints = {
        "tenant": "acme-canary", "feature": "triage-canary", "session": "s-canary",
        "priority": "batch", "deadline_s": 30, "max_cost_usd": "1",
        "metadata": {"ticket": "t-canary"},
    }  # fmt: skip
    async with world("eu") as here:
        await here.chat(**hints)
        (request,) = here["eu"].requests
        assert set(request.json) == {"model", "messages"}
        assert b"canary" not in request.raw
        assert "canary" not in str(dict(request.headers))
        assert "hybridllm/" in request.headers["user-agent"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_tools_are_called(stream: bool) -> None:
    """The call and its arguments arrive whole; streamed, in pieces that make the same."""
    async with world("eu") as here:
        options = {"tools": [WEATHER], "tool_choice": "required"}
        if not stream:
            answer = await here.chat(**options)
            (call,) = answer.choices[0].message.tool_calls
            name, arguments = call.function.name, call.function.arguments
            assert answer.choices[0].finish_reason == "tool_calls"
        else:
            name, arguments, reason = "", "", None
            async with await here.stream(**options) as chunks:
                async for chunk in chunks:
                    if not chunk.choices:
                        continue
                    reason = chunk.choices[0].finish_reason or reason
                    for piece in chunk.choices[0].delta.tool_calls or ():
                        name += piece.function.name or ""
                        arguments += piece.function.arguments or ""
            assert reason == "tool_calls"
            assert chunks.receipt.outcome.value == "ok"
        assert name == "weather"
        assert set(json.loads(arguments)) == {"city"}
        assert here["eu"].requests[0].json["tools"] == [WEATHER]


async def test_an_answer_is_handed_back_as_a_message() -> None:
    """The object itself, as openai's own documentation does it: no copying field by field."""
    async with world("eu") as here:
        answer = await here.chat(tools=[WEATHER], tool_choice="required")
        call = answer.choices[0].message.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        await here.chat(messages=[*MESSAGES, answer.choices[0].message, result])
        said, returned, told = here["eu"].requests[1].json["messages"]
        assert said == MESSAGES[0]
        assert returned["tool_calls"][0]["id"] == call.id
        assert returned["role"] == "assistant"
        assert told == result


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_two_choices_are_two_answers(stream: bool) -> None:
    """Each ends with a reason of its own."""
    async with world("eu") as here:
        if stream:
            chunks = [c async for c in await here.stream(n=2)]
            ends = {(c.choices[0].index, c.choices[0].finish_reason) for c in chunks if c.choices}
            assert {(0, "stop"), (1, "stop")} <= ends
        else:
            answer = await here.chat(n=2)
            assert [choice.index for choice in answer.choices] == [0, 1]


async def test_logprobs_come_through() -> None:
    """Both of the answer and of its chunks; asking for them is a need of the request."""
    async with world("eu") as here:
        answer = await here.chat(logprobs=True, top_logprobs=2)
        first = answer.choices[0].logprobs.content[0]
        assert first.logprob <= 0
        assert len(first.top_logprobs) == 2
        chunks = [c async for c in await here.stream(logprobs=True)]
        assert any(c.choices and c.choices[0].logprobs for c in chunks)


async def test_reasoning_comes_through() -> None:
    """In the fields that vLLM and others write it in, which openai's types do not know."""
    async with world("eu", backends={"reasoning": "let me think"}) as here:
        answer = await here.chat()
        told = answer.choices[0].message.model_extra
        assert "let me think" in (told.get("reasoning"), told.get("reasoning_content"))
        stream = await here.stream()
        assert await text_of(stream) == "A simulated answer from eu."
        assert stream.receipt.first_token_s is not None


def test_fields_that_nobody_knows_pass_both_ways() -> None:
    """vLLM's own parameters, and whatever an API adds tomorrow."""
    answer = json.loads(Reply.chat("x").chunks[0]) | {"new_field": {"a": [1]}, "kv": None}
    answer["choices"][0]["message"]["thought"] = "hm"

    async def main() -> None:
        async with script("eu", eu=Reply.json(answer)) as here:
            extra = {"top_k": 5, "guided_choice": ["a", "b"], "chat_template_kwargs": {"x": True}}
            reply = await here.chat(extra_body=extra)
            sent = here.wire.requests[0].json
            assert (sent["top_k"], sent["guided_choice"]) == (5, ["a", "b"])
            assert sent["chat_template_kwargs"] == {"x": True}
            assert "extra_body" not in sent
            assert reply.new_field == {"a": [1]}
            assert reply.choices[0].message.thought == "hm"
            assert reply.model_dump()["new_field"] == {"a": [1]}

    run_in_virtual_time(main)


def test_headers_of_the_caller_are_sent_if_they_are_harmless() -> None:
    """And beside ours, not in their place."""

    async def main() -> None:
        async with script("eu", eu=Reply.chat("x", model="m")) as here:
            await here.chat(extra_headers={"X-Request-Id": "mine"})
            headers = here.wire.requests[0].headers
            assert headers["x-request-id"] == "mine"
            assert headers["authorization"].startswith("Bearer ")
            assert headers["accept-encoding"] == "identity"

    run_in_virtual_time(main)


def test_the_backends_request_id_is_on_the_answer() -> None:
    """Where `openai` puts it, for a ticket to whoever runs the backend."""

    async def main() -> None:
        reply = Reply.json(json.loads(Reply.chat("x").chunks[0]), headers={"x-request-id": "req-7"})
        async with script("eu", eu=reply) as here:
            answer = await here.chat()
            assert answer._request_id == "req-7"

    run_in_virtual_time(main)


# --- what a request needs of a model

NEEDY = """
version: 1
backends: {b: {kind: api, base_url: "https://b.test/v1"}}
models:
  plain: {capabilities: [], on: {b: plain}}
  tools: {capabilities: [tools], on: {b: tools}}
  schema: {capabilities: [json_schema], on: {b: schema}}
  logprobs: {capabilities: [logprobs], on: {b: logprobs}}
  vision: {capabilities: [vision], on: {b: vision}}
  audio: {capabilities: [audio], on: {b: audio}}
routes: [{name: all, use: [plain, tools, schema, logprobs, vision, audio]}]
"""
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


@pytest.mark.parametrize(
    ("params", "model"),
    [
        pytest.param({}, "plain", id="text"),
        pytest.param({"tools": [WEATHER]}, "tools", id="tools"),
        pytest.param({"functions": [WEATHER["function"]]}, "tools", id="functions"),
        pytest.param({"tools": []}, "plain", id="no-tools"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "schema",
            id="json-schema",
        ),
        pytest.param({"response_format": {"type": "json_object"}}, "plain", id="json-object"),
        pytest.param({"logprobs": True}, "logprobs", id="logprobs"),
        pytest.param({"logprobs": False}, "plain", id="no-logprobs"),
        pytest.param({"messages": [{"role": "user", "content": [PICTURE]}]}, "vision", id="image"),
        pytest.param({"messages": [{"role": "user", "content": [SOUND]}]}, "audio", id="sound"),
        pytest.param({"modalities": ["text", "audio"]}, "audio", id="sound-out"),
        pytest.param({"audio": {"voice": "a", "format": "wav"}}, "audio", id="voice"),
    ],
)  # fmt: skip
def test_a_request_goes_to_a_model_that_can_do_what_it_needs(
    params: dict[str, Any], model: str
) -> None:
    """And its parts arrive as they were given."""

    async def main() -> None:
        async with scripted(NEEDY, b=Reply.chat("x")) as here:
            await here.router.chat.completions.create(**{"messages": MESSAGES} | params)
            sent = here.wire.requests[0].json
            assert sent == {"messages": MESSAGES} | params | {"model": model}

    run_in_virtual_time(main)


def test_a_request_that_no_model_can_serve_is_denied() -> None:
    """Two needs that no one model has together."""

    async def main() -> None:
        async with scripted(NEEDY, b=Reply.chat("x")) as here:
            with pytest.raises(PolicyDenied, match="tools, vision") as caught:
                await here.router.chat.completions.create(
                    messages=[{"role": "user", "content": [PICTURE]}],
                    tools=[WEATHER],
                )
            assert len(caught.value.dropped) == 6
            assert here.wire.requests == []

    run_in_virtual_time(main)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_create_gives_a_cut_off_or_filtered_answer_as_it_is(reason: str) -> None:
    """It is an answer, and the caller may want what there is of it."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.chat("half", finish_reason=reason)) as here:
            answer = await here.chat()
            assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == (
                reason,
                "half",
            )
            assert len(receipt(answer).attempts) == 1

    run_in_virtual_time(main)


# --- models


async def test_the_models_are_those_of_the_policy() -> None:
    """As `openai` lists them, and without asking anybody."""
    async with script("eu") as here:
        page = await here.router.models.list()
        assert [model.id for model in page.data] == ["m"]
        assert all(isinstance(model, Model) for model in page.data)
        assert [model.id async for model in page] == ["m"]
        assert here.wire.requests == []


async def test_a_key_that_is_not_there_is_told_by_its_name() -> None:
    """The backend is passed over, and is not to blame."""
    from hybridllm import Router
    from hybridllm.testing import ScriptedWire

    wire = ScriptedWire({})
    async with Router.from_text(policy("eu"), environ={}, wire=wire) as router:
        with pytest.raises(RouteExhausted, match="environment variable KEY is not set") as caught:
            await router.chat.completions.create(messages=MESSAGES)
        assert receipt(caught.value).cost_usd == 0
        assert not router._engine.fleet.breakers
