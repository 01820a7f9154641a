"""A router whose policy looks at the load of an own server, and all that was sent, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hybridllm import Router
from hybridllm._core.decide.snapshot import Load
from hybridllm._core.telemetry.watched import Watched
from hybridllm._runtime.ports import WireRequest, WireResponse
from hybridllm.testing import LoopClock, Reply, Service, SimulatedFleet, VllmService, no_leaks
from hybridllm.testing._played import PlayedResponse

KEY = "sk-canary-own-0123456789"
OWN_URL, API_URL = "http://own.internal:8000/v1", "https://api.test/v1"
PAGE_URL = "http://own.internal:8000/metrics"
MESSAGES: Any = [{"role": "user", "content": "canary prompt"}]
POLICY = """
version: 1
backends:
  own: {kind: vllm, base_url: "http://own.internal:8000/v1", allow_plaintext: true, api_key_env: OWN_KEY,
        headers: {x-team: blue}, region: eu, operator: self, retention: none, price: free, OWN}
  api: {kind: api, base_url: "https://api.test/v1", region: us, operator: third_party, retention: 30d,
        price: {input_per_1m: 0.1, output_per_1m: 0.2}}
models: {m: {on: {own: m, api: m}}}
default_residency: public
residency: {public: {}, phi: {operators: [self]}}
routes: [{name: all, use: [{model: m, on: [own, api]}]OVERFLOW}]
"""
OVERFLOW = ", overflow: {from: own, to: [api], when: saturated, queue_ms: 3000}"
# Four at once, each for two seconds: 0.1 s to the first token, 20 tokens, ten a second.
SERVICE = VllmService(
    slots=4, tokens_per_s=10, tokens_per_s_max=1e9, prefill_tokens_per_s=40, answer_tokens=20
)


def policy(own: str = "saturation: {queue_depth: 0}", overflow: str = OVERFLOW) -> str:
    return POLICY.replace("OWN}", f"{own}}}").replace("OVERFLOW", overflow)


@dataclass
class Here:
    """The router, its world, and what was sent.

    Attributes:
        page: Answers looks at the page in the place of the simulated server; None: that does.
    """

    router: Router
    fleet: SimulatedFleet
    requests: list[WireRequest] = field(default_factory=list)
    page: Callable[[], Reply] | None = None
    any_loop = True

    async def send(self, request: WireRequest) -> WireResponse:
        self.requests.append(request)
        if self.page is not None and request.url.endswith("/metrics"):
            return PlayedResponse(self.page())
        return await self.fleet.send(request)

    async def close(self) -> None:
        await self.fleet.close()

    async def chat(self, **params: Any) -> Any:
        return await self.router.chat.completions.create(messages=MESSAGES, **params)

    @property
    def looks(self) -> list[float]:
        """When the page was looked at."""
        return self.fleet["own"].metrics_at_s

    @property
    def pages(self) -> list[WireRequest]:
        return [each for each in self.requests if each.url.endswith("/metrics")]

    @property
    def load(self) -> Load:
        return self.router._engine.fleet.loads.of()["own"]

    @property
    def own(self) -> Watched:
        return self.router._engine.fleet.loads.watched["own"]


@asynccontextmanager
async def watching(text: str = "", service: VllmService = SERVICE) -> AsyncIterator[Here]:
    """A router in its world; nothing is left afterwards."""
    api = Service(first_token_s=0.1, spread=0.0, answer_tokens=20, tokens_per_s=100)
    fleet = SimulatedFleet({"own": OWN_URL, "api": API_URL}, service={"own": service, "api": api})
    here = Here(None, fleet)  # type: ignore[arg-type]  # it is its own wire
    here.router = Router.from_text(
        text or policy(),
        wire=here,
        environ={"OWN_KEY": KEY},
        clock=LoopClock(),
        chance=Random(1).random,
    )
    async with no_leaks():
        try:
            yield here
        finally:
            await here.router.aclose()
