"""The demo's world: simulated backends on loopback ports, one of which can be killed and brought back.

Their addresses reach the shipped policy as a user's would: through the variables that it names. The
policy is not changed, and no variable of this process is set or read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, NamedTuple

from hybridllm.testing import SimulatedBackend

POLICY = "api-first"
KILLED = "global-us"
_KEY = "simulated-key-0000"  # the simulated APIs ask for it, as a hosted one would
_ANSWER = (
    "This is a simulated answer: no model has thought about it. It is as long as a short answer "
    "would be, so that tokens are counted, time passes and money is spent as if it were real. "
)


class Place(NamedTuple):
    """A backend of the policy, and how its simulation behaves.

    Attributes:
        url_env: The variable that the policy takes its `base_url` from.
        latency_s: To the first token; `tokens_per_s` from there on.
    """

    url_env: str
    kind: Literal["api", "vllm"]
    region: str
    models: tuple[str, ...]
    latency_s: float
    tokens_per_s: float


_HOSTED = ("qwen3-8b", "glm-4-9b", "deepseek-v4-flash", "deepseek-v4-pro", "qwen3-32b")
PLACES = {
    "global-us": Place("HYBRIDLLM_US_URL", "api", "us", _HOSTED, 0.06, 300),
    "global-eu": Place("HYBRIDLLM_EU_URL", "api", "eu", _HOSTED, 0.09, 240),
    "vllm-fra": Place("HYBRIDLLM_VLLM_URL", "vllm", "eu", ("Qwen/Qwen3-32B",), 0.04, 150),
}


# Who may see what a tag marks; said here once more, so that the router is not its own witness.
MAY_SEE = {"eu": frozenset({"global-eu", "vllm-fra"}), "phi": frozenset({"vllm-fra"})}


class World:
    """The simulated backends, running."""

    def __init__(self, backends: Mapping[str, SimulatedBackend]) -> None:
        self._backends = backends
        self._down: set[str] = set()

    @property
    def urls(self) -> dict[str, str]:
        """Where each backend of the policy is to be found."""
        return {name: backend.base_url for name, backend in self._backends.items()}

    @property
    def environ(self) -> dict[str, str]:
        """The variables that the policy reads."""
        urls = {PLACES[name].url_env: url for name, url in self.urls.items()}
        return urls | {"GLOBAL_API_KEY": _KEY}

    def is_up(self, name: str) -> bool:
        """Return whether a backend answers."""
        return name not in self._down

    def kill(self) -> None:
        """Take the region down: its port is closed and its open connections are reset."""
        self._backends[KILLED].kill()
        self._down.add(KILLED)

    def revive(self) -> None:
        """Bring the region back, on the same port."""
        self._backends[KILLED].heal()
        self._down.discard(KILLED)


@asynccontextmanager
async def open_world(*, seed: int) -> AsyncIterator[World]:
    """Run the world for the length of the block."""
    async with AsyncExitStack() as stack:
        yield World(
            {
                name: await stack.enter_async_context(
                    SimulatedBackend(
                        name=name,
                        models=place.models,
                        kind=place.kind,
                        api_key=_KEY if place.kind == "api" else None,
                        latency_s=place.latency_s,
                        tokens_per_s=place.tokens_per_s,
                        answer=_ANSWER * 3,
                        seed=seed,
                    )
                )
                for name, place in PLACES.items()
            }
        )
