"""Metrics, through OpenTelemetry's API; the SDK is the application's. Few, and none per chunk.

Instruments are made when the first value is there, so that a provider that the application installs later is
found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opentelemetry import metrics

from hybridllm._adapters import semconv
from hybridllm._adapters.otel import Guard
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.resilience.breaker import BreakerState
from hybridllm._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybridllm._core.telemetry.watched import Judged


class _Gauge(Protocol):
    """OpenTelemetry's synchronous gauge: its own name for it has an underscore before it."""

    def set(self, amount: float, attributes: Mapping[str, str] | None = None) -> None:
        """Tell what is now."""
        ...


def _meter(provider: metrics.MeterProvider | None) -> metrics.Meter:
    return metrics.get_meter(semconv.SCOPE, __version__, provider, semconv.SCHEMA_URL)


_LOADS = {
    semconv.LOAD_RUNNING: ("{request}", "Requests that a backend works on, whoever sent them."),
    semconv.LOAD_QUEUED: ("{request}", "Requests in a backend's own queue, whoever sent them."),
    semconv.LOAD_KV_USED: ("1", "Share of a backend's KV cache in use."),
    semconv.LOAD_WAIT: ("s", "How long a new request would wait in a backend's queue."),
    semconv.LOAD_SATURATED: ("1", "1 while a backend has as much to do as it can take."),
}


class OtelReloads:
    """The listener that counts reloads of the policy file.

    Args:
        meter_provider: Whose counter it is; None: whatever provider the application installs as the
            global one, before or after this object is made.
    """

    def __init__(self, meter_provider: metrics.MeterProvider | None = None) -> None:
        self._given = meter_provider
        self._guard = Guard("metrics")
        self._counter: metrics.Counter | None = None

    def reloaded(self, outcome: str, policy: str) -> None:
        """See `ReloadListener.reloaded`."""
        with self._guard:
            if self._counter is None:
                self._counter = _meter(self._given).create_counter(
                    semconv.POLICY_RELOADS, "{reload}", "Reloads of the policy file."
                )
            self._counter.add(1, {semconv.OUTCOME: outcome, semconv.POLICY_NAME: policy})


class OtelBreakers:
    """The listener that counts what breakers do: sums of `to` less `from` tell how many stand open.

    Args:
        meter_provider: See `OtelReloads`.
    """

    def __init__(self, meter_provider: metrics.MeterProvider | None = None) -> None:
        self._given = meter_provider
        self._guard = Guard("metrics")
        self._counter: metrics.Counter | None = None

    def changed(self, candidate: Candidate, before: BreakerState, after: BreakerState) -> None:
        """A breaker went from one phase to another."""
        with self._guard:
            if self._counter is None:
                self._counter = _meter(self._given).create_counter(
                    semconv.BREAKER_TRANSITIONS, "{transition}", "Transitions of breakers."
                )
            self._counter.add(
                1,
                {
                    semconv.BACKEND_NAME: candidate.backend.name,
                    semconv.REQUEST_MODEL: candidate.model.name,
                    semconv.BREAKER_FROM: before.phase.value,
                    semconv.BREAKER_TO: after.phase.value,
                },
            )


class OtelLoads:
    """The listener that tells how busy backends are, each time that one has told of itself.

    What is not known is not told, so a gauge keeps what was known last.

    Args:
        meter_provider: See `OtelReloads`.
    """

    def __init__(self, meter_provider: metrics.MeterProvider | None = None) -> None:
        self._given = meter_provider
        self._guard = Guard("metrics")
        self._gauges: dict[str, _Gauge] = {}

    def told(self, backend: str, load: Judged) -> None:
        """A backend has told of its load, or has not."""
        with self._guard:
            attributes = {semconv.BACKEND_NAME: backend}
            values = {
                semconv.LOAD_RUNNING: load.belief.running,
                semconv.LOAD_QUEUED: load.belief.waiting,
                semconv.LOAD_KV_USED: load.kv_used,
                semconv.LOAD_WAIT: load.wait_s,
                semconv.LOAD_SATURATED: float(bool(load.saturated)),
            }
            for name, value in values.items():
                if value is not None:
                    self._gauge(name).set(value, attributes)

    def _gauge(self, name: str) -> _Gauge:
        gauge = self._gauges.get(name)
        if gauge is None:
            unit, text = _LOADS[name]
            gauge = self._gauges[name] = _meter(self._given).create_gauge(name, unit, text)
        return gauge
