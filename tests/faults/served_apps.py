"""Applications for real servers: a router made at import, in the parent of the workers.

    BACKEND_URL=http://127.0.0.1:8000/v1 gunicorn --preload faults.served_apps:wsgi
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hybridllm import Router
from runtime.world import KEY, MESSAGES, policy

DRAIN_S = 10.0
ROUTER: Any = Router.from_text(
    policy("eu", urls={"eu": os.environ["BACKEND_URL"]}, timeouts="idle: 20s"),
    environ={"KEY": KEY},
)


async def asked() -> str:
    answer = await ROUTER.chat.completions.create(messages=MESSAGES, task="t")
    return answer.choices[0].message.content


WARMED_UP = asyncio.run(asked())  # before the fork


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """One answer, in a loop that lives as long as the request."""
    body = f"{os.getpid()} {asyncio.run(asked())}".encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """A stream, token by token; at the end of its life it drains."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await ROUTER.aclose(drain_s=DRAIN_S)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    stream = await ROUTER.chat.completions.create(messages=MESSAGES, task="t", stream=True)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async with stream:
        async for chunk in stream:
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if piece:
                body = {"type": "http.response.body", "body": piece.encode(), "more_body": True}
                await send(body)
    await send({"type": "http.response.body"})
