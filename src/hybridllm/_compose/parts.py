"""What a router is put together of: each part made once, when it is first needed, and closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from hybridllm._adapters.environment import environment_of
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.once import Once
from hybridllm._runtime.wall_clock import utc_by
from hybridllm.errors import InvalidRequest, RouterClosed

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from hybridllm._adapters.status_socket import StatusSocket
    from hybridllm._compose.ledger import Ledger
    from hybridllm._compose.status_budgets import BudgetStatus
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.budgets.ports import Budgets
    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.ledger.keeper import LedgerKeeper
    from hybridllm._runtime.lifetime import Lifetime
    from hybridllm._runtime.ports import Clock, Wire
    from hybridllm._runtime.reload import Reloader
    from hybridllm._runtime.source import PolicySource, Taken
    from hybridllm._runtime.volume_keeper import VolumeKeeper
    from hybridllm._runtime.volumes import Volumes
    from hybridllm._runtime.wake import WakeHook

_CLOSED = "this router is closed; open a new one"
WATCH_S = 1.0
_Read = TypeVar("_Read")


def _built_ledger(given: Ledger | str | Path, in_force: InForce) -> LedgerKeeper:
    from hybridllm._compose.ledger import built_ledger, ledger_of

    # Not the router's method: its thread would hold the router, which nobody could drop then.
    return built_ledger(ledger_of(given), lambda: in_force.policy)


class Parts:
    """The parts of a router; see there for what is handed in."""

    def __init__(
        self,
        policy: Policy,
        *,
        environ: Mapping[str, str] | None,
        wire: Wire | None,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        clock: Clock | None,
        chance: Callable[[], float] | None,
        wake: WakeHook | None,
        volume_file: str | Path | None,
        ledger: Ledger | str | Path | None = None,
    ) -> None:
        self._in_force = InForce(policy, utc_by(clock))
        self._environ = environment_of(environ)
        self._wire = wire
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._source: tuple[PolicySource, Taken] | None = None
        self._watch_s: float | None = None
        self._socket: StatusSocket | None = None
        self._volume_file = volume_file
        self._ledger = None if ledger is None else _built_ledger(ledger, self._in_force)
        self._ledger_given = ledger
        self._closed = False
        self._lifetime = Once(self._made_lifetime)
        self._engine_once = Once(self._made_engine)
        self._keeper = Once(self._made_keeper)
        self._reloader = Once(self._made_reloader)
        self._budgets = Once(self._made_budgets)

    @property
    def _engine(self) -> Engine:
        """The engine, built at the first request: `explain` needs none, and starts the sooner."""
        return self._engine_once()

    def _made_engine(self) -> Engine:
        if self._closed:
            raise RouterClosed(_CLOSED)
        from hybridllm._compose.build import built_engine

        return built_engine(
            self._in_force,
            self._lifetime(),
            self._keeper(),
            self._budgets(),
            environ=self._environ,
            tracer_provider=self._tracer_provider,
            meter_provider=self._meter_provider,
            clock=self._clock,
            chance=self._chance,
            wake=self._wake,
            ready=self._begin,
            ledger=self._ledger,
        )

    def _made_lifetime(self) -> Lifetime:
        from hybridllm._runtime.lifetime import Lifetime

        return Lifetime(self._wire)

    def _made_keeper(self) -> VolumeKeeper:
        from pathlib import Path

        from hybridllm._compose.build import built_keeper

        path = None if self._volume_file is None else Path(self._volume_file).absolute()
        return built_keeper(self._in_force.policy, clock=self._clock, path=path)

    def _made_budgets(self) -> Budgets:
        from hybridllm._compose.build import built_budgets

        return built_budgets(self._ledger_given)

    def _budget_rows(self) -> tuple[BudgetStatus, ...]:
        """How the policy's budgets stand, as far as is known without asking a file."""
        from hybridllm._compose.status_budgets import budget_rows

        budgets = self._budgets()
        return budget_rows(
            self._in_force.policy,
            budgets.known(),
            kept_in=budgets.place,
            now_utc=utc_by(self._clock),
        )

    @property
    def _volumes(self) -> Volumes | None:
        """What is counted; None: nothing is yet."""
        keeper = self._keeper.made
        return None if keeper is None else keeper.volumes

    async def _counting(self) -> None:
        """Begin to count volumes and money, with what is known of earlier runs."""
        if not self._closed and self._ledger is not None:
            self._ledger.begin()
            await self._ledger.opened()
        if not self._closed and self._in_force.policy.budgets:
            await self._budgets().look(utc_by(self._clock))
        if not self._closed and (self._volume_file is not None or self._in_force.policy.live):
            keeper = self._keeper()
            keeper.begin()
            await keeper.known()

    def _begin(self) -> None:
        """Begin to watch the file and to tell the status, if that is wanted."""
        if self._watch_s is not None:
            self._reloading().watch()
        if self._socket is not None and not self._closed:
            self._socket.open()

    def _reloading(self) -> Reloader:
        if self._source is None:
            raise InvalidRequest(
                "reload: this router was not made from a file, so there is nothing to read again; make "
                "it with Router.from_file(path), or make a new router of the new policy"
            )
        if self._closed:
            raise RouterClosed(_CLOSED)
        return self._reloader()

    def _made_reloader(self) -> Reloader:
        from hybridllm._compose.build import built_reloader

        if self._source is None:
            raise AssertionError("only what was read from a file can be reloaded")
        source, first = self._source
        return built_reloader(
            source,
            first,
            self._in_force,
            swap=self._swap,
            meter_provider=self._meter_provider,
            clock=self._clock,
            watch_s=self._watch_s or WATCH_S,
        )

    def _read(self, what: Callable[[], _Read]) -> _Read:
        """Return what `what` returns, called where nothing changes meanwhile."""
        lifetime = self._lifetime.made
        return what() if lifetime is None else lifetime.read(what)

    def _swap(self, policy: Policy) -> None:
        """Put another policy in force. Requests under way keep the one they began with."""
        engine = self._engine_once.made
        if engine is not None:
            engine.follow(policy)
        self._in_force.policy = policy
        if (keeper := self._keeper.made) is not None:
            keeper.follow(policy)

    async def _end(self, drain_s: float) -> None:
        """Close every part; what is under way may take `drain_s` seconds."""
        self._closed = True
        try:
            await self._lifetime().aclose(drain_s)
        finally:
            try:
                try:
                    if (reloader := self._reloader.made) is not None:
                        await reloader.close()
                finally:
                    try:
                        if (keeper := self._keeper.made) is not None:
                            await keeper.close()
                    finally:
                        if self._ledger is not None:
                            await self._ledger.close()
            finally:  # last: who looks how the router ends can still ask
                if (budgets := self._budgets.made) is not None:
                    await budgets.close()
                if self._socket is not None:
                    await self._socket.close()
