"""Applications for real servers: each with a router that is made, and used, in the parent of the workers.

gunicorn --preload "faults.served_apps:wsgi('http://127.0.0.1:8000/v1')"
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hybridllm import Router
from runtime.world import KEY, MESSAGES, policy

DRAIN_S = 10.0


async def asked(router: Any) -> str:
    answer = await router.chat.completions.create(messages=MESSAGES, task="t")
    return answer.choices[0].message.content


def warm_router(url: str) -> Any:
    """A router that has answered once, in a loop that has ended."""
    text = policy("eu", urls={"eu": url}, timeouts="idle: 20s")
    router = Router.from_text(text, environ={"KEY": KEY})
    asyncio.run(asked(router))
    return router


def wsgi(url: str) -> Any:
    """Answers with the number of the process, and what the model said."""
    router = warm_router(url)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = f"{os.getpid()} {asyncio.run(asked(router))}".encode()
        start_response("200 OK", [("content-length", str(len(body)))])
        return [body]

    return app


def asgi(url: str) -> Any:
    """Streams token by token; at the end of its life it drains."""
    router = warm_router(url)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await router.aclose(drain_s=DRAIN_S)
            await send({"type": "lifespan.shutdown.complete"})
            return
        stream = await router.chat.completions.create(messages=MESSAGES, task="t", stream=True)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with stream:
            async for chunk in stream:
                piece = chunk.choices[0].delta.content if chunk.choices else None
                if piece:
                    part = {"body": piece.encode(), "more_body": True}
                    await send({"type": "http.response.body", **part})
        await send({"type": "http.response.body"})

    return app
