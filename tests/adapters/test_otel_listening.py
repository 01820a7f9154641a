"""Who is told, and when nobody is: providers, sampling, parents, trace headers, failures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)

from adapters.otel_scenarios import (
    FRA,
    QWEN_FRA,
    QWEN_US,
    REQUEST_ID,
    Scenario,
    cancelled,
    cut_stream,
    failover,
    plain,
    plan,
    stream,
)
from adapters.span_trees import recording
from hybridllm._adapters import semconv
from hybridllm._adapters.otel import OtelTracer
from hybridllm._adapters.span_attributes import LIST_LENGTH_MAX, TEXT_LENGTH_MAX
from hybridllm._core.decide.plan import Kept
from hybridllm._core.receipt import AttemptOutcome, AttemptReason
from hybridllm._core.request.facts import Facts
from hybridllm._runtime.ports import AnswerFacts, AttemptTrace, RequestTrace

_SAMPLING = {
    semconv.GEN_AI_REQUEST_MAX_TOKENS,
    semconv.GEN_AI_REQUEST_TEMPERATURE,
    semconv.GEN_AI_REQUEST_TOP_P,
    semconv.GEN_AI_REQUEST_SEED,
}


def begun(tracer: OtelTracer, facts: Facts | None = None, **params: Any) -> RequestTrace:
    decision = plan(facts or Facts(), QWEN_FRA, QWEN_US)
    request = tracer.request(decision, request_id=REQUEST_ID, params=params)
    assert request is not None
    return request


def tried(request: RequestTrace, candidate: Any = QWEN_FRA) -> AttemptTrace:
    kept = Kept(candidate, fallback=False, reason="first")
    return request.attempt(kept, number=1, reason=AttemptReason.PRIMARY, breaker="closed")


def attributes(spans: Sequence[ReadableSpan], name: str) -> dict[str, Any]:
    (found,) = (span for span in spans if span.name == name)
    return dict(found.attributes or {})


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(None, id="nothing-installed"),
        pytest.param(trace.NoOpTracerProvider(), id="no-op"),
        pytest.param(trace.ProxyTracerProvider(), id="proxy-of-nothing"),
    ],
)
def test_nobody_listens_where_no_sdk_is(provider: trace.TracerProvider | None) -> None:
    """None tells the router to build nothing more for a trace."""
    scenario = plain()
    tracer = OtelTracer(provider)
    assert not tracer.listens()
    assert tracer.request(scenario.decision, request_id=REQUEST_ID, params={}) is None


def test_nobody_listens_to_an_sdk_that_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SDK_DISABLED=true` gives a provider whose spans go nowhere."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    provider, _ = recording()
    assert not OtelTracer(provider).listens()


def test_a_provider_installed_later_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application may make its router first and its SDK after it."""
    tracer = OtelTracer()
    plain().play(tracer)
    provider, exporter = recording()
    # The API lets a process set its global provider once; this puts one there for one test.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert tracer.listens()
    plain().play(tracer)
    assert len(exporter.get_finished_spans()) == 2


def test_a_release_without_the_private_variable_is_only_slower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable is a short cut to the public answer, and nothing rests on it."""
    provider, exporter = recording()
    monkeypatch.delattr(trace, "_TRACER_PROVIDER")
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    plain().play(OtelTracer())
    assert len(exporter.get_finished_spans()) == 2


def test_root_is_a_child_of_the_callers_span_and_nothing_becomes_current() -> None:
    """The caller's span is the parent; ours is never the parent of what the caller does next."""
    provider, exporter = recording()
    tracer = OtelTracer(provider)
    with trace.get_tracer("app", tracer_provider=provider).start_as_current_span("app") as app:
        request = begun(tracer)
        attempt = tried(request)
        assert trace.get_current_span() is app
        attempt.headers()
        assert trace.get_current_span() is app
    scenario = stream()
    attempt.ended(scenario.receipt.attempts[0], None)
    request.ended(scenario.receipt)
    inner, root = exporter.get_finished_spans()[-2:]
    assert root.parent == app.get_span_context()
    assert inner.parent == root.context


def test_ending_twice_ends_once(caplog: pytest.LogCaptureFixture) -> None:
    """A stream may be closed again by a caller who closed it already."""
    provider, exporter = recording()
    scenario = stream()
    request = begun(OtelTracer(provider))
    attempt = tried(request)
    for _ in range(2):
        attempt.ended(scenario.receipt.attempts[0], None)
        request.ended(scenario.receipt)
    assert len(exporter.get_finished_spans()) == 2
    assert caplog.records == []


@pytest.mark.parametrize(
    ("sampler", "flags"),
    [pytest.param(None, "01", id="sampled"), pytest.param(ParentBased(ALWAYS_OFF), "00", id="not")],
)
def test_trace_headers_name_the_attempt_and_whether_it_is_sampled(
    sampler: Sampler | None, flags: str
) -> None:
    """The backend's own span hangs below our attempt, or is left out with it."""
    provider, _ = recording(sampler)
    request = begun(OtelTracer(provider))
    first, second = tried(request).headers(), tried(request).headers()
    version, trace_id, span_id, sampled = first["traceparent"].split("-")
    assert (version, len(trace_id), len(span_id)) == ("00", 32, 16)
    # The last bit says sampled; the one before it, that the trace id is random.
    assert int(sampled, 16) & 1 == int(flags, 16)
    assert second["traceparent"].split("-")[1] == trace_id
    assert second["traceparent"].split("-")[2] != span_id


def test_trace_headers_go_only_where_the_policy_says() -> None:
    """A hosted API learns nothing of our traces unless its backend says `propagate_trace`."""
    provider, _ = recording()
    request = begun(OtelTracer(provider))
    assert FRA.propagate_trace
    assert list(tried(request, QWEN_FRA).headers()) == ["traceparent"]
    assert tried(request, QWEN_US).headers() == {}


def test_tracestate_is_passed_on_and_baggage_never() -> None:
    """Baggage is the application's: it may name its customers."""
    provider, _ = recording()
    state = trace.TraceState([("vendor", "abc")])
    remote = trace.SpanContext(
        1, 2, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    token = attach(baggage.set_baggage("hybridllm.tenant.id", "acme", context))
    try:
        headers = tried(begun(OtelTracer(provider))).headers()
    finally:
        detach(token)
    assert dict(headers).keys() == {"traceparent", "tracestate"}
    assert headers["tracestate"] == "vendor=abc"
    assert headers["traceparent"].split("-")[1] == f"{1:032x}"


class _Asked(Sampler):
    """Samples nothing, and notes what it was asked with."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, set[str]]] = []

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *args: Any, **facts: Any
    ) -> SamplingResult:
        given = facts["attributes"] if "attributes" in facts else args[1]
        self.seen.append((name, set(given)))
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return "drops all"


def test_samplers_see_whose_request_it_is_and_no_more_is_built_for_a_dropped_one() -> None:
    """A sampler can keep a tenant or a model; what it dropped costs no further attributes."""
    sampler = _Asked()
    provider, exporter = recording(sampler)
    plain().play(OtelTracer(provider))
    whose = {
        semconv.REQUEST_ID,
        semconv.TENANT_ID,
        semconv.FEATURE,
        semconv.TASK_CLASS,
        semconv.RESIDENCY,
        semconv.SESSION_ID,
    }
    (root, of_root), (attempt, of_attempt) = sampler.seen
    assert (root, attempt) == ("route chat", "chat qwen3-8b")
    assert whose < of_root
    assert of_attempt == whose | {
        semconv.GEN_AI_OPERATION,
        semconv.GEN_AI_PROVIDER,
        semconv.GEN_AI_REQUEST_MODEL,
        semconv.SERVER_ADDRESS,
        semconv.SERVER_PORT,
        semconv.BACKEND_NAME,
        semconv.BACKEND_KIND,
    }
    assert exporter.get_finished_spans() == ()


class _Broken(SpanProcessor):
    """An application's span processor that fails, at the start or at the end of a span."""

    def __init__(self, *, at_start: bool, name: str) -> None:
        self._at_start = at_start
        self._name = name

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self._at_start and span.name.startswith(self._name):
            raise RuntimeError("canary-text-of-the-failure")

    def on_end(self, span: ReadableSpan) -> None:
        if not self._at_start and span.name.startswith(self._name):
            raise RuntimeError("canary-text-of-the-failure")


@pytest.mark.parametrize("name", ["route", "chat"])
@pytest.mark.parametrize("at_start", [True, False], ids=["at-start", "at-end"])
@pytest.mark.parametrize("scenario", [plain, failover, cancelled])
def test_a_failing_processor_fails_no_request_and_is_told_once(
    scenario: Any, at_start: bool, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tracing is the application's; whatever it raises stays out of the request."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(_Broken(at_start=at_start, name=name))
    tracer = OtelTracer(provider)
    scenario().play(tracer)
    scenario().play(tracer)
    (told,) = caplog.records
    assert (told.name, told.levelno) == ("hybridllm.tracing", logging.WARNING)
    assert "RuntimeError" in told.getMessage()
    assert "canary" not in caplog.text


class _Stopped(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_is_not_kept_back() -> None:
    """Only failures stay inside; being stopped is not a failure."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(_Stopped())
    with pytest.raises(KeyboardInterrupt):
        plain().play(OtelTracer(provider))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param("x" * TEXT_LENGTH_MAX, "x" * TEXT_LENGTH_MAX, id="at-limit"),
        pytest.param("x" * (TEXT_LENGTH_MAX + 1), "x" * TEXT_LENGTH_MAX, id="over-limit"),
        pytest.param("Zürich", "Zürich", id="not-ascii"),
        pytest.param("half \ud800", "half ?", id="half-a-surrogate-pair"),
    ],
)
def test_texts_of_callers_and_backends_are_cut_and_can_be_encoded(given: str, shown: str) -> None:
    """A hint, a model's name, an id: each may be of any length, and JSON may hold half a pair."""
    facts = Facts(task=given, tenant=given, feature=given, session=given, model=given)
    provider, exporter = recording()
    request = begun(OtelTracer(provider), facts)
    scenario = plain()
    tried(request).ended(
        replace(scenario.receipt.attempts[0], model_served=given),
        AnswerFacts(given, (given,) * (LIST_LENGTH_MAX + 1), given),
    )
    request.ended(scenario.receipt)
    spans = exporter.get_finished_spans()
    for name in (semconv.TASK_CLASS, semconv.TENANT_ID, semconv.FEATURE, semconv.SESSION_ID):
        assert attributes(spans, "route chat")[name] == shown
    assert attributes(spans, "route chat")[semconv.REQUEST_MODEL] == shown
    found = attributes(spans, "chat Qwen/Qwen3-8B")
    assert found[semconv.GEN_AI_RESPONSE_MODEL] == shown
    assert found[semconv.GEN_AI_RESPONSE_ID] == shown
    assert found[semconv.OPENAI_SERVICE_TIER] == shown
    assert found[semconv.GEN_AI_FINISH_REASONS] == (shown,) * LIST_LENGTH_MAX


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"max_tokens": 4}, {semconv.GEN_AI_REQUEST_MAX_TOKENS: 4}),
        ({"max_completion_tokens": 5}, {semconv.GEN_AI_REQUEST_MAX_TOKENS: 5}),
        (
            {"temperature": 1, "top_p": 0.5},
            {semconv.GEN_AI_REQUEST_TEMPERATURE: 1.0, semconv.GEN_AI_REQUEST_TOP_P: 0.5},
        ),
        ({"seed": 2**63 - 1}, {semconv.GEN_AI_REQUEST_SEED: 2**63 - 1}),
        pytest.param({"seed": 2**63}, {}, id="larger-than-otlp-carries"),
        pytest.param({"temperature": float("nan")}, {}, id="not-a-number"),
        pytest.param(
            {"max_tokens": True, "seed": "my prompt", "top_p": ["my prompt"]}, {}, id="wrong-types"
        ),
        pytest.param({"messages": "my prompt", "user": "u-1"}, {}, id="not-shown"),
    ],
)
def test_only_known_parameters_of_the_right_type_are_shown(
    params: dict[str, Any], shown: dict[str, Any]
) -> None:
    """A parameter is the caller's, and may hold anything."""
    provider, exporter = recording()
    tried(begun(OtelTracer(provider), **params)).ended(plain().receipt.attempts[0], None)
    found = attributes(exporter.get_finished_spans(), "chat Qwen/Qwen3-8B")
    sampling = {name: value for name, value in found.items() if name in _SAMPLING}
    assert sampling == shown
    assert [type(value) for value in sampling.values()] == [type(value) for value in shown.values()]


@pytest.mark.parametrize(
    "error", ["rate limit for sk-secret", "Bad Request: my prompt", "", "x" * 65]
)
def test_an_error_that_is_not_one_word_is_shown_as_error(error: str) -> None:
    """Whatever is not a word of ours could be a backend's text, which may hold prompt or key."""
    scenario = failover()
    failed = replace(scenario.receipt.attempts[0], error=error)
    provider, exporter = recording()
    request = begun(OtelTracer(provider))
    tried(request).ended(failed, None)
    request.ended(replace(cut_stream().receipt, error=error))
    for span in exporter.get_finished_spans():
        assert (span.attributes or {})[semconv.ERROR_TYPE] == "error"
        assert span.status.description == "error"
        assert [dict(event.attributes or {}) for event in span.events] in (
            [],
            [{"exception.type": "error"}],
        )


@pytest.mark.parametrize(
    ("base_url", "address", "port"),
    [
        ("https://api.example.com/v1", "api.example.com", 443),
        ("http://127.0.0.1/v1", "127.0.0.1", 80),
        ("http://[::1]:8000/v1", "::1", 8000),
        ("https://user:secret@api.example.com:8443/v1?key=secret", "api.example.com", 8443),
    ],
)
def test_server_is_named_without_anything_else_of_the_url(
    base_url: str, address: str, port: int
) -> None:
    """A URL may hold credentials; host and port do not."""
    candidate = replace(QWEN_US, backend=replace(QWEN_US.backend, base_url=base_url))
    provider, exporter = recording()
    tried(begun(OtelTracer(provider)), candidate).ended(plain().receipt.attempts[0], None)
    found = attributes(exporter.get_finished_spans(), "chat qwen3-8b")
    assert (found[semconv.SERVER_ADDRESS], found[semconv.SERVER_PORT]) == (address, port)
    assert "secret" not in str(found)


def test_a_failed_attempt_says_what_it_cost() -> None:
    """Wasted money is money: an attempt that was billed and did not serve keeps its cost."""
    scenario: Scenario = failover()
    served = scenario.receipt.attempts[2]
    wasted = replace(served, outcome=AttemptOutcome.FAILED, error="reset")
    provider, exporter = recording()
    tried(begun(OtelTracer(provider)), QWEN_US).ended(wasted, None)
    found = attributes(exporter.get_finished_spans(), "chat qwen3-8b")
    assert found[semconv.COST_AMOUNT] == found[semconv.LLM_COST_TOTAL] == 7.2e-05
