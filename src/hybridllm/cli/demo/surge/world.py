"""The second act's world: a simulated machine of one's own that can be put to sleep, and a hosted API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from hybridllm.testing import Fault, SimulatedBackend

POLICY = Path(__file__).with_name("demo-hybrid.yaml")
OWN, API = "vllm-fra", "global-eu"
MAY_SEE = {"phi": frozenset({OWN})}
"""Who may see what a tag marks; said here once more, so that the router is not its own witness."""

LOADS_S = 0.8
ANSWER_TOKENS = 16

_KEY = "simulated-key-0000"
_ANSWER = "This is a simulated answer: no model has thought about it, and nobody waits for it. " * 4


class Speed(NamedTuple):
    """How fast a backend is: to the first token, from there on, and how many at once."""

    first_token_s: float
    tokens_per_s: float
    slots: int | None = None

    @property
    def answer_s(self) -> float:
        """How long an answer of the act takes."""
        return self.first_token_s + (ANSWER_TOKENS - 1) / self.tokens_per_s

    @property
    def requests_per_s(self) -> float:
        """How many it answers a second with all slots at work."""
        return (self.slots or 1) / self.answer_s


MACHINE = Speed(first_token_s=0.06, tokens_per_s=60, slots=8)
HOSTED = Speed(first_token_s=0.09, tokens_per_s=120)


class State(StrEnum):
    """How the machine is."""

    AWAKE = "awake"
    ASLEEP = "ASLEEP"
    LOADING = "loading"


class World:
    """The two backends, running.

    Attributes:
        state: Of the machine.
        woken_at_s: When it was woken, by the event loop's clock; None: nobody has.
    """

    def __init__(self, own: SimulatedBackend, hosted: SimulatedBackend) -> None:
        self._own = own
        self._hosted = hosted
        self.state = State.AWAKE
        self.woken_at_s: float | None = None

    @property
    def urls(self) -> dict[str, str]:
        """Where each backend of the policy is to be found."""
        return {OWN: self._own.base_url, API: self._hosted.base_url}

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that the policy reads."""
        return {
            "HYBRIDLLM_VLLM_URL": self._own.base_url,
            "HYBRIDLLM_EU_URL": self._hosted.base_url,
            "GLOBAL_API_KEY": _KEY,
        }

    def works_on(self, name: str) -> int:
        """Return how many requests a backend has."""
        return (self._own if name == OWN else self._hosted).active

    def sleep(self) -> None:
        """Stop the machine, as a scaler does: its port is closed, what is under way may end."""
        self._own.fault = Fault.refuse()
        self.state = State.ASLEEP

    def wake(self, backend: str) -> None:
        """Start it again, as the router asks: it loads for a while, then listens."""
        if backend != OWN or self.state is not State.ASLEEP:
            return
        loop = asyncio.get_running_loop()
        self.state, self.woken_at_s = State.LOADING, loop.time()
        loop.call_later(LOADS_S, self._loaded)

    def _loaded(self) -> None:
        self.state = State.AWAKE
        self._own.heal()


@asynccontextmanager
async def open_world(*, seed: int) -> AsyncIterator[World]:
    """Run the world for the length of the block."""
    own = SimulatedBackend(
        name=OWN,
        models=("Qwen/Qwen3-32B",),
        kind="vllm",
        latency_s=MACHINE.first_token_s,
        tokens_per_s=MACHINE.tokens_per_s,
        slots=MACHINE.slots,
        answer=_ANSWER,
        seed=seed,
    )
    hosted = SimulatedBackend(
        name=API,
        models=("qwen3-32b",),
        api_key=_KEY,
        latency_s=HOSTED.first_token_s,
        tokens_per_s=HOSTED.tokens_per_s,
        answer=_ANSWER,
        seed=seed,
    )
    async with own, hosted:
        yield World(own, hosted)
