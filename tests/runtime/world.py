"""Routers among simulated backends: over real loopback sockets, and scripted in virtual time.

Both end with the same question: is anything left? Tasks, permits, connections and exchanges are
counted, whatever the block did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hybridllm import Router
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._runtime.ports import Clock, Wire
from hybridllm.testing import (
    FaultTransport,
    LoopClock,
    Reply,
    ScriptedWire,
    SentRequest,
    SimulatedBackend,
    ToxicProxy,
    no_leaks,
)
from raw_server import until

KEY = "sk-test-0123456789abcdef"
MODEL = "simulated-model"
MESSAGES = [{"role": "user", "content": "Say hello, and no more."}]
Step = Reply | Callable[[SentRequest], Reply]
Replies = Step | Sequence[Step]


def policy(
    *names: str,
    urls: Mapping[str, str] | None = None,
    ordered: bool = True,
    timeouts: str = "",
    repeats: int = 2,
    each: str = "",
    retries: str = "",
    task: str = "",
    own_keys: bool = False,
    health: bool = True,
    more: str = "",
) -> str:
    """A policy with one model `m` on every backend named, and one route.

    Args:
        names: Of the backends; in this order they are asked, if `ordered`.
        urls: Where they are; default `http://NAME.test` ending in `/v1`, for scripts.
        ordered: False lets load decide.
        timeouts: Of the task `t`: `attempt: 1s, idle: 1s`.
        repeats: `same_backend_max`.
        each: Anything else of every backend: `prefill: true`.
        retries: Anything else about repeats: `budget: {reserve_max: 10}`.
        task: Anything else about the task `t`: `hedge: {after: 50ms}`.
        own_keys: Each backend has a key of its own, `KEY_EU` for `eu`; otherwise all have `KEY`.
        health: False looks at no health page of a backend whose breaker is open.
        more: Anything else, at the top level.
    """
    places = urls or {name: f"https://{name}.test/v1" for name in names}
    keys = {name: f"KEY_{name.upper()}" if own_keys else "KEY" for name in names}
    retries = f", {retries}" if retries else ""
    task = f", {task}" if task else ""
    each = f", {each}" if each else ""
    looks = "" if health else ", health: off"
    backends = "\n".join(
        f"  {name}: {{kind: api, base_url: '{places[name]}', api_key_env: {keys[name]}, region: {name}"
        f"{each}{looks}}}"
        for name in names
    )
    served = ", ".join(f"{name}: {MODEL}" for name in names)
    use = f"{{model: m, on: [{', '.join(names)}]}}" if ordered else "m"
    return f"""
version: 1
retries: {{same_backend_max: {repeats}, attempts_max: 6{retries}}}
backends:
{backends}
models:
  m:
    price: {{input_per_1m: 1, output_per_1m: 2}}
    capabilities: [tools, json_schema, logprobs, vision, audio, reasoning, embeddings]
    on: {{{served}}}
tasks:
  t: {{bucket: bandwidth, timeouts: {{{timeouts}}}{task}}}
routes:
  - {{name: all, use: [{use}]}}
{more}
"""


def environ(*names: str) -> dict[str, str]:
    """The environment with the keys that `policy` names."""
    return {"KEY": KEY} | {f"KEY_{name.upper()}": f"{KEY}-{name}" for name in names}


@dataclass
class World:
    """A router, its wire, and the backends behind real sockets."""

    router: Router
    wire: Wire
    backends: dict[str, SimulatedBackend]
    proxies: dict[str, ToxicProxy]

    def __getitem__(self, name: str) -> SimulatedBackend:
        return self.backends[name]

    def sent(self, name: str) -> int:
        """How many requests a backend got; looks at its health page are none."""
        return sum(request.method == "POST" for request in self.backends[name].requests)

    @property
    def in_flight(self) -> int:
        """Permits that are out."""
        return self.router._engine.fleet.in_flight

    @property
    def connections_in_use(self) -> int:
        """Connections that the wire holds for somebody, idle ones not counted; aiohttp's can be asked."""
        return len(self.wire._connector._acquired) if isinstance(self.wire, AiohttpWire) else 0

    @property
    def active(self) -> int:
        """Requests that a backend is working on."""
        return sum(backend.active for backend in self.backends.values())

    async def chat(self, **params: Any) -> Any:
        """One answer."""
        return await self.router.chat.completions.create(
            **{"messages": MESSAGES, "task": "t"} | params
        )

    async def stream(self, **params: Any) -> Any:
        """One stream that has begun."""
        return await self.chat(stream=True, **params)

    async def text(self, **params: Any) -> str:
        """One stream's whole text."""
        return await text_of(await self.stream(**params))

    async def idle(self) -> float:
        """Wait until nothing is under way, and return how long that took."""
        return await until(
            lambda: not (self.in_flight or self.connections_in_use or self.active), within_s=10.0
        )


@asynccontextmanager
async def world(
    *names: str,
    backends: Mapping[str, Any] | None = None,
    make_wire: Callable[[], Wire] = AiohttpWire,
    url_of: Callable[[SimulatedBackend], str] = lambda backend: backend.base_url,
    proxied: bool = False,
    tracer_provider: Any = None,
    clock: Clock | None = None,
    **policy_options: Any,
) -> AsyncIterator[World]:
    """A router over simulated backends; at the end no task, permit or connection is left.

    Args:
        names: Of the backends.
        backends: Arguments of every `SimulatedBackend`.
        make_wire: How requests travel.
        url_of: Where a backend is told to be.
        proxied: Whether each stands behind a proxy that can break the way to it.
        tracer_provider: Where spans go.
        clock: The router's; default: its own.
        policy_options: See `policy`.
    """
    async with no_leaks(), AsyncExitStack() as stack:
        there = {
            name: await stack.enter_async_context(
                SimulatedBackend(name=name, models=[MODEL], **backends or {})
            )
            for name in names
        }
        # A backend that is closed before it has begun to serve complains.
        await asyncio.sleep(0.001)
        urls = {name: url_of(backend) for name, backend in there.items()}
        proxies = {
            name: await stack.enter_async_context(ToxicProxy(urls[name], seed=seed))
            for seed, name in enumerate(there if proxied else ())
        }
        urls |= {name: proxy.base_url for name, proxy in proxies.items()}
        wire = make_wire()
        text = policy(*names, urls=urls, **policy_options)
        async with Router.from_text(
            text,
            environ=environ(*names),
            wire=wire,
            clock=clock,
            tracer_provider=tracer_provider,
        ) as router:
            here = World(router, wire, there, proxies)
            yield here
            await here.idle()
        await until(lambda: not any(backend.connections for backend in there.values()))


@dataclass
class Script:
    """A router over scripted backends, in virtual time."""

    router: Router
    wire: ScriptedWire
    faults: FaultTransport

    async def chat(self, **params: Any) -> Any:
        """One answer."""
        return await self.router.chat.completions.create(
            **{"messages": MESSAGES, "task": "t"} | params
        )

    async def stream(self, **params: Any) -> Any:
        """One stream that has begun."""
        return await self.chat(stream=True, **params)

    def sent(self, name: str) -> int:
        """How many requests went to a backend; to look whether it is well is none."""
        return sum(sent.method == "POST" for sent in self.wire.sent_to(f"{name}.test"))

    @property
    def idle(self) -> bool:
        """Whether no permit is out and no exchange open."""
        return self.router._engine.fleet.in_flight == 0 and self.wire.active == 0


@asynccontextmanager
async def script(
    *names: str, tracer_provider: Any = None, **replies: Replies
) -> AsyncIterator[Script]:
    """A router over scripted backends: `script("eu", "us", eu=Reply.hang(), us=Reply.chat("hi"))`.

    Asked in the order of `names`; at the end nothing may be under way.
    """
    async with scripted(policy(*names), tracer_provider=tracer_provider, **replies) as here:
        yield here


@asynccontextmanager
async def scripted(
    text: str, *, tracer_provider: Any = None, clock: Clock | None = None, **replies: Replies
) -> AsyncIterator[Script]:
    """The same for any policy's text; the backends are `https://NAME.test`."""
    wire = ScriptedWire({f"{name}.test": reply for name, reply in replies.items()})
    faults = FaultTransport(wire)  # does nothing before it is told to
    async with (
        no_leaks(),
        Router.from_text(
            text,
            environ={"KEY": KEY},
            wire=faults,
            clock=clock or LoopClock(),
            tracer_provider=tracer_provider,
        ) as router,
    ):
        here = Script(router, wire, faults)
        yield here
        assert here.idle, f"{wire.active} exchanges open"


async def text_of(stream: Any) -> str:
    """The whole text of a stream's first choice."""
    async with stream:
        pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    return "".join(pieces)


async def many(count: int, at_once: int, make: Any) -> list[Any]:
    """Call `make(number)` so many times, some at once; return what each returned or raised."""
    outcomes: list[Any] = [None] * count
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            try:
                outcomes[number] = await make(number)
            except Exception as error:  # noqa: BLE001 - the test looks at whatever it is
                outcomes[number] = error

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return outcomes
