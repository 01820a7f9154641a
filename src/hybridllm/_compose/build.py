"""Putting the runtime together: every part in its place. Loaded at the first request, not before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hybridllm._adapters.environment import api_key
from hybridllm._adapters.otel import OtelTracer, in_baggage
from hybridllm._adapters.otel_metrics import OtelBreakers, OtelLoads
from hybridllm._adapters.otel_requests import OtelRequests
from hybridllm._runtime.budgets.ports import BudgetStoreError
from hybridllm._runtime.chance import Chance
from hybridllm._runtime.clock import SystemClock
from hybridllm._runtime.engine import Engine
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.listeners import Listeners
from hybridllm._runtime.target import Targets
from hybridllm._runtime.transitions import log_transition
from hybridllm._runtime.volume_book import VolumeBook
from hybridllm._runtime.volume_keeper import VolumeKeeper
from hybridllm._runtime.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from hybridllm._compose.ledger import Ledger
    from hybridllm._core.policy.compiled import Candidate, Policy
    from hybridllm._core.resilience.breaker import BreakerState
    from hybridllm._runtime.budgets.jobs import BudgetStore
    from hybridllm._runtime.budgets.ports import Budgets
    from hybridllm._runtime.fleet import Told
    from hybridllm._runtime.lifetime import Lifetime
    from hybridllm._runtime.ports import Clock, Codec, LedgerPort, Wire
    from hybridllm._runtime.reload import Reloader
    from hybridllm._runtime.source import PolicySource, Taken
    from hybridllm._runtime.volume_book import VolumeStore
    from hybridllm._runtime.wake import WakeHook


def built_engine(
    in_force: InForce,
    lifetime: Lifetime,
    keeper: VolumeKeeper,
    budgets: Budgets,
    *,
    environ: Mapping[str, str],
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    clock: Clock | None,
    chance: Callable[[], float] | None = None,
    wake: WakeHook | None = None,
    ready: Callable[[], None] | None = None,
    ledger: LedgerPort | None = None,
) -> Engine:
    """Return an engine that runs the policy in force; it opens nothing before its first request.

    `ready` is called then, in the event loop of that request, and once more in every later one.
    """
    requests = OtelRequests(meter_provider)
    engine = Engine(
        in_force,
        lifetime,
        wire=_aiohttp_wire,
        codec=built_codec,
        targets=Targets(lambda name: api_key(environ, name)),
        listeners=Listeners(OtelTracer(tracer_provider), requests, in_baggage, ledger),
        clock=clock or SystemClock(),
        draw=chance or Chance(),
        keeper=keeper,
        budgets=budgets,
        ready=ready,
        on_breaker=_told(OtelBreakers(meter_provider)),
        on_load=OtelLoads(meter_provider).told,
        wake=wake,
    )
    requests.watch(engine)
    return engine


def _told(counted: OtelBreakers) -> Told:
    """Tell the log and the metrics of a breaker's transition."""

    def tell(candidate: Candidate, before: BreakerState, after: BreakerState) -> None:
        log_transition(candidate, before, after)
        counted.changed(candidate, before, after)

    return tell


def built_reloader(
    source: PolicySource,
    first: Taken,
    in_force: InForce,
    *,
    swap: Callable[[Policy], None],
    meter_provider: MeterProvider | None,
    clock: Clock | None,
    watch_s: float,
) -> Reloader:
    """Return what reloads the policy file; it starts neither task nor thread before it is used."""
    from hybridllm._adapters.otel_metrics import OtelReloads
    from hybridllm._runtime.reload import Reloader

    return Reloader(
        source,
        first,
        in_force,
        swap=swap,
        listener=OtelReloads(meter_provider),
        clock=clock or SystemClock(),
        watch_s=watch_s,
    )


def built_keeper(policy: Policy, *, clock: Clock | None, path: Path | None) -> VolumeKeeper:
    """Return what counts volumes, and keeps them in a file if there is a path; it opens nothing yet."""
    book = None if path is None else VolumeBook(str(path), lambda: _volume_file(path))
    return VolumeKeeper(Volumes(policy, clock=clock or SystemClock(), book=book))


def _volume_file(path: Path) -> VolumeStore:
    from hybridllm._adapters.volume_store import VolumeFile

    return VolumeFile(path)


def built_budgets(ledger: Ledger | str | Path | None) -> Budgets:
    """Return what keeps budgets: the ledger, which processes share, or memory; it opens nothing yet."""
    if ledger is None:
        from hybridllm._runtime.budgets.memory import MemoryBudgets

        return MemoryBudgets()
    from pathlib import Path

    from hybridllm._adapters.ledger.reader import ledger_url, shown
    from hybridllm._compose.ledger import ledger_of
    from hybridllm._runtime.budgets.shared import SharedBudgets

    url = ledger_url(ledger_of(ledger).place)
    name = shown(url)
    file = url.database if url.get_backend_name() == "sqlite" else None
    path = None if file is None else Path(file).absolute()
    return SharedBudgets(name if path is None else str(path), lambda: _budget_file(path))


def _budget_file(path: Path | None) -> BudgetStore:
    if path is None:
        raise BudgetStoreError(
            "budgets are kept in a ledger that is an SQLite file, not in others yet"
        )
    from hybridllm._adapters.ledger.budget_store import BudgetFile

    return BudgetFile(path)


def _aiohttp_wire() -> Wire:
    from hybridllm._adapters.aiohttp_wire import AiohttpWire

    return AiohttpWire()


def built_codec() -> Codec:
    """Return what turns bytes into `openai` types; it loads `openai`."""
    from hybridllm._adapters.openai_types import OpenAICodec

    return OpenAICodec()
