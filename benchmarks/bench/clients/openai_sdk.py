"""`openai.AsyncOpenAI` as it comes (over httpx2), without retries."""

from __future__ import annotations

import time
from typing import Any

import openai

from bench.load import MODEL, Messages, Spec
from bench.machine import versions as installed


class OpenAISdk:
    def __init__(self, spec: Spec, http_client: Any = None) -> None:
        self.client = openai.AsyncOpenAI(
            api_key="bench", base_url=spec.base_url, max_retries=0, http_client=http_client
        )

    async def open(self) -> None:
        pass

    async def chat(self, messages: Messages, turn: int) -> int:
        reply = await self.client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=64
        )
        return len(reply.choices[0].message.content)

    async def stream(self, messages: Messages, turn: int) -> tuple[float, int]:
        first, length = 0.0, 0
        stream = await self.client.chat.completions.create(
            model=MODEL, messages=messages, stream=True
        )
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                first = first or time.perf_counter()
                length += len(text)
        return first, length

    async def close(self) -> None:
        await self.client.close()


def versions() -> dict[str, str]:
    return installed("openai", "httpx2", "pydantic")


def make(spec: Spec) -> OpenAISdk:
    return OpenAISdk(spec)
