"""Readers of streams that may have seams: what they are left with, put together as an application would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionChunk

from hybridllm import Continued, HybridLLMError, Restarted, Stream
from hybridllm.testing import Reply
from runtime.world import Script, policy, scripted

Seam = Restarted | Continued


@dataclass
class Reading:
    """What a reader of one stream has.

    Attributes:
        text: What stands on its page now: void text was taken away.
        ended: The finish_reason, if one came.
        whole: True if the stream ended as a whole answer does.
    """

    text: str = ""
    seams: list[Seam] = field(default_factory=list)
    error: HybridLLMError | None = None
    ended: str | None = None
    whole: bool = False
    chunks: list[Any] = field(default_factory=list)


async def read(stream: Stream) -> Reading:
    """Read a stream to its end, as one that handles seams does; what it is told must be true."""
    here = Reading()
    try:
        async with stream:
            async for item in stream:
                take(here, item)
            here.whole = True
    except HybridLLMError as error:
        here.error = error
    return here


def take(here: Reading, item: Any) -> None:
    """Take in one item of a stream."""
    if isinstance(item, Restarted):
        assert item.discarded_text == here.text
        here.text, here.ended, here.chunks = "", None, []
        here.seams.append(item)
    elif isinstance(item, Continued):
        assert item.kept_text == here.text
        here.seams.append(item)
    else:
        assert isinstance(item, ChatCompletionChunk)
        here.chunks.append(item)
        for choice in item.choices:
            here.text += choice.delta.content or ""
            here.ended = choice.finish_reason or here.ended


@asynccontextmanager
async def seam_script(
    *names: str, prefill: bool = True, repeats: int = 2, **replies: Any
) -> AsyncIterator[Script]:
    """A router over scripted backends that all take a prefill."""
    text = policy(*names, each=f"prefill: {str(prefill).lower()}", repeats=repeats)
    async with scripted(text, **replies) as here:
        yield here


def broken(*tokens: str, how: str = "reset") -> Reply:
    """A stream that breaks after these tokens."""
    reply = Reply.chat_stream(tokens, finish_reason=None, usage=None, done=False)
    return reply.then_hang() if how == "stall" else reply.then_fail(how)
