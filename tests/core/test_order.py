"""In which order those who may be asked are asked: price, latency, objectives; nobody added or lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.order import EXPLORERS_MAX
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Latency, Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
backends:
  a: {kind: api, base_url: "https://a.test/v1"}
  b: {kind: api, base_url: "https://b.test/v1"}
  c: {kind: vllm, base_url: "https://c.test/v1", operator: self}
models:
  # cheap to read and dear to write, the other way round, and not known at all on `c`
  reader: {price: {input_per_1m: 0.1, output_per_1m: 9}, on: {a: r}}
  writer: {price: {input_per_1m: 9, output_per_1m: 0.1}, on: {b: w}}
  own: {on: {c: o}}
  one: {price: {input_per_1m: 1, output_per_1m: 1}, on: {a: x, b: x, c: {name: x, price: free}}}
tasks: {fast: {slo: {ttft_ms: {p90: 800}}}}
routes:
  - {name: price, when: {tenant: price}, use: [own, reader, writer], order_by: price}
  - {name: backends, when: {tenant: backends}, use: [{model: one, on: [b, a, c], order_by: price}]}
  - {name: latency, when: {tenant: latency}, use: [{model: one, order_by: latency}]}
  - {name: slo, when: {tenant: slo}, use: [{model: one, on: [a, b]}], fallbacks: [own],
     slo: {ttft_ms: {p50: 300}, total_ms: {p99: 5000}}}
  - {name: default, use: [one]}
"""


def loaded() -> Policy:
    return load_policy_text(TEXT)[0]


POLICY = loaded()


def names(
    tenant: str | None,
    *,
    latency: dict[str, Latency] | None = None,
    load: dict[str, int] | None = None,
    **facts: Any,
) -> tuple[str, ...]:
    snapshot = Snapshot(load or {}, latency or {}, datetime(2026, 1, 5, tzinfo=UTC))
    plan = decide(POLICY, Facts(tenant=tenant, **facts), snapshot)
    assert isinstance(plan, Plan), plan
    return plan.candidate_names


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "expected"),
    [
        pytest.param(10_000, 10, ("a/reader", "b/writer", "c/own"), id="much-to-read"),
        pytest.param(10, 10_000, ("b/writer", "a/reader", "c/own"), id="much-to-write"),
    ],
)
def test_the_cheapest_is_the_cheapest_for_this_request(
    tokens_in: int, tokens_out: int, expected: tuple[str, ...]
) -> None:
    """By its own mix of prompt and answer, across models; a price nobody knows goes last."""
    found = names("price", input_tokens_estimate=tokens_in, output_tokens_max=tokens_out)
    assert found == expected


def test_equal_prices_keep_the_order_of_the_file() -> None:
    """Free goes before what costs something."""
    assert names("backends") == ("c/one", "b/one", "a/one")


def measured(**ms: float) -> dict[str, Latency]:
    """Time to the first token, the same at every percentile."""
    return {
        f"{name}/one": Latency(dict.fromkeys((50, 90, 95, 99), one), {}) for name, one in ms.items()
    }


@pytest.mark.parametrize(
    ("latency", "load", "expected"),
    [
        pytest.param({}, {}, "abc", id="nobody-measured"),
        pytest.param({"a": 300, "b": 200, "c": 100}, {}, "cba", id="fastest-first"),
        pytest.param({"a": 300, "c": 100}, {}, "bca", id="the-unmeasured-is-tried"),
        pytest.param({"a": 300, "c": 100}, {"b": EXPLORERS_MAX - 1}, "bca", id="by-a-few"),
        pytest.param({"a": 300, "c": 100}, {"b": EXPLORERS_MAX}, "cab", id="and-not-by-all"),
    ],
)
def test_by_latency_the_fastest_is_asked_first(
    latency: dict[str, float], load: dict[str, int], expected: str
) -> None:
    """Measured medians; who was not measured is tried first, by as many as it takes to measure it."""
    found = names("latency", latency=measured(**latency), load=load, stream=True)
    assert "".join(name[0] for name in found) == expected


def test_a_stream_is_judged_by_its_first_token_and_an_answer_by_its_end() -> None:
    """As far as both were measured."""
    both = {
        "a/one": Latency({50: 100}, {50: 9_000}),
        "b/one": Latency({50: 500}, {50: 2_000}),
        "c/one": Latency({}, {50: 5_000}),
    }
    assert names("latency", latency=both, stream=True) == ("c/one", "a/one", "b/one")
    assert names("latency", latency=both) == ("b/one", "c/one", "a/one")
    # Whose first token nobody has seen is tried first, however long its whole answers took.
    unseen = {"a/one": Latency({50: 900}, {}), "b/one": Latency({}, {50: 950})}
    assert names("latency", latency=unseen, load={"c": 99}, stream=True)[0] == "b/one"


@pytest.mark.parametrize(
    ("latency", "load", "expected"),
    [
        pytest.param({}, {}, "abc", id="nobody-measured"),
        pytest.param({"a": 300}, {}, "abc", id="just-met"),
        pytest.param({"a": 301}, {}, "bac", id="missed"),
        pytest.param({"a": 301, "b": 400}, {}, "abc", id="both-missed-keep-their-order"),
        pytest.param({"a": 200}, {"b": 99}, "abc", id="busy-and-unmeasured"),
        pytest.param({"a": 301}, {"b": 99}, "bac", id="unmeasured-goes-before-missed"),
        pytest.param({"a": 301, "b": 302, "c": 1}, {}, "abc", id="fallbacks-stay-behind"),
    ],
)
def test_who_misses_the_objective_goes_behind(
    latency: dict[str, float], load: dict[str, int], expected: str
) -> None:
    """It orders; it drops nobody: late is better than never, and fallbacks are for when all failed."""
    seen = measured(**latency)
    if "c/one" in seen:
        seen["c/own"] = seen["c/one"]
    found = names("slo", latency=seen, load=load)
    assert "".join(name[0] for name in found) == expected


def test_every_part_of_an_objective_counts_and_so_does_the_tasks_own() -> None:
    """Another percentile, another measure, and the objective of the request's task."""
    late = {"a/one": Latency({50: 100}, {99: 5_001})}
    assert names("slo", latency=late)[0] == "b/one"
    slow = {"a/one": Latency({90: 900}, {}), "b/one": Latency({90: 700}, {})}
    assert names(None, latency=slow) == ("a/one", "b/one", "c/one")
    assert names(None, latency=slow, task="fast") == ("b/one", "c/one", "a/one")


def test_order_never_adds_or_loses_anybody() -> None:
    """Whatever was measured."""
    for tenant in ("price", "latency", "slo", None):
        everybody = set(names(tenant))
        for ms in (1.0, 400.0, 9e9):
            for load in ({}, {"a": 9}, {"a": 1, "b": 2, "c": 3}):
                seen = measured(a=ms, b=ms / 2)
                assert set(names(tenant, latency=seen, load=load)) == everybody
