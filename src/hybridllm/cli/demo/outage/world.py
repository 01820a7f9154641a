"""The first act's world: simulated backends of `hybridllm.testing`, one of which is killed and revived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from hybridllm.testing import DemoBackends, demo_backends

POLICY = "api-first"
KILLED = "global-us"
REGIONS = {"global-us": "us", "global-eu": "eu", "vllm-fra": "eu"}

# Who may see what a tag marks; said here once more, so that the router is not its own witness.
MAY_SEE = {"eu": frozenset({"global-eu", "vllm-fra"}), "phi": frozenset({"vllm-fra"})}


class World:
    """The simulated backends, running."""

    def __init__(self, there: DemoBackends) -> None:
        self._there = there
        self._down: set[str] = set()

    @property
    def urls(self) -> dict[str, str]:
        """Where each backend of the policy is to be found."""
        return {name: backend.base_url for name, backend in self._there.backends.items()}

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that the policy reads."""
        return self._there

    def is_up(self, name: str) -> bool:
        """Return whether a backend answers."""
        return name not in self._down

    def kill(self) -> None:
        """Take the region down: its port is closed and its open connections are reset."""
        self._there.backends[KILLED].kill()
        self._down.add(KILLED)

    def revive(self) -> None:
        """Bring the region back, on the same port."""
        self._there.backends[KILLED].heal()
        self._down.discard(KILLED)


@asynccontextmanager
async def open_world(*, seed: int) -> AsyncIterator[World]:
    """Run the world for the length of the block."""
    async with demo_backends(seed=seed) as there:
        yield World(there)
