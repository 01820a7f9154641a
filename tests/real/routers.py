"""Routers that ask the real server first, and a simulated API after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from hybridllm import RequestFailed, Router, Stream, receipt
from hybridllm._core.receipt import Attempt
from hybridllm._runtime.ports import Wire
from hybridllm.testing import SimulatedBackend
from real.server import KEY, RealServer, messages

POLICY = """
version: 1
backends:
  gpu: {{kind: vllm, base_url: '{gpu}', api_key_env: GPU_KEY, region: eu, operator: self, retention: none,
        prefill: true, price: free, timeouts: {{{timeouts}}}{gpu_more}}}
  api: {{kind: api, base_url: '{api}', api_key_env: API_KEY, region: eu, operator: third_party,
        retention: 30d, prefill: true, price: {{input_per_1m: 1, output_per_1m: 2}}}}
models:
  tiny: {{context: auto, capabilities: [tools, json_schema, logprobs], on: {{gpu: {asked}, api: tiny}}}}
default_residency: public
residency:
  public: {{}}
  phi: {{operators: [self], retention: [none]}}
tasks:
  chat: {{bucket: bandwidth}}
routes:
  - {{name: home, use: [{{model: tiny, on: [gpu, api]}}]{route_more}}}
"""
STEPS: Any = messages("Say something about the router.")
HELD = 4_000  # tokens: some twelve seconds
ENDLESS: dict[str, Any] = {"extra_body": {"ignore_eos": True}}


@dataclass
class Pair:
    """A router over the real server and a simulated API that answers what the server does not."""

    router: Router
    api: SimulatedBackend

    @property
    def asked_api(self) -> int:
        return sum(request.method == "POST" for request in self.api.requests)

    async def chat(self, text: str | None = None, **params: Any) -> Any:
        """One answer; with `tokens=n` one of exactly so many."""
        return await self.router.chat.completions.create(**_call(text, params))

    async def stream(self, text: str | None = None, **params: Any) -> Stream:
        """A stream that has begun."""
        stream = await self.router.chat.completions.create(stream=True, **_call(text, params))
        assert isinstance(stream, Stream)
        return stream


def _call(text: str | None, params: dict[str, Any]) -> dict[str, Any]:
    call: dict[str, Any] = {"messages": STEPS if text is None else messages(text), "task": "chat"}
    if "tokens" in params:
        call |= {"max_tokens": params.pop("tokens")} | ENDLESS
    return call | params


@asynccontextmanager
async def pair(
    server: RealServer,
    *,
    url: str | None = None,
    asked: str = "tiny",
    key: str = KEY,
    timeouts: str = "",
    gpu_more: str = "",
    route_more: str = "",
    wire: Wire | None = None,
) -> AsyncIterator[Pair]:
    """Open both.

    Args:
        url: By which way the server is asked; default: straight.
        asked: Name of the model that it is asked for.
        key: That it is given.
        timeouts: Of its attempts.
        gpu_more: Anything else about it: `, concurrency: 2`.
        route_more: Anything else of the route.
    """
    async with SimulatedBackend(name="api", models=["tiny"], answer="from the API") as api:
        text = POLICY.format(
            gpu=url or server.base_url,
            api=api.base_url,
            asked=asked,
            timeouts=timeouts,
            gpu_more=gpu_more,
            route_more=route_more,
        )
        environ = {"GPU_KEY": key, "API_KEY": "sk-nobody-asks"}
        async with Router.from_text(text, environ=environ, wire=wire) as router:
            yield Pair(router, api)


def history(told: Any) -> list[tuple[str, str | None]]:
    """Who was asked, and how each failed."""
    return [(attempt.backend, attempt.error) for attempt in attempts(told)]


def attempts(told: Any) -> Sequence[Attempt]:
    """Of an answer, a stream that has ended, or an error."""
    whole = told.receipt if isinstance(told, RequestFailed) else receipt(told)
    assert whole is not None
    return whole.attempts


async def read(stream: Stream) -> str:
    """Read a stream to its end."""
    pieces = []
    async with stream:
        async for chunk in stream:
            pieces += [choice.delta.content or "" for choice in chunk.choices]
    return "".join(pieces)


@asynccontextmanager
async def busy(
    server: RealServer, streams: int, *, tokens: int = HELD
) -> AsyncIterator[httpx.AsyncClient]:
    """Keep so many streams under way, running or queued; they are broken off with the block."""
    body = {"model": "tiny", "messages": STEPS, "max_tokens": tokens, "stream": True}
    body |= ENDLESS["extra_body"]

    async def hold(taken: asyncio.Event) -> None:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200, (await answer.aread()).decode()
            taken.set()  # the head comes at once, queued or not
            async for _ in answer.aiter_bytes():
                pass

    async with server.client() as client:
        async with asyncio.TaskGroup() as group:
            heads = [asyncio.Event() for _ in range(streams)]
            held = [group.create_task(hold(head)) for head in heads]
            for head in heads:
                await head.wait()
            try:
                yield client
            finally:
                for task in held:
                    task.cancel()
        await idle(server, client)


def at_work(found: dict[str, float]) -> float:
    """Requests that it has, running or queued."""
    return found["num_requests_running"] + found["num_requests_waiting"]


async def gauge(
    server: RealServer,
    client: httpx.AsyncClient,
    holds: Callable[[dict[str, float]], bool],
    *,
    within_s: float = 60.0,
) -> dict[str, float]:
    """Look at the metrics page until something holds; return what stood there.

    It comes in 5 ms from a server that has a core to itself, and has taken 4 s where it had not: what is
    looked for must last.
    """
    async with asyncio.timeout(within_s):
        while not holds(found := await server.gauges(client)):
            await asyncio.sleep(0.05)  # each page is work for a server that has little time for it
        return found


async def idle(server: RealServer, client: httpx.AsyncClient) -> dict[str, float]:
    """Wait until nothing runs or waits there."""
    return await gauge(server, client, lambda g: at_work(g) == 0)


async def ended(*given: Awaitable[Any]) -> list[Any]:
    """Await all at once; return each one's answer or error."""

    async def one(each: Awaitable[Any]) -> Any:
        try:
            return await each
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each)) for each in given]
    return [task.result() for task in tasks]
