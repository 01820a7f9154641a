"""The simulated backends of these tests."""

from __future__ import annotations

from typing import Any

from hybridllm.testing import Fault, SimulatedBackend
from testing.raw_client import RawAnswer, ask

HANGS_S = 0.1  # how long the tests listen to something that never speaks
ANSWER = "one two three four"


def server(**options: Any) -> SimulatedBackend:
    """Return a backend named `eu` that serves `qwen3-8b`."""
    return SimulatedBackend(**{"name": "eu", "models": ["qwen3-8b"], "answer": ANSWER, **options})


async def struck(fault: Fault, body: Any, *, silent: bool = False, kind: str = "api") -> RawAnswer:
    """What a request gets from a backend with the fault; `silent`: it is to hang."""
    async with server(fault=fault, kind=kind) as backend:
        answer = await ask(backend, body, wait_s=HANGS_S if silent else 5.0)
        assert len(backend.requests) == 1
        return answer
