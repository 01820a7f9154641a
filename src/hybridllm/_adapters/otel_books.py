"""The counters of one meter provider, for all routers of the process that tell it.

A counter here is an exact sum that OpenTelemetry asks for when it collects: adding costs a tenth of what an
SDK's own counter does, and a sum of money is rounded to a float once, not ten thousand times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from hybridllm._adapters import metric_names, semconv
from hybridllm._adapters.metric_sets import Sum
from hybridllm._core.money.pico import PICO
from hybridllm._core.resilience.breaker import Phase
from hybridllm._version import __version__

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.fleet import Fleet

_PHASES: Final = {Phase.CLOSED: 0, Phase.HALF_OPEN: 1, Phase.OPEN: 2}
_COUNTERS: Final = (
    (metric_names.COST, "{USD}", "What attempts cost.", PICO),
    (metric_names.USAGE_MISSING, "{attempt}", "Attempts whose cost is estimated, or not known.", 1),
    (
        metric_names.FAILOVERS,
        "{failover}",
        "Attempts at another backend or model after a failure.",
        1,
    ),
    (metric_names.REJECTIONS, "{request}", "Requests for which a backend could not be asked.", 1),
)
_Callback = Callable[[CallbackOptions], Iterable[Observation]]


class Watched(Protocol):
    """A router, as gauges look at it."""

    fleet: Fleet

    @property
    def policy(self) -> Policy:
        """In force now."""
        ...

    @property
    def ledger_errors(self) -> int | None:
        """How often its ledger could not do what it should; None: it has none."""
        ...


class Book:
    """What is counted for one meter provider.

    Attributes:
        routers: Whose backends gauges tell of.
    """

    def __init__(self, meter: metrics.Meter) -> None:
        self.routers: WeakSet[Watched] = WeakSet()
        self._sums = {name: Sum(name, unit) for name, _, _, unit in _COUNTERS}
        for name, unit, text, _ in _COUNTERS:
            meter.create_observable_counter(name, [_told(self._sums[name])], unit, text)
        self._ledger_errors = 0
        self._ledger_seen: WeakKeyDictionary[Watched, int] = WeakKeyDictionary()
        meter.create_observable_counter(
            metric_names.LEDGER_ERRORS,
            [self._failures_of_ledgers],
            "{error}",
            "Failures of the ledger; must stay 0.",
        )
        meter.create_observable_up_down_counter(
            metric_names.INFLIGHT,
            [_of_routers(self.routers, _in_flight)],
            "{request}",
            "Attempts under way at a backend.",
        )
        meter.create_observable_gauge(
            metric_names.BREAKER_STATES,
            [_of_routers(self.routers, _breakers)],
            "1",
            "0: closed, 1: half-open, 2: open.",
        )

    def sum(self, metric: str) -> Sum:
        """Return the sum that a counter tells."""
        return self._sums[metric]

    def _failures_of_ledgers(self, _: CallbackOptions) -> Iterable[Observation]:
        """What came since it was last asked is added up: a counter goes on when a router is gone."""
        for router in list(self.routers):
            errors = router.ledger_errors
            if errors is not None:
                self._ledger_errors += max(0, errors - self._ledger_seen.get(router, 0))
                self._ledger_seen[router] = errors
        return [Observation(self._ledger_errors)] if self._ledger_seen else []


# The sums live as long as the provider, so that nothing is lost when a router is gone.
_BOOKS: Final[WeakKeyDictionary[metrics.MeterProvider, Book]] = WeakKeyDictionary()


def meter_of(provider: metrics.MeterProvider | None) -> metrics.Meter:
    """Return our meter; None: of the global provider, that of now or a later one."""
    return metrics.get_meter(semconv.SCOPE, __version__, provider, semconv.SCHEMA_URL)


def book_of(provider: metrics.MeterProvider) -> Book:
    """Return the provider's book, made at the first call."""
    book = _BOOKS.get(provider)
    if book is None:
        book = _BOOKS[provider] = Book(meter_of(provider))
    return book


def _told(of: Sum) -> _Callback:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(amount, attributes) for amount, attributes in of.totals()]

    return observe


def _of_routers(
    routers: WeakSet[Watched],
    look: Callable[[Watched, dict[tuple[tuple[str, str], ...], int]], None],
) -> _Callback:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        found: dict[tuple[tuple[str, str], ...], int] = {}
        for router in list(routers):
            look(router, found)
        return [Observation(value, dict(key)) for key, value in found.items()]

    return observe


def _in_flight(router: Watched, found: dict[tuple[tuple[str, str], ...], int]) -> None:
    now = router.fleet.in_flight_by_backend
    for name in router.policy.backends:
        key = ((semconv.BACKEND_NAME, name),)
        found[key] = found.get(key, 0) + now.get(name, 0)


def _breakers(router: Watched, found: dict[tuple[tuple[str, str], ...], int]) -> None:
    """Of two routers in one process, the breaker that is further open."""
    for candidate in (one for served in router.policy.candidates.values() for one in served):
        record = router.fleet.remembered(candidate)
        if record is not None:
            key = (
                (semconv.BACKEND_NAME, candidate.backend.name),
                (semconv.REQUEST_MODEL, candidate.model.name),
            )
            found[key] = max(found.get(key, 0), _PHASES[record.breaker.phase])
