"""The metrics of requests and of their attempts, told once, when a request has ended.

Nothing is built where no meter provider is installed. No metric tells of a user, a session or a request; of
tenants it tells only those that the policy names.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics

from hybridllm._adapters import metric_names, semconv
from hybridllm._adapters.metric_sets import OTHER, Attributes, Key, Sets
from hybridllm._adapters.otel import Guard
from hybridllm._adapters.otel_books import Book, Watched, book_of, meter_of
from hybridllm._adapters.span_attributes import candidate_attributes, cut, one_word
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.money.pico import pico_of
from hybridllm._core.money.usage import UsageSource
from hybridllm._core.policy.telemetry import Telemetry
from hybridllm._core.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Candidate, Policy

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))
_ATTEMPTS: Final = (1, 2, 3, 4, 6, 8)
_HISTOGRAMS: Final[tuple[tuple[str, str, str, tuple[float, ...]], ...]] = (
    (metric_names.OPERATION_DURATION, "s", "How long attempts took.", _SECONDS),
    (metric_names.TOKEN_USAGE, "{token}", "Tokens of attempts, as backends count them.", _TOKENS),
    (metric_names.TIME_TO_FIRST_CHUNK, "s", "From sending to a stream's first token.", _SECONDS),
    (metric_names.REQUEST_DURATION, "s", "How long requests took.", _SECONDS),
    (metric_names.REQUEST_FIRST_TOKEN, "s", "From the call to its first token.", _SECONDS),
    (metric_names.REQUEST_ATTEMPTS, "{attempt}", "Attempts of a request.", _ATTEMPTS),
)
_NOT_ASKED_YET: Final = object()
_RENAMED: Final = object()
_ELSEWHERE: Final = (AttemptReason.FAILOVER, AttemptReason.FALLBACK)
_KEPT_MAX: Final = 4_096
_STANDS_IN: Final = "_ProxyMeterProvider"  # for one that may come later; it has no public name


class OtelRequests:
    """The listener that tells OpenTelemetry's metrics of requests.

    Args:
        meter_provider: Whose metrics; None: whatever provider the application installs as the global one,
            before or after this object is made.
    """

    def __init__(self, meter_provider: metrics.MeterProvider | None = None) -> None:
        is_proxy = type(meter_provider).__name__ == _STANDS_IN
        self._given = None if is_proxy else meter_provider
        self._guard = Guard("metrics")
        self._seen: object = _NOT_ASKED_YET
        self._told: _Told | None = None
        self._router: Watched | None = None

    def watch(self, router: Watched) -> None:
        """Let gauges tell of this router's backends."""
        self._router = router

    def listens(self) -> bool:
        """See `Metrics.listens`."""
        return self._listener() is not None

    def ended(
        self, receipt: Receipt, decision: Plan | Denied, rejected: Set[tuple[str, str]]
    ) -> None:
        """See `Metrics.ended`."""
        told = self._listener()
        if told is not None:
            with self._guard:
                told.ended(receipt, decision, rejected)

    def _listener(self) -> _Told | None:
        """Who is told, or None; asked on every request. See `OtelTracer._listener`."""
        seen: object = self._given
        if seen is None:
            internal = getattr(metrics, "_internal", None)
            seen = getattr(internal, "_METER_PROVIDER", _RENAMED)
            if seen is _RENAMED:
                seen = metrics.get_meter_provider()
        if seen is not self._seen:
            self._seen = seen
            self._told = None
            with self._guard:
                self._told = self._in_force()
        return self._told

    def _in_force(self) -> _Told | None:
        provider = self._given or metrics.get_meter_provider()
        if type(provider).__name__ == _STANDS_IN or isinstance(provider, metrics.NoOpMeterProvider):
            return None
        if isinstance(provider.get_meter(semconv.SCOPE), metrics.NoOpMeter):
            return None  # what an SDK that `OTEL_SDK_DISABLED` turned off gives out
        book = book_of(provider)
        if self._router is not None:
            book.routers.add(self._router)
        return _Told(book, meter_of(provider))


class _Told:
    """The instruments of one provider, and the attributes that were told before."""

    def __init__(self, book: Book, meter: metrics.Meter) -> None:
        self._book = book
        self._cost = book.sum(metric_names.COST)
        self._histograms = {
            name: meter.create_histogram(
                name, unit, text, explicit_bucket_boundaries_advisory=list(b)
            )
            for name, unit, text, b in _HISTOGRAMS
        }
        self._sets = {name: Sets(name) for name in self._histograms}
        self._policy: Policy | None = None
        self._kept: dict[Any, Any] = {}

    def ended(
        self, receipt: Receipt, decision: Plan | Denied, rejected: Set[tuple[str, str]]
    ) -> None:
        """A request has ended."""
        if decision.policy is not self._policy or len(self._kept) > _KEPT_MAX:
            # Another policy may have another address under the same name.
            self._policy = decision.policy
            self._kept.clear()
        for attempt in receipt.attempts:
            self._attempted(attempt, receipt, decision)
        if len(receipt.attempts) > 1:
            self._failovers(receipt)
        for dropped in decision.dropped:
            self._count(metric_names.REJECTIONS, dropped.candidate.backend.name, "filtered")
        for backend, reason in rejected:
            self._count(metric_names.REJECTIONS, backend, reason)
        self._requested(receipt, decision)

    def _requested(self, receipt: Receipt, decision: Plan | Denied) -> None:
        served = receipt.served
        backend = None if served is None else served.backend
        said = (receipt.operation, receipt.outcome, backend)
        attributes = self._kept.get(said)
        if attributes is None:
            made: Attributes = {
                semconv.OPERATION: receipt.operation,
                semconv.POLICY_NAME: decision.policy.name,
                semconv.OUTCOME: str(receipt.outcome),
            }
            if backend is not None:
                made[semconv.BACKEND_SERVED] = backend
            attributes = self._kept[said] = made
        record = self._record
        record(metric_names.REQUEST_DURATION, receipt.duration_s, attributes)
        if receipt.first_token_s is not None:
            record(metric_names.REQUEST_FIRST_TOKEN, receipt.first_token_s, attributes)
        if receipt.attempts:
            record(metric_names.REQUEST_ATTEMPTS, len(receipt.attempts), attributes)

    def _attempted(self, attempt: Attempt, receipt: Receipt, decision: Plan | Denied) -> None:
        said = (
            receipt.operation,
            attempt.backend,
            attempt.model,
            attempt.model_served,
            attempt.error,
        )
        kept = self._kept.get(said)
        if kept is None:
            kept = self._kept[said] = self._attributes(attempt, receipt, decision)
        attributes, tokens_in, tokens_out = kept
        record = self._record
        record(metric_names.OPERATION_DURATION, attempt.duration_s, attributes)
        if attempt.first_token_s is not None:
            record(metric_names.TIME_TO_FIRST_CHUNK, attempt.first_token_s, attributes)
        usage = attempt.usage
        if usage is not None and usage.source is UsageSource.PROVIDER:
            record(metric_names.TOKEN_USAGE, usage.input_tokens, tokens_in)
            record(metric_names.TOKEN_USAGE, usage.output_tokens, tokens_out)
        if attempt.cost_usd is not None:
            key = self._cost_key(attempt, receipt, decision, attributes, said)
            self._cost.add(key, pico_of(attempt.cost_usd))
        if (missing := _missing(attempt)) is not None:
            self._count(metric_names.USAGE_MISSING, attempt.backend, missing)

    def _cost_key(
        self,
        attempt: Attempt,
        receipt: Receipt,
        decision: Plan | Denied,
        attributes: Attributes,
        said: tuple[str | None, ...],
    ) -> Key:
        """Return under what to add what an attempt cost."""
        whose = _whose(decision.policy.telemetry, receipt)
        named = (said, attempt.outcome, attempt.cost_source, whose)
        key: Key | None = self._kept.get(named)
        if key is None:
            key = self._kept[named] = self._cost.key(
                {
                    **attributes,
                    semconv.COST_CURRENCY: "USD",
                    semconv.COST_SOURCE: attempt.cost_source or "local",
                    semconv.ATTEMPT_OUTCOME: str(attempt.outcome),
                    **dict(whose),
                }
            )
        return key

    def _attributes(
        self, attempt: Attempt, receipt: Receipt, decision: Plan | Denied
    ) -> tuple[Attributes, Attributes, Attributes]:
        """Return what stands on an attempt's metrics, and on those of its tokens, in and out."""
        candidate = _candidate(attempt, decision)
        made: Attributes = {
            semconv.GEN_AI_OPERATION: receipt.operation,
            semconv.GEN_AI_REQUEST_MODEL: attempt.model_asked,
            semconv.BACKEND_NAME: attempt.backend,
        }
        if candidate is not None:
            shared = candidate_attributes(receipt.operation, candidate)[1]
            made |= {n: v for n, v in shared.items() if isinstance(v, str | int)}
        if attempt.model_served:
            made[semconv.GEN_AI_RESPONSE_MODEL] = cut(attempt.model_served)
        if attempt.error is not None:
            made[semconv.ERROR_TYPE] = one_word(attempt.error)
        return (
            made,
            {**made, semconv.TOKEN_TYPE: "input"},
            {**made, semconv.TOKEN_TYPE: "output"},
        )

    def _failovers(self, receipt: Receipt) -> None:
        counter = self._book.sum(metric_names.FAILOVERS)
        for before, after in pairwise(receipt.attempts):
            if after.reason in _ELSEWHERE:
                said = (before.backend, after.backend, before.error)
                key = self._kept.get(said)
                if key is None:
                    key = self._kept[said] = counter.key(
                        {
                            semconv.BACKEND_FROM: before.backend,
                            semconv.BACKEND_TO: after.backend,
                            semconv.ERROR_TYPE: one_word(before.error),
                        }
                    )
                counter.add(key)

    def _count(self, metric: str, backend: str, reason: str) -> None:
        said = (metric, backend, reason)
        key = self._kept.get(said)
        if key is None:
            attributes: Attributes = {semconv.BACKEND_NAME: backend, semconv.REASON: reason}
            key = self._kept[said] = self._book.sum(metric).key(attributes)
        self._book.sum(metric).add(key)

    def _record(self, metric: str, value: float, attributes: Attributes) -> None:
        within = self._kept.get((metric, id(attributes)))
        if within is None:
            within = self._kept[metric, id(attributes)] = self._sets[metric].within(attributes)
        self._histograms[metric].record(value, within)


def _candidate(attempt: Attempt, decision: Plan | Denied) -> Candidate | None:
    for candidate in decision.policy.candidates.get(attempt.model, ()):
        if candidate.backend.name == attempt.backend:
            return candidate
    return None


def _missing(attempt: Attempt) -> str | None:
    """Return why we do not know to the token what an attempt cost; None: we do."""
    usage = attempt.usage
    if attempt.cost_usd is not None:
        estimated = usage is not None and usage.source is UsageSource.ESTIMATED
        return "estimated" if estimated and attempt.cost_usd else None
    if not attempt.maybe_billed:
        return None
    if usage is not None and usage.source is UsageSource.PROVIDER:
        return "no_price"
    return "cancelled" if attempt.outcome is AttemptOutcome.CANCELLED else "unknown"


def _whose(telemetry: Telemetry, receipt: Receipt) -> Key:
    """Return the attribution that the policy allows on metrics."""
    found: list[tuple[str, str]] = []
    if telemetry.tenants and receipt.tenant is not None:
        known = receipt.tenant in telemetry.tenants
        found.append((semconv.TENANT_ID, receipt.tenant if known else OTHER))
    if "feature" in telemetry.attribution and receipt.feature is not None:
        found.append((semconv.FEATURE, cut(receipt.feature)))
    if "task" in telemetry.attribution and receipt.task is not None:
        found.append((semconv.TASK_CLASS, cut(receipt.task)))
    return tuple(found)
