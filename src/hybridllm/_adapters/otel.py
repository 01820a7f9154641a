"""What a trace shows of a request: one INTERNAL root, and one CLIENT span for each attempt.

With `otel_metrics.py` the only door to `opentelemetry`: its API alone, never an SDK, never a global provider
of ours. Spans are values handed around, never made current: a span that is current across a `yield` becomes
the parent of whatever the caller does next. Nothing here is used to decide, and nothing here raises.

No span holds what was asked, what was answered, a key, or what a backend said of an error: only
names of the policy, the caller's hints (cut), counts, times, money and one-word reasons.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hybridllm._adapters import semconv
from hybridllm._adapters.dialects import root_dialects
from hybridllm._adapters.span_attributes import (
    Value,
    add_params,
    attempt_attributes,
    attribution,
    candidate_attributes,
    decision_attributes,
    one_word,
    receipt_attributes,
    request_error,
)
from hybridllm._core.decide.plan import Denied, Kept, Plan
from hybridllm._core.policy.telemetry import Dialect
from hybridllm._core.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from hybridllm._runtime.ports import AnswerFacts, AttemptTrace, RequestTrace
from hybridllm._version import __version__

_NOT_ASKED_YET: Final = object()
_RENAMED: Final = object()
_EMPTY_CONTEXT: Final = Context()
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
_logger: Final = logging.getLogger("hybridllm.tracing")


class OtelTracer:
    """The listener that tells OpenTelemetry.

    Args:
        tracer_provider: Whose spans are made; None: whatever provider the application installs as
            the global one, before or after this object is made.
    """

    def __init__(self, tracer_provider: trace.TracerProvider | None = None) -> None:
        is_proxy = isinstance(tracer_provider, trace.ProxyTracerProvider)
        self._given = None if is_proxy else tracer_provider
        self._guard = Guard()
        self._seen: object = _NOT_ASKED_YET
        self._tracer: trace.Tracer | None = None

    def listens(self) -> bool:
        """See `Tracer.listens`."""
        return self._listener() is not None

    def request(
        self, decision: Plan | Denied, *, request_id: str, params: Mapping[str, Any]
    ) -> RequestTrace | None:
        """Begin the root span, as a child of the caller's current one; None if nobody listens."""
        tracer = self._listener()
        if tracer is None:
            return None
        with self._guard:
            own = attribution(decision, request_id)
            above = get_current()
            said = own | decision_attributes(decision)
            if dialects := decision.policy.telemetry.dialects:
                said |= root_dialects(dialects, own)
            root = tracer.start_span(
                f"route {decision.facts.operation}",
                above,
                SpanKind.INTERNAL,
                said,
            )
            below = trace.set_span_in_context(root, above)
            return _RequestSpan(self._guard, tracer, root, below, decision, own, params)
        return None

    def _listener(self) -> trace.Tracer | None:
        """The tracer in force, or None; asked on every request, so it costs next to nothing.

        The public `get_tracer_provider()` looks into the environment each time (1.2 us), so the
        variable behind it tells whether anything changed, and only then is the provider asked for.
        A release that renames the variable makes this slower, not wrong.
        """
        seen: object = self._given
        if seen is None:
            seen = getattr(trace, "_TRACER_PROVIDER", _RENAMED)
            if seen is _RENAMED:
                seen = trace.get_tracer_provider()
        if seen is not self._seen:
            self._seen = seen
            self._tracer = self._tracer_in_force()
        return self._tracer

    def _tracer_in_force(self) -> trace.Tracer | None:
        """Our tracer from the provider in force; None if its spans would go nowhere."""
        with self._guard:
            provider = self._given or trace.get_tracer_provider()
            if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
                return None
            tracer = provider.get_tracer(semconv.SCOPE, __version__, semconv.SCHEMA_URL)
            # An SDK that `OTEL_SDK_DISABLED` turned off gives out this kind.
            return None if isinstance(tracer, trace.NoOpTracer) else tracer
        return None


class _RequestSpan:
    """The root span of one request, and what its attempts inherit."""

    __slots__ = (
        "_decision",
        "_guard",
        "_inherited",
        "_open",
        "_params",
        "_root",
        "_tracer",
        "_under",
    )

    def __init__(
        self,
        guard: Guard,
        tracer: trace.Tracer,
        root: Span,
        under: Context,
        decision: Plan | Denied,
        inherited: Mapping[str, Value],
        params: Mapping[str, Any],
    ) -> None:
        self._guard = guard
        self._tracer = tracer
        self._root = root
        self._under = under
        self._decision = decision
        self._inherited = inherited
        self._params = params
        self._open = True

    def attempt(
        self, kept: Kept, *, number: int, reason: AttemptReason, breaker: str
    ) -> AttemptTrace:
        """Begin the span of one attempt; a sampled-out one carries only what a sampler may ask."""
        with self._guard:
            facts = self._decision.facts
            name, fixed = candidate_attributes(facts.operation, kept.candidate)
            attributes = {**self._inherited, **fixed}
            if self._root.is_recording():
                attributes[semconv.ATTEMPT_NUMBER] = number
                attributes[semconv.ATTEMPT_REASON] = str(reason)
                attributes[semconv.BREAKER_STATE] = breaker
                if facts.stream:
                    attributes[semconv.GEN_AI_REQUEST_STREAM] = True
                if self._params:
                    add_params(attributes, self._params)
            span = self._tracer.start_span(name, self._under, SpanKind.CLIENT, attributes)
            return _AttemptSpan(
                self._guard,
                span,
                propagate=kept.candidate.backend.propagate_trace,
                dialects=self._decision.policy.telemetry.dialects,
            )
        return _UNTRACED

    def ended(self, receipt: Receipt) -> None:
        """End the root span; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        with self._guard:
            try:
                if self._root.is_recording():
                    self._root.set_attributes(receipt_attributes(receipt, self._decision))
                    error = request_error(receipt)
                    if error is not None:
                        self._root.set_attribute(semconv.ERROR_TYPE, error)
                        self._root.set_status(StatusCode.ERROR, error)
            finally:
                self._root.end()


class _AttemptSpan:
    """The span of one attempt."""

    __slots__ = ("_dialects", "_guard", "_open", "_propagate", "_span")

    def __init__(
        self, guard: Guard, span: Span, *, propagate: bool, dialects: frozenset[Dialect]
    ) -> None:
        self._guard = guard
        self._span = span
        self._propagate = propagate
        self._dialects = dialects
        self._open = True

    @property
    def ids(self) -> tuple[str, str] | None:
        """See `AttemptTrace.ids`."""
        with self._guard:
            if self._span.is_recording():
                context = self._span.get_span_context()
                return trace.format_trace_id(context.trace_id), trace.format_span_id(
                    context.span_id
                )
        return None

    def headers(self) -> Mapping[str, str]:
        """`traceparent`, and `tracestate` if there is one; never baggage: it is the application's."""
        if not self._propagate:
            return _NO_HEADERS
        with self._guard:
            carrier: dict[str, str] = {}
            _TRACE_CONTEXT.inject(carrier, trace.set_span_in_context(self._span, _EMPTY_CONTEXT))
            return carrier
        return _NO_HEADERS

    def ended(self, attempt: Attempt, answer: AnswerFacts | None) -> None:
        """End the span; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        with self._guard:
            try:
                if self._span.is_recording():
                    self._span.set_attributes(attempt_attributes(attempt, answer, self._dialects))
                    if attempt.outcome is AttemptOutcome.FAILED:
                        self._failed(one_word(attempt.error))
            finally:
                self._span.end()

    def _failed(self, error: str) -> None:
        # Not `record_exception`: it would add message and stack, which can hold what was sent.
        # The event is there because Phoenix counts errors by it.
        self._span.set_attribute(semconv.ERROR_TYPE, error)
        self._span.set_status(StatusCode.ERROR, error)
        self._span.add_event(semconv.EXCEPTION_EVENT, {semconv.EXCEPTION_TYPE: error})


class _Untraced:
    """Stands in for an attempt whose span could not be made."""

    ids = None

    def headers(self) -> Mapping[str, str]:
        return _NO_HEADERS

    def ended(self, attempt: Attempt, answer: AnswerFacts | None) -> None:
        """Nothing was begun."""


_UNTRACED: Final = _Untraced()


def in_baggage(key: str) -> object:
    """Return what the application's W3C baggage says under a key; None: nothing."""
    return baggage.get_baggage(key)


class Guard:
    """The border: whatever fails in the application's tracing stays here, and is told once.

    An exporter, a sampler or a span processor is the application's code and may raise anything; a
    request never fails for it. Only the class of the error is told: its text may hold anything.
    """

    __slots__ = ("_told", "_what")

    def __init__(self, what: str = "spans") -> None:
        self._what = what
        self._told = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False  # nothing failed, or the process is being stopped
        if not self._told:
            self._told = True
            _logger.warning(
                "tracing failed with %s; requests go on, %s may be missing (this is said once)",
                type(error).__name__,
                self._what,
            )
        return True
