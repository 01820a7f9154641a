"""`litellm.Router` with two deployments of one model; retries, telemetry and callbacks off."""

from __future__ import annotations

import time

import litellm

from bench.load import MODEL, Messages, Spec
from bench.machine import versions as installed


class LiteLLMRouter:
    def __init__(self, spec: Spec) -> None:
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.callbacks = []
        deployment = {"model": f"openai/{MODEL}", "api_base": spec.base_url, "api_key": "bench"}
        self.router = litellm.Router(
            model_list=[
                {"model_name": MODEL, "litellm_params": dict(deployment)},
                {"model_name": MODEL, "litellm_params": dict(deployment)},
            ],
            num_retries=0,
        )

    async def open(self) -> None:
        pass

    async def chat(self, messages: Messages, turn: int) -> int:
        reply = await self.router.acompletion(model=MODEL, messages=messages, max_tokens=64)
        return len(reply.choices[0].message.content)

    async def stream(self, messages: Messages, turn: int) -> tuple[float, int]:
        first, length = 0.0, 0
        stream = await self.router.acompletion(model=MODEL, messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                first = first or time.perf_counter()
                length += len(text)
        return first, length

    async def close(self) -> None:
        pass


def versions() -> dict[str, str]:
    return installed("litellm", "openai", "aiohttp")


def make(spec: Spec) -> LiteLLMRouter:
    return LiteLLMRouter(spec)
