"""The floor: aiohttp, the answer's JSON parsed, no types, no checks beyond the status."""

from __future__ import annotations

import json
import time

import aiohttp

from bench.load import MODEL, Messages, Spec
from bench.machine import versions as installed

HEADERS = {"content-type": "application/json", "authorization": "Bearer bench"}


class RawAiohttp:
    def __init__(self, spec: Spec) -> None:
        self.url = f"{spec.base_url}/chat/completions"

    async def open(self) -> None:
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def chat(self, messages: Messages, turn: int) -> int:
        body = json.dumps({"model": MODEL, "messages": messages, "max_tokens": 64})
        async with self.session.post(self.url, data=body, headers=HEADERS) as response:
            response.raise_for_status()
            answer = json.loads(await response.read())
        return len(answer["choices"][0]["message"]["content"])

    async def stream(self, messages: Messages, turn: int) -> tuple[float, int]:
        body = json.dumps({"model": MODEL, "messages": messages, "stream": True})
        first, length, rest = 0.0, 0, b""
        async with self.session.post(self.url, data=body, headers=HEADERS) as response:
            response.raise_for_status()
            async for piece in response.content.iter_any():
                *events, rest = (rest + piece).split(b"\n\n")
                for event in events:
                    if event == b"data: [DONE]":
                        continue
                    choices = json.loads(event[6:])["choices"]
                    if choices and (text := choices[0]["delta"].get("content")):
                        first = first or time.perf_counter()
                        length += len(text)
        return first, length

    async def close(self) -> None:
        await self.session.close()


def versions() -> dict[str, str]:
    return installed("aiohttp")


def make(spec: Spec) -> RawAiohttp:
    return RawAiohttp(spec)
