"""TensorZero's Rust gateway inside this process, without a database."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from tensorzero import AsyncTensorZeroGateway

from bench.load import MODEL, Messages, Spec
from bench.machine import versions as installed

CONFIG = """
[gateway]
disable_pseudonymous_usage_analytics = true
observability.enabled = false

[models.bench]
routing = ["one", "two"]

[models.bench.providers.one]
type = "openai"
model_name = "{model}"
api_base = "{base_url}/"
api_key_location = "none"

[models.bench.providers.two]
type = "openai"
model_name = "{model}"
api_base = "{base_url}/"
api_key_location = "none"
"""


def _input(messages: Messages) -> dict[str, Any]:
    """TensorZero takes the system message apart from the others."""
    return {"system": messages[0]["content"], "messages": messages[1:]}


class TensorZeroEmbedded:
    def __init__(self, spec: Spec) -> None:
        self.config = CONFIG.format(model=MODEL, base_url=spec.base_url)

    async def open(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tensorzero.toml"
            file.write_text(self.config)
            self.client = await AsyncTensorZeroGateway.build_embedded(config_file=str(file))

    async def chat(self, messages: Messages, turn: int) -> int:
        reply = await self.client.inference(
            model_name="bench",
            input=_input(messages),
            params={"chat_completion": {"max_tokens": 64}},
        )
        return len(reply.content[0].text)

    async def stream(self, messages: Messages, turn: int) -> tuple[float, int]:
        first, length = 0.0, 0
        stream = await self.client.inference(
            model_name="bench", input=_input(messages), stream=True
        )
        async for chunk in stream:
            if chunk.content and (text := chunk.content[0].text):
                first = first or time.perf_counter()
                length += len(text)
        return first, length

    async def close(self) -> None:
        await self.client.close()


def versions() -> dict[str, str]:
    return installed("tensorzero")


def make(spec: Spec) -> TensorZeroEmbedded:
    return TensorZeroEmbedded(spec)
