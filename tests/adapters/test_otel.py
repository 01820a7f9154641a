"""The spans of a request equal golden trees, whatever became of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from adapters.otel_scenarios import SCENARIOS
from adapters.span_trees import golden, recording, trees_of
from hybridllm._adapters import semconv
from hybridllm._adapters.otel import OtelTracer
from hybridllm._version import __version__

GOLDEN = Path(__file__).parent / "golden"


def spans_of(scenario: str) -> tuple[ReadableSpan, ...]:
    provider, exporter = recording()
    SCENARIOS[scenario]().play(OtelTracer(provider))
    return exporter.get_finished_spans()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_spans_equal_the_golden_tree(scenario: str) -> None:
    """Names, kinds, order, status, attributes with their values and types, events: all of it."""
    (tree,) = trees_of(spans_of(scenario))
    assert golden(GOLDEN / f"{scenario}.json") == tree


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_root_carries_no_gen_ai_attribute(scenario: str) -> None:
    """A root with a model or usage is counted as a call of its own, and the cost doubles."""
    (root,) = (span for span in spans_of(scenario) if span.parent is None)
    assert [name for name in root.attributes or {} if name.startswith("gen_ai.")] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cost_key_summed_over_all_spans_is_the_cost_of_the_request(scenario: str) -> None:
    """Per-call cost and roll-up have keys of their own, so nobody needs to know the tree."""
    spans = spans_of(scenario)
    summed = sum((span.attributes or {}).get(semconv.COST_AMOUNT, 0) for span in spans)
    expected = SCENARIOS[scenario]().receipt.cost_usd
    assert summed == pytest.approx(float(expected or 0), abs=1e-15)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_spans_can_be_encoded_for_otlp(scenario: str) -> None:
    """Every attribute survives the encoder that real exporters use."""
    (resource,) = encode_spans(spans_of(scenario)).resource_spans
    (scope,) = resource.scope_spans
    sent = {span.name: len(span.attributes) for span in scope.spans}
    assert sent == {span.name: len(span.attributes or {}) for span in spans_of(scenario)}
    assert (scope.scope.name, scope.scope.version) == ("hybridllm", __version__)
    assert scope.schema_url == semconv.SCHEMA_URL


def test_no_name_lies_inside_another() -> None:
    """Backends that unfold dots into objects would lose `a.b` where `a.b.c` exists too."""
    names = [value for name, value in vars(semconv).items() if name.isupper() and "." in value]
    assert [(a, b) for a in names for b in names if b.startswith(f"{a}.")] == []
