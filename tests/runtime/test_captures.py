"""Every recorded answer of a real vLLM server to a chat or embeddings request, through the router.

The bytes are replayed over a loopback socket in the pieces in which they came. What the router makes of
them is held against what the `openai` client makes of the same bytes, and against what the recording's
note says; where vLLM failed, against the typed error or the failover that it has to become.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest

from captures import Capture, captures
from hybridllm import RequestRejected, RouteExhausted, Router, StreamInterrupted, receipt
from hybridllm._core.money.read_usage import read_usage
from raw_server import Exchange, RawServer, chunk, raw_server, until

KEY = "sk-local-test-key"
MESSAGES = [{"role": "user", "content": "Say something about the router."}]
ALL = {
    name: capture
    for name, capture in captures().items()
    if capture.path in {"/v1/chat/completions", "/v1/embeddings"}
}


def named(**wanted: Any) -> list[str]:
    """Names of the recordings with these properties."""
    return [
        name
        for name, capture in ALL.items()
        if all(getattr(capture, key) == value for key, value in wanted.items())
    ]


FAILED_STREAMS = {
    "default/engine_death_stream": "500",
    "default/engine_death_queued_stream": "500",
    "full/chat_stream_client_disconnect": "reset",
    "full/sigterm_hang_stream": "reset",
    "auth/sigterm_abort_stream": "stream_interrupted",
    "auth/sigterm_abort_stream_queued_stream": "stream_interrupted",
}
NO_TOKEN = {"default/engine_death_queued_stream", "auth/sigterm_abort_stream_queued_stream"}
FAILED_ANSWERS = {"auth/sigterm_abort_stream_plain": "invalid_response"}
OVERFLOWS = {
    "default/err_prompt_too_long",
    "default/err_prompt_too_long_stream",
    "default/err_prompt_too_long_no_max_tokens",
    "default/err_prompt_fills_context",
    "default/err_prompt_fills_context_max_tokens",
    "default/err_prompt_one_over",
    "default/err_max_tokens_over_context",
    "full/prompt_fills_context",
    "embed/err_too_long",
}
ELSEWHERE = {401, 404, 500, 503}  # another backend may have the key, the model, the strength


def token_ends(body: bytes) -> int:
    """Where the first event with output ends; 0 if there is none."""
    end = 0
    for block in body.split(b"\n\n"):
        end += len(block) + 2
        if block.startswith(b"data: {"):
            for choice in json.loads(block[6:]).get("choices", ()):
                delta = choice["delta"]
                if any(delta.get(key) for key in ("content", "reasoning", "tool_calls")):
                    return end
    return 0


def replay(capture: Capture, seen: asyncio.Event) -> Callable[[Exchange], Any]:
    """Answer as the server did. After its first token a stream waits until that was `seen`."""
    hold = token_ends(capture.body) if capture.is_stream else 0

    async def play(exchange: Exchange) -> None:
        if capture.status is None:
            exchange.fin()
            return
        head = [f"HTTP/1.1 {capture.status} Recorded"]
        head += [f"{name}: {value}" for name, value in capture.headers]
        await exchange.write("\r\n".join([*head, "", ""]).encode())
        sent = 0
        for data in capture.pieces:
            if 0 < hold <= sent:
                await seen.wait()
            await exchange.write(chunk(data) if capture.is_stream else data)
            sent += len(data)
        if not capture.complete:
            exchange.fin()
        elif capture.is_stream:
            await exchange.write(chunk(b""))

    return play


POLICY = """
version: 1
retries: {{same_backend_max: 0}}
backends:
{backends}
models:
  tiny: {{capabilities: [tools, json_schema, logprobs, vision, reasoning], on: {on}}}
  tiny-embed: {{capabilities: [embeddings], on: {on}}}
tasks:
  chat: {{bucket: bandwidth}}
  embed: {{bucket: bandwidth}}
routes:
  - {{name: embed, when: {{task: embed}}, use: [tiny-embed]}}
  - {{name: chat, use: [tiny]}}
"""


@asynccontextmanager
async def router_over(*servers: RawServer) -> AsyncIterator[Router]:
    """A router over these backends, in this order: b0, b1."""
    backends = "".join(
        f"  b{i}: {{kind: vllm, base_url: '{server.url}/v1', api_key_env: KEY}}\n"
        for i, server in enumerate(servers)
    )
    on = "{" + ", ".join(f"b{i}: tiny" for i in range(len(servers))) + "}"
    text = POLICY.format(backends=backends, on=on)
    async with Router.from_text(text, environ={"KEY": KEY}) as router:
        yield router


def call_of(capture: Capture) -> dict[str, Any]:
    """The recorded request's parameters, as far as a caller of ours could have written them."""
    request = capture.request if isinstance(capture.request, dict) else {}
    if capture.path == "/v1/embeddings":
        sent = {"input": request.get("input") or "The router"}
        sent |= {key: request[key] for key in ("dimensions", "encoding_format") if key in request}
        return {"task": "embed", **sent}
    sent = {key: request[key] for key in ("max_tokens", "n", "tools") if key in request}
    return {"task": "chat", "messages": MESSAGES, **sent}


async def asked(router: Router, capture: Capture, **others: Any) -> Any:
    if capture.path == "/v1/embeddings":
        return await router.embeddings.create(**call_of(capture))
    return await router.chat.completions.create(**call_of(capture), **others)


def test_every_recording_is_replayed_somewhere() -> None:
    """And no name in the tables above is out of date."""
    tables = FAILED_STREAMS.keys() | FAILED_ANSWERS.keys() | OVERFLOWS | NOTES.keys()
    assert tables <= ALL.keys()
    replayed = {*GOOD_ANSWERS, *GOOD_STREAMS, *FAILED_STREAMS, *REFUSED, *FAILED_ELSEWHERE}
    assert replayed == ALL.keys()
    assert len(replayed) >= 124


# --- whole answers

GOOD_ANSWERS = [name for name in named(status=200, is_stream=False) if name not in FAILED_ANSWERS]
GOOD_STREAMS = [name for name in named(status=200, is_stream=True) if name not in FAILED_STREAMS]

NOTES: dict[str, Callable[[Any], bool]] = {
    "default/chat_stop_string": lambda reply: isinstance(reply.choices[0].stop_reason, str),
    "default/chat_length": lambda reply: reply.choices[0].finish_reason == "length",
    "default/chat_n2": lambda reply: [choice.index for choice in reply.choices] == [0, 1],
    "default/chat_json_schema_truncated": lambda reply: reply.choices[0].finish_reason == "length",
    "default/chat_x_request_id": lambda reply: reply.id.startswith("chatcmpl-"),
    "full/chat_request_id_given": lambda reply: reply.id == f"chatcmpl-{reply._request_id}",
    "full/chat_request_id_made": lambda reply: bool(reply._request_id),
    "full/chat_alias": lambda reply: reply.model == "tiny",
    "full/chat_lora": lambda reply: reply.model == "tiny-lora",
    "full/chat_cached_cold": lambda reply: used(reply).cached_input_tokens == 0,
    "full/chat_cached_warm": lambda reply: used(reply).cached_input_tokens == 96,
    "full/chat_tool_named": lambda reply: reply.choices[0].finish_reason == "stop",
    "full/chat_tool_required": lambda reply: reply.choices[0].finish_reason == "tool_calls",
    "full/chat_tool_strict_named": lambda reply: "model" in arguments(reply),
    "drain/chat_tool_named": lambda reply: "model" in arguments(reply),
    "full/chat_tool_cut_leaks_markup": lambda reply: (
        "<tool_call>" in reply.choices[0].message.content
    ),
    "full/max_tokens_clamped_to_room": lambda reply: used(reply).output_tokens == 5,
    "full/prompt_one_below_context": lambda reply: used(reply).output_tokens == 1,
    "auth/chat_reasoning_only_length": lambda reply: (
        reply.choices[0].message.content is None and bool(reply.choices[0].message.reasoning)
    ),
    "auth/chat_per_request_metrics": lambda reply: reply.metrics["time_to_first_token_ms"] > 0,
    "embed/embeddings": lambda reply: len(reply.data[0].embedding) == 64,
    "embed/embeddings_batch": lambda reply: [item.index for item in reply.data] == [0, 1],
    "embed/embeddings_base64": lambda reply: isinstance(reply.data[0].embedding, str),
    "embed/embeddings_truncated": lambda reply: used(reply).input_tokens == 512,
}


def used(reply: Any) -> Any:
    return receipt(reply).attempts[-1].usage


def arguments(reply: Any) -> Any:
    return json.loads(reply.choices[0].message.tool_calls[0].function.arguments)


@pytest.mark.parametrize("name", GOOD_ANSWERS)
async def test_a_recorded_answer_is_what_the_sdk_makes_of_it(name: str) -> None:
    """Field by field, and counted as the server counted."""
    capture = ALL[name]
    async with raw_server(replay(capture, asyncio.Event())) as server:
        async with router_over(server) as router:
            reply = await asked(router, capture)
        async with sdk(server) as client:
            call = {key: value for key, value in call_of(capture).items() if key != "task"}
            if capture.path == "/v1/embeddings":
                call |= {"encoding_format": call.get("encoding_format", "float")}
                theirs = await client.embeddings.create(model="tiny", **call)
            else:
                theirs = await client.chat.completions.create(model="tiny", **call)
    assert type(reply) is type(theirs)
    assert reply.model_dump(warnings=False) == theirs.model_dump(warnings=False)
    (attempt,) = receipt(reply).attempts
    recorded = json.loads(capture.body)
    assert attempt.usage == read_usage(recorded["usage"])
    assert attempt.model_served == recorded["model"]
    assert NOTES.get(name, bool)(reply)


def sdk(server: RawServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{server.url}/v1",
        api_key=KEY,
        max_retries=0,
        http_client=httpx2.AsyncClient(verify=False, trust_env=False),  # no certificates to load
    )


@pytest.mark.parametrize("name", GOOD_STREAMS)
async def test_a_recorded_stream_is_what_the_sdk_makes_of_it(name: str) -> None:
    """Chunk by chunk; the keep-alive comments of a queued one are not among them."""
    capture, seen = ALL[name], asyncio.Event()
    seen.set()
    options = {"stream_options": {"include_usage": b'"choices":[]' in capture.body}}
    async with raw_server(replay(capture, seen)) as server:
        async with router_over(server) as router:
            stream = await asked(router, capture, stream=True, **options)
            async with stream:
                ours = [part.model_dump() async for part in stream]
        async with sdk(server) as client:
            parts = await client.chat.completions.create(
                model="tiny", messages=MESSAGES, stream=True
            )
            theirs = [part.model_dump() async for part in parts]
    assert ours == theirs
    (attempt,) = receipt(stream).attempts
    reported = [part["usage"] for part in ours if part["usage"]]
    if reported:
        assert attempt.usage == read_usage(reported[-1])
    else:
        assert attempt.usage.source == "estimated"
    assert attempt.first_token_s is not None


# --- failures in a 200


@pytest.mark.parametrize(("name", "label"), FAILED_STREAMS.items())
async def test_a_recorded_stream_that_broke_is_interrupted_or_replaced(
    name: str, label: str
) -> None:
    """Tokens that were handed out are kept and the break is told; before any, another one answers."""
    capture, seen = ALL[name], asyncio.Event()
    good = ALL["default/chat_stream"]
    done = asyncio.Event()
    done.set()
    async with (
        raw_server(replay(capture, seen)) as broken,
        raw_server(replay(good, done)) as other,
        router_over(broken, other) as router,
    ):
        stream = await asked(router, capture, stream=True)
        if name in NO_TOKEN:
            assert await text_of(stream, seen)
            assert history(stream) == [("b0", label), ("b1", None)]
        else:
            with pytest.raises(StreamInterrupted) as caught:
                await text_of(stream, seen)
            assert caught.value.cause == label
            assert caught.value.tokens_seen > 0
            assert other.exchanges == []
        await until(lambda: broken.busy == other.busy == 0)


def history(reply: Any) -> list[tuple[str, str | None]]:
    """Who was asked, and how it failed."""
    return [(attempt.backend, attempt.error) for attempt in receipt(reply).attempts]


async def text_of(stream: Any, seen: asyncio.Event) -> str:
    pieces = []
    async with stream:
        async for part in stream:
            seen.set()
            pieces += [choice.delta.content or "" for choice in part.choices]
    return "".join(pieces)


# --- failures with a status, or without an answer

REFUSED = [*named(status=400), *named(status=405)]
FAILED_ELSEWHERE = [
    *FAILED_ANSWERS, *named(status=None), *(n for s in sorted(ELSEWHERE) for n in named(status=s)),
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_a_recorded_refusal_is_told_and_goes_to_nobody_else(name: str) -> None:
    """In vLLM's own words, as openai's error; a context overflow has one code, whatever it speaks of."""
    capture = ALL[name]
    seen = asyncio.Event()
    async with (
        raw_server(replay(capture, seen)) as first,
        raw_server(replay(capture, seen)) as other,
    ):
        async with router_over(first, other) as router:
            with pytest.raises(RequestRejected) as caught:
                await asked(router, capture, **streamed(capture))
        assert (len(first.exchanges), other.exchanges) == (1, [])
    error = caught.value
    body = json.loads(capture.body)
    assert error.status_code == capture.status
    assert isinstance(error, openai.APIStatusError)
    assert isinstance(error, openai.BadRequestError) is (capture.status == 400)
    assert (error.code == "context_length_exceeded") is (name in OVERFLOWS)
    said = body["error"]["message"] if "error" in body else body["detail"]
    assert " ".join(said.split())[:60] in str(error)


def streamed(capture: Capture) -> dict[str, Any]:
    request = capture.request if isinstance(capture.request, dict) else {}
    return {"stream": True} if request.get("stream") else {}


@pytest.mark.parametrize("name", FAILED_ELSEWHERE)
async def test_a_recorded_failure_sends_the_request_elsewhere(name: str) -> None:
    """Alone, it is one typed error; with another backend beside, the caller notices nothing."""
    capture, seen = ALL[name], asyncio.Event()
    seen.set()
    label = FAILED_ANSWERS.get(name) or ("reset" if capture.status is None else str(capture.status))
    good = ALL["embed/embeddings" if capture.path == "/v1/embeddings" else "default/chat"]
    if streamed(capture):
        good = ALL["default/chat_stream"]
    async with (
        raw_server(replay(capture, seen)) as failing,
        raw_server(replay(good, seen)) as other,
    ):
        async with router_over(failing) as router:
            with pytest.raises(RouteExhausted) as caught:
                await asked(router, capture, **streamed(capture))
            assert caught.value.failures == (("b0", label),)
            assert caught.value.status_code == capture.status if label.isdigit() else True
        async with router_over(failing, other) as router:
            reply = await asked(router, capture, **streamed(capture))
            if streamed(capture):
                await text_of(reply, seen)
            assert history(reply) == [("b0", label), ("b1", None)]
