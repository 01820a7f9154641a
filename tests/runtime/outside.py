"""A simulated backend in a thread of its own: for routers whose event loops come and go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybridllm import Router
from hybridllm.testing import SimulatedBackend
from runtime.world import KEY, MESSAGES, MODEL, policy


@contextmanager
def backend_outside(**options: Any) -> Iterator[SimulatedBackend]:
    """Serve one backend for the length of the block, in another thread's loop."""
    started, stopped = threading.Event(), threading.Event()
    there: list[SimulatedBackend] = []

    async def serve() -> None:
        async with SimulatedBackend(name="eu", models=[MODEL], **options) as backend:
            there.append(backend)
            started.set()
            await asyncio.to_thread(stopped.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(10)
        yield there[0]
    finally:
        stopped.set()
        thread.join(10)


def router_to(backend: SimulatedBackend, *, more: str = "", **options: Any) -> Any:
    """A router with one backend, and the wire that it has in production."""
    text = policy("eu", urls={"eu": backend.base_url}, timeouts="idle: 20s", more=more)
    return Router.from_text(text, environ={"KEY": KEY}, **options)


async def asked(router: Any, **params: Any) -> str:
    """The words of one answer."""
    answer = await router.chat.completions.create(messages=MESSAGES, task="t", **params)
    return answer.choices[0].message.content
