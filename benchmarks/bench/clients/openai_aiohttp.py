"""`openai.AsyncOpenAI` over aiohttp (`openai.DefaultAioHttpClient`)."""

from __future__ import annotations

import openai

from bench.clients.openai_sdk import OpenAISdk
from bench.load import Spec
from bench.machine import versions as installed


class OpenAIOverAiohttp(OpenAISdk):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, http_client=openai.DefaultAioHttpClient())


def versions() -> dict[str, str]:
    return installed("openai", "aiohttp")


def make(spec: Spec) -> OpenAIOverAiohttp:
    return OpenAIOverAiohttp(spec)
