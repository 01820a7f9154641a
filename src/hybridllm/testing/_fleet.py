"""A simulated backend for every backend of a policy, in one process and in virtual time.

For questions that need thousands of requests: what do my users see if this region hangs for a minute at 50
requests a second? A `Wire`, so the router above it is the real one, and so are its breakers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest, WireResponse
from hybridllm.testing._ailments import Ailment
from hybridllm.testing._fleet_answers import Service
from hybridllm.testing._fleet_backend import FleetBackend, HealthAnswers
from hybridllm.testing._fleet_plain import PlainBackend
from hybridllm.testing._fleet_vllm import VllmBackend
from hybridllm.testing._played import PlayedResponse
from hybridllm.testing._reply import Reply
from hybridllm.testing._vllm_service import VllmService
from hybridllm.testing._wire import UnscriptedRequest

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

AnyService = Service | VllmService

_KEY = "simulated-key-0000"
_WOKEN = Reply.json({"status": "waking"}, status=202)


class SimulatedFleet:
    """A `Wire` whose backends are simulated: they answer, queue, fail and heal in the loop's time.

    The same seed gives the same latencies and the same struck requests, if the same requests come. Use it
    with `run_in_virtual_time` and `LoopClock`, and give the router its chance:

        policy = hybridllm.check("policy.yaml").policy
        fleet = SimulatedFleet.of(policy, seed=1)
        fleet.strike("eu", Fault.hang(), from_s=20, until_s=60)
        router = Router(
            policy, wire=fleet, environ=fleet.environ, clock=LoopClock(), chance=Random(1).random
        )

    Attributes:
        backends: By name, in the order of the policy.
        environ: The keys that the policy asks for, none of them real.
    """

    def __init__(
        self,
        base_urls: Mapping[str, str],
        *,
        seed: int = 1,
        service: AnyService | Mapping[str, AnyService] | None = None,
        health: HealthAnswers = "honest",
        environ: Mapping[str, str] | None = None,
        dimensions: Mapping[str, int] | None = None,
        wake_urls: Mapping[str, str] | None = None,
    ) -> None:
        """Make a fleet; `of` is the usual way.

        Args:
            base_urls: Of each backend. Two with one URL are one backend, under the first of their names.
            seed: Of everything that is drawn.
            service: How the backends answer while they are well, or per name.
            health: What their health checks say.
            environ: See the attribute.
            dimensions: Of the embeddings of each backend that makes any. Default: 8, or what is asked for.
            wake_urls: Of backends that sleep: a POST there wakes them.
        """
        each = service if isinstance(service, Mapping) else {}
        usual = Service() if service is None or isinstance(service, Mapping) else service
        self.environ: Mapping[str, str] = dict(environ or {})
        self.backends: dict[str, FleetBackend] = {}
        self._by_url: dict[str, FleetBackend] = {}
        self._by_health_url: dict[str, FleetBackend] = {}
        self._by_metrics_url: dict[str, FleetBackend] = {}
        self._by_wake_url: dict[str, FleetBackend] = {}
        self._closed = False
        by_base: dict[str, FleetBackend] = {}
        for name, url in base_urls.items():
            base = url.rstrip("/")
            made = by_base.get(base)
            if made is None:
                size = (dimensions or {}).get(name, 0)
                made = _backend(name, each.get(name, usual), seed=seed, health=health, size=size)
                by_base[base] = made
                self._listen(base, made)
            self.backends[name] = made
        for name, url in (wake_urls or {}).items():
            self._by_wake_url[url] = self.backends[name]

    @classmethod
    def of(
        cls,
        policy: Policy,
        *,
        seed: int = 1,
        service: AnyService | Mapping[str, AnyService] | None = None,
        health: HealthAnswers = "honest",
    ) -> SimulatedFleet:
        """Make a fleet of every backend of a policy; the arguments are those of the class."""
        backends = policy.backends.values()
        return cls(
            {backend.name: backend.base_url for backend in backends},
            seed=seed,
            service=service,
            health=health,
            environ={b.api_key_env: _KEY for b in backends if b.api_key_env is not None},
            dimensions={
                one.backend.name: one.model.dimensions
                for served in policy.candidates.values()
                for one in served
                if one.model.dimensions is not None
            },
            wake_urls={
                backend.name: backend.cold_start.wake_url
                for backend in backends
                if backend.cold_start is not None and backend.cold_start.wake_url is not None
            },
        )

    def strike(
        self,
        names: str | Iterable[str],
        ailment: Ailment,
        *,
        from_s: float = 0.0,
        until_s: float = math.inf,
    ) -> None:
        """Let something ail backends, from `from_s` up to `until_s` of the event loop's time.

        Several at once add up: slowness multiplies, and the first fault that strikes a request decides.
        Requests under way when a fault begins end well; only `Killed` cuts them off.

        Raises:
            ValueError: If a name is not in the fleet, or a fault is one of sockets only.
        """
        for name in (names,) if isinstance(names, str) else names:
            if name not in self.backends:
                raise ValueError(
                    f"no backend {name!r} in the fleet; known: {', '.join(self.backends)}"
                )
            self.backends[name].strike(ailment, from_s=from_s, until_s=until_s)

    def __getitem__(self, name: str) -> FleetBackend:
        return self.backends[name]

    def requests(self, from_s: float = 0.0, until_s: float = math.inf) -> int:
        """Return how many requests arrived in a time, all backends together; pages not counted."""
        return sum(one.requests(from_s, until_s) for one in dict.fromkeys(self.backends.values()))

    async def send(self, request: WireRequest) -> WireResponse:
        """Take a request to its backend.

        Raises:
            WireError: If a fault says so, or the wire is closed.
            UnscriptedRequest: If no backend has that address.
        """
        if self._closed:
            raise WireError(FailureKind.LOCAL, "the wire is closed")
        if request.method == "GET":
            checked = self._by_health_url.get(request.url)
            if checked is not None:
                return await checked.checked(request)
            told = self._by_metrics_url.get(request.url)
            if told is not None:
                return await told.metrics(request)
        woken = self._by_wake_url.get(request.url)
        if woken is not None and request.method == "POST":
            woken.wake()
            return PlayedResponse(_WOKEN)
        backend = self._by_url.get(request.url)
        if backend is None:
            raise UnscriptedRequest(
                f"no backend of the fleet at {request.url!r}; known: {', '.join(self._by_url)}"
            )
        return await backend.answer(request)

    async def close(self) -> None:
        """Refuse every further request."""
        self._closed = True

    def _listen(self, base: str, backend: FleetBackend) -> None:
        for path in ("chat/completions", "embeddings"):
            self._by_url[f"{base}/{path}"] = backend
        parts = urlsplit(base)
        origin = f"{parts.scheme}://{parts.netloc}"
        # Where several share an origin, its health is the first one's.
        for url in (f"{base}/models", f"{base}/health", f"{origin}/health"):
            self._by_health_url.setdefault(url, backend)
        self._by_metrics_url.setdefault(f"{origin}/metrics", backend)


def _backend(
    name: str, service: AnyService, *, seed: int, health: HealthAnswers, size: int
) -> FleetBackend:
    if isinstance(service, VllmService):
        return VllmBackend(name, service, seed=seed, health=health, dimensions=size)
    return PlainBackend(name, service, seed=seed, health=health, dimensions=size)
