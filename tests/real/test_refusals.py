"""What a real server refuses: the request's own fault is told at once, anything else goes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm import DeadlineExceeded, RequestRejected, RouteExhausted
from real.routers import STEPS, busy, history, pair, read
from real.server import CONTEXT, QUEUED_MAX, RealServer, messages


async def words_that_fill(server: RealServer, tokens: int) -> str:
    """A text that makes a prompt of exactly so many tokens: one per word, and those of the frame."""
    async with server.client() as client:
        empty = {"model": "tiny", "messages": messages("")}
        frame: int = (await client.post("/tokenize", json=empty)).json()["count"]
    return " router" * (tokens - frame)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("prompt", "params"),
    [
        pytest.param(CONTEXT + 100, {"max_tokens": 5}, id="prompt-over-context"),
        pytest.param(CONTEXT, {"max_tokens": 16}, id="prompt-of-exactly-the-context"),
        pytest.param(CONTEXT, {}, id="the-same-without-a-limit"),
        pytest.param(100, {"max_tokens": 5_000}, id="max-tokens-over-context"),
    ],
)
async def test_what_is_too_long_is_rejected_and_asked_of_nobody_else(
    server: RealServer, prompt: int, params: dict[str, Any], stream: bool
) -> None:
    """One code for all of them, whichever parameter the server speaks of; nothing is repeated."""
    text = await words_that_fill(server, prompt)
    async with pair(server) as here:
        with pytest.raises(RequestRejected) as caught:
            await (here.stream if stream else here.chat)(text, **params)
        assert here.asked_api == 0
    assert caught.value.status_code == 400
    assert caught.value.code == "context_length_exceeded"
    assert history(caught.value) == [("gpu", "400")]


async def test_an_answer_is_cut_to_the_room_left_and_says_so(server: RealServer) -> None:
    """Prompt and limit together over the context are no error: fewer tokens, and `length`."""
    text = await words_that_fill(server, CONTEXT - 6)
    async with pair(server) as here:
        reply = await here.chat(text, tokens=400)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 6


async def test_a_bad_value_is_rejected_in_the_servers_words(server: RealServer) -> None:
    """It would be as bad anywhere else."""
    async with pair(server) as here:
        with pytest.raises(RequestRejected, match="temperature") as caught:
            await here.chat(temperature=9)
        assert here.asked_api == 0
    assert caught.value.status_code == 400


async def test_a_model_that_it_does_not_have_is_asked_of_the_next(server: RealServer) -> None:
    """404: another backend may have it; this one is left alone for a while."""
    async with pair(server, asked="nope") as here:
        replies = [await here.chat(max_tokens=2) for _ in range(2)]
    assert [history(reply) for reply in replies] == [
        [("gpu", "404"), ("api", None)],
        [("api", None)],
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_wrong_key_is_no_fault_of_the_request(server: RealServer, stream: bool) -> None:
    """401 with `error` as a mere text; somebody else answers, and who may go nowhere else is told."""
    async with pair(server, key="sk-wrong") as here:
        with pytest.raises(RouteExhausted) as caught:
            await here.chat(residency="phi")
        reply = await (here.stream() if stream else here.chat())
        if stream:
            await read(reply)
    assert caught.value.status_code == 401
    assert "Unauthorized" in str(caught.value)
    assert history(reply)[-1] == ("api", None)


async def test_health_and_metrics_are_open_without_a_key(server: RealServer) -> None:
    """So a look at them says nothing of our key; the list of models does."""
    async with server.client() as client:
        del client.headers["Authorization"]
        found = {
            path: (await client.get(path)).status_code
            for path in ("/health", "/metrics", "/load", "/version", "/v1/models")
        }
    assert found == {
        "/health": 200,
        "/metrics": 200,
        "/load": 200,
        "/version": 200,
        "/v1/models": 401,
    }


@pytest.mark.flaky(
    reruns=1
)  # where it gets no cores, what fills its queue may be over before the last call
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_full_queue_sends_the_request_elsewhere(server: RealServer, stream: bool) -> None:
    """A plain 503 before any event, without Retry-After; what may go nowhere else is told that."""
    async with busy(server, QUEUED_MAX) as client, pair(server) as here:
        body = {"model": "tiny", "messages": STEPS, "stream": stream}
        refused = await client.post("/v1/chat/completions", json=body)
        reply = await (here.stream() if stream else here.chat())
        if stream:
            await read(reply)
        # A slow server may take it into its queue after all, where it waits for as long as it may.
        with pytest.raises((RouteExhausted, DeadlineExceeded)):
            await here.chat(residency="phi", deadline_s=10)
        assert here.asked_api == 1
    assert refused.status_code == 503
    assert "retry-after" not in refused.headers
    assert refused.json()["error"]["code"] == 503
    assert history(reply) == [("gpu", "503"), ("api", None)]
