"""The three simulated backends that the demo, the README and the examples talk to.

Their addresses reach a shipped policy as a user's would: through the variables that it names. The policy
is not changed, and no variable of this process is set or read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, NamedTuple

from hybridllm.testing._backend import SimulatedBackend

_KEY = "simulated-key-0000"  # the simulated APIs ask for it, as a hosted one would
_ANSWER = (
    "This is a simulated answer: no model has thought about it. It is as long as a short answer "
    "would be, so that tokens are counted, time passes and money is spent as if it were real. "
)
_HOSTED = (
    "qwen3-8b",
    "glm-4-9b",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
    "qwen3-32b",
    "qwen3-vl-32b",
    "qwen3-omni-30b",
)


class _Place(NamedTuple):
    """A backend of the shipped policies: where its address is read, and how it behaves.

    `latency_s` is to the first token, `tokens_per_s` from there on.
    """

    url_env: str
    kind: Literal["api", "vllm"]
    models: tuple[str, ...]
    latency_s: float
    tokens_per_s: float


_PLACES = {
    "global-us": _Place("HYBRIDLLM_US_URL", "api", _HOSTED, 0.06, 300),
    "global-eu": _Place("HYBRIDLLM_EU_URL", "api", _HOSTED, 0.09, 240),
    "vllm-fra": _Place("HYBRIDLLM_VLLM_URL", "vllm", ("Qwen/Qwen3-32B", "BAAI/bge-m3"), 0.04, 150),
}


class DemoBackends(Mapping[str, str]):
    """The variables that a shipped policy reads; hand it to a router as its `environ`.

    Attributes:
        backends: The running backends, by their names in the policy.
    """

    def __init__(self, backends: Mapping[str, SimulatedBackend]) -> None:
        self.backends = backends
        self._variables = {
            _PLACES[name].url_env: backend.base_url for name, backend in backends.items()
        }
        self._variables["GLOBAL_API_KEY"] = _KEY

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


@asynccontextmanager
async def demo_backends(*, seed: int = 1) -> AsyncIterator[DemoBackends]:
    """Run two simulated API regions and one simulated vLLM on loopback ports, for the shipped policies.

    Args:
        seed: Of their small random differences.

    Yields:
        The variables for `Router.from_file("policies/api-first.yaml", environ=...)`.
    """
    async with AsyncExitStack() as stack:
        running = {}
        for name, place in _PLACES.items():
            backend = SimulatedBackend(
                name=name,
                models=place.models,
                kind=place.kind,
                api_key=_KEY if place.kind == "api" else None,
                latency_s=place.latency_s,
                tokens_per_s=place.tokens_per_s,
                answer=_ANSWER * 3,
                dimensions=1_024,  # of bge-m3, as the shipped policies have it
                seed=seed,
            )
            running[name] = await stack.enter_async_context(backend)
        yield DemoBackends(running)
