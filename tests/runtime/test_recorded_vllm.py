"""What recordings of a real vLLM say beyond one answer: heads before tokens, refusals without a time, drains.

Each recorded answer by itself is replayed in `test_captures.py`; the page `docs/vllm.md` lists all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from captures import captures
from hybridllm import Router, receipt
from hybridllm._adapters.aiohttp_wire import KEEPALIVE_S
from raw_server import Exchange, RawServer, chunk, raw_server
from runtime.world import text_of

POLICY = """
version: 1
retries: {{same_backend_max: 0}}
backends:
  gpu: {{kind: vllm, base_url: '{gpu}/v1'{more}}}
  twin: {{kind: vllm, base_url: '{twin}/v1'}}
models:
  tiny: {{context: auto, on: {{gpu: tiny, twin: tiny}}}}
routes:
  - {{name: all, use: [{{model: tiny, on: [gpu, twin]}}]}}
"""
MESSAGES: Any = [{"role": "user", "content": "Say something about the router."}]
VLLM_CLOSES_AFTER_S = 5.0  # of idleness, to the hundredth; measured


def router_over(gpu: RawServer, twin: RawServer, *, more: str = "") -> Router:
    return Router.from_text(POLICY.format(gpu=gpu.url, twin=twin.url, more=more), environ={})


def replay(*names: str, until_token: bool = False) -> Callable[[Exchange], Any]:
    """Answer with each recording in turn, the last one for good; or say nothing from its first token on."""
    left = [captures()[name] for name in names]

    async def play(exchange: Exchange) -> None:
        capture = left.pop(0) if len(left) > 1 else left[0]
        head = [f"HTTP/1.1 {capture.status} Recorded", *(f"{k}: {v}" for k, v in capture.headers)]
        await exchange.write("\r\n".join([*head, "", ""]).encode())
        if not capture.is_stream:
            await exchange.write(capture.body)
            return
        if until_token:
            comments, _, _ = capture.body.partition(b"data: ")
            if comments:
                await exchange.write(chunk(comments))
            await asyncio.Event().wait()
        await exchange.write(chunk(capture.body) + chunk(b""))

    return play


@pytest.mark.parametrize("name", ["default/chat_stream_queued", "auth/chat_stream_keep_alive"])
async def test_a_queued_streams_head_and_comments_keep_nobody(name: str) -> None:
    """A head of 200 came at once, and comments: no token. So another backend is asked, and nobody notices."""
    async with (
        raw_server(replay(name, until_token=True)) as gpu,
        raw_server(replay("default/chat_stream")) as twin,
        router_over(gpu, twin, more=", timeouts: {first_token: 300ms}") as router,
    ):
        stream = await router.chat.completions.create(messages=MESSAGES, stream=True)
        assert await text_of(stream)
        queued, served = receipt(stream).attempts
    assert (queued.backend, queued.error) == ("gpu", "first_token_timeout")
    assert queued.status_code in (None, 200)
    assert queued.first_token_s is None
    assert (served.backend, served.error) == ("twin", None)


@pytest.mark.parametrize("name", ["auth/err_queue_full", "auth/err_queue_full_stream"])
async def test_a_full_queue_names_no_time_and_is_tried_again_by_the_next_request(name: str) -> None:
    """It is no rate limit: what was full a moment ago may have a place now."""
    stream = name.endswith("stream")
    good = "default/chat_stream" if stream else "default/chat"
    told = []
    async with (
        raw_server(replay(name, good)) as gpu,
        raw_server(replay(good)) as twin,
        router_over(gpu, twin) as router,
    ):
        for _ in range(2):
            reply = await router.chat.completions.create(messages=MESSAGES, stream=stream)
            if stream:
                await text_of(reply)
            told.append([(a.backend, a.error) for a in receipt(reply).attempts])
    assert told == [[("gpu", "503"), ("twin", None)], [("gpu", None)]]


async def test_a_server_that_drains_says_that_it_is_well_and_is_left_by_its_breaker() -> None:
    """500 for whatever is new, 200 on its health page: what it answers counts, not what it says of itself."""
    looks = captures()["default/health"]
    drains = replay("drain/sigterm_drain_new_request")

    async def play(exchange: Exchange) -> None:
        if exchange.head.startswith(b"GET"):
            await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        else:
            await drains(exchange)

    assert looks.status == 200
    async with (
        raw_server(play) as gpu,
        raw_server(replay("default/chat")) as twin,
        router_over(gpu, twin, more=", health: /health") as router,
    ):
        for _ in range(20):
            reply = await router.chat.completions.create(messages=MESSAGES)
            assert receipt(reply).attempts[-1].backend == "twin"
        asked = sum(exchange.head.startswith(b"POST") for exchange in gpu.exchanges)
    assert asked <= 10


def test_no_connection_is_kept_as_long_as_vllm_keeps_it() -> None:
    """Or a request might be sent just as the server closes."""
    assert KEEPALIVE_S < VLLM_CLOSES_AFTER_S - 0.5
