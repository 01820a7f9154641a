"""Where a stream is committed: at its first output of any kind, and not before."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from hybridllm import RouteExhausted, StreamInterrupted
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.test_streams import read
from runtime.world import policy, script, scripted


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f"}}]},
        {"audio": {"data": "AAAA"}},
    ],
    ids=lambda delta: next(iter(delta)),
)
def test_every_kind_of_output_commits(delta: dict[str, Any]) -> None:
    """Thoughts, refusals, calls and sound are output: after them nobody else takes over."""
    event = {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }  # fmt: skip

    async def main() -> None:
        async with script("eu", "us", eu=Reply.stream(event).then_fail("reset")) as here:
            stream = await here.stream()
            _, error = await read(stream)
            assert isinstance(error, StreamInterrupted)
            assert (error.tokens_seen, here.sent("us")) == (1, 0)

    run_in_virtual_time(main)


@pytest.mark.parametrize("delta", [{"role": "assistant"}, {"content": ""}, {"content": None}, {}])
def test_what_is_no_output_does_not_commit(delta: dict[str, Any]) -> None:
    """Nor is it shown to the caller, if another backend takes over."""
    event = {
        "id": "of-eu", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }  # fmt: skip

    async def main() -> None:
        broken = Reply.stream(*[event] * 5).then_fail("reset")
        async with script("eu", "us", eu=broken, us=Reply.chat_stream(["a"])) as here:
            stream = await here.stream()
            assert {chunk.id async for chunk in stream} == {"chatcmpl-scripted"}

    run_in_virtual_time(main)


def test_with_all_backends_broken_before_the_first_token_the_call_itself_fails() -> None:
    """There is no stream to iterate: the error comes from `create`, with every attempt."""

    async def main() -> None:
        text = policy("eu", "us", repeats=0)
        async with scripted(text, eu=Reply.fail("reset"), us=Reply.status(500)) as here:
            with pytest.raises(RouteExhausted) as caught:
                await here.stream()
            assert caught.value.failures == (("eu", "reset"), ("us", "500"))
            assert isinstance(caught.value, openai.InternalServerError)

    run_in_virtual_time(main)
