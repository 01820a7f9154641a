"""Metrics, through OpenTelemetry's API; the SDK is the application's. Few, and none per chunk.

Instruments are made when the first value is there, so that a provider that the application installs later is
found.
"""

from __future__ import annotations

from opentelemetry import metrics

from hybridllm._adapters import semconv
from hybridllm._adapters.otel import Guard
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.resilience.breaker import BreakerState
from hybridllm._version import __version__


def _meter(provider: metrics.MeterProvider | None) -> metrics.Meter:
    return metrics.get_meter(semconv.SCOPE, __version__, provider, semconv.SCHEMA_URL)


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
