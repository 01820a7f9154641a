"""What is wrong with three backends and the ways to them, now; something else every few seconds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from hybridllm.testing import Fault, SimulatedBackend, Toxic, ToxicProxy

_FAULTS: tuple[Callable[[float], Fault], ...] = (
    lambda share: Fault.status(500, probability=share),
    lambda share: Fault.status(503, retry_after=1, probability=share),
    lambda share: Fault.status(429, probability=share),
    lambda share: Fault.hang(probability=share / 4),
    lambda share: Fault.slow(0.3, probability=share),
    lambda share: Fault.reset_before_head(probability=share),
    lambda share: Fault.reset_mid_head(probability=share),
    lambda share: Fault.fin_mid_body(probability=share),
    lambda share: Fault.stale_keep_alive(probability=share),
    lambda share: Fault.close_idle(probability=share),
    lambda share: Fault.html(probability=share),
    lambda share: Fault.garbage(probability=share),
    lambda share: Fault.truncated_json(probability=share),
    lambda share: Fault.cut_after(2, "error_event", probability=share),
    lambda share: Fault.cut_after(2, "eof", probability=share),
    lambda share: Fault.cut_after(3, "bad_json", probability=share),
    lambda share: Fault.cut_after(1, "stall", probability=share / 4),
    lambda share: Fault.role_then_hang(probability=share / 4),
)
_TOXICS: tuple[Callable[[], Toxic], ...] = (
    lambda: Toxic.latency(0.05, jitter_s=0.04),
    lambda: Toxic.bandwidth(50_000),
    lambda: Toxic.slicer(17),
    lambda: Toxic.blackhole(probability=0.05),
    lambda: Toxic.stall(probability=0.05),
    lambda: Toxic.reset(after_bytes=1_500, probability=0.2),
    lambda: Toxic.limit_data(2_500, probability=0.2),
    lambda: Toxic.half_close(after_bytes=3_000, probability=0.2),
    lambda: Toxic.slow_close(0.2),
)


class Weather:
    """Changes by itself while it blows; the same seed makes the same weather."""

    def __init__(
        self, backends: dict[str, SimulatedBackend], proxies: dict[str, ToxicProxy], *, seed: int
    ) -> None:
        self._backends = backends
        self._proxies = proxies
        self._rng = random.Random(seed)
        self.changes = 0

    async def blow(self) -> None:
        """Change one backend's weather every half second; until cancelled."""
        while True:
            self._change(self._rng.choice(list(self._backends)))
            await asyncio.sleep(0.5)

    def calm(self) -> None:
        """All is well; connections from before are gone, with what was lost on them."""
        for name, backend in self._backends.items():
            backend.heal()
            self._proxies[name].kill()
            self._proxies[name].heal()

    def _change(self, name: str) -> None:
        rng, backend, proxy = self._rng, self._backends[name], self._proxies[name]
        self.changes += 1
        proxy.heal()
        backend.heal()
        fate = rng.random()
        if fate < 0.3:
            return
        if fate < 0.4:
            proxy.kill()
        elif fate < 0.45:
            backend.fault = Fault.refuse()
        else:
            share = rng.uniform(0.05, 0.5)
            backend.fault = [make(share) for make in rng.sample(_FAULTS, 2)]
            proxy.to_client = [make() for make in rng.sample(_TOXICS, rng.randint(0, 2))]
            proxy.to_backend = [make() for make in rng.sample(_TOXICS, rng.randint(0, 1))]
