"""The metrics of requests: what is told, under which attributes, and when nobody is."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider

from adapters.metric_points import collected, metering
from adapters.otel_scenarios import (
    POLICY,
    QWEN_EU,
    QWEN_US,
    SCENARIOS,
    Scenario,
    cancelled,
    cut_stream,
    denied,
    failover,
    plain,
    plan,
    receipt,
    served,
)
from hybridllm._adapters.metric_sets import FOLDED_MAX, SETS_MAX, Sets, Sum
from hybridllm._adapters.otel_requests import OtelRequests
from hybridllm._core.policy.telemetry import Telemetry
from hybridllm._core.receipt import RequestOutcome
from hybridllm._core.request.facts import Facts
from hybridllm._runtime.fleet import Fleet

POLICY_KNOWN = replace(POLICY, candidates={"qwen3-8b": (QWEN_US, QWEN_EU)})


def told(*scenarios: Scenario, telemetry: Telemetry | None = None) -> dict[str, list[Any]]:
    """What a reader sees of these requests."""
    provider, reader = metering()
    listener = OtelRequests(provider)
    for scenario in scenarios:
        policy = POLICY_KNOWN if telemetry is None else replace(POLICY_KNOWN, telemetry=telemetry)
        listener.ended(scenario.receipt, replace(scenario.decision, policy=policy), set())
    return collected(reader)


def asked_by(tenant: str | None, feature: str | None = None, cost: str = "0.25") -> Scenario:
    decision = plan(Facts(tenant=tenant, feature=feature), QWEN_US)
    attempt = served(1, QWEN_US, cost_usd=Decimal(cost), cost_source="local")
    return Scenario(decision, receipt(decision, RequestOutcome.OK, attempt))


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(None, id="nothing-installed"),
        pytest.param(NoOpMeterProvider(), id="no-op"),
        pytest.param(metrics.get_meter_provider(), id="proxy-of-nothing"),
    ],
)
def test_nothing_is_built_where_no_sdk_is(provider: metrics.MeterProvider | None) -> None:
    """The router asks first, on every request; to tell all the same is no mistake."""
    listener = OtelRequests(provider)
    assert not listener.listens()
    scenario = plain()
    listener.ended(scenario.receipt, scenario.decision, set())


def test_an_sdk_that_is_turned_off_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SDK_DISABLED` holds for us too."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not OtelRequests(MeterProvider(shutdown_on_exit=False)).listens()


def test_an_answer_is_told_with_its_time_its_tokens_and_its_cost() -> None:
    """The standard attributes stand on what the conventions name; tokens are told in and out."""
    found = told(plain())
    standard = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "qwen3-8b",
        "gen_ai.response.model": "qwen3-8b-2026-06-01",
        "hybridllm.backend.name": "global-eu",
        "hybridllm.backend.kind": "hosted",
        "server.address": "eu.global-apis.com",
        "server.port": 8443,
    }
    assert found["gen_ai.client.operation.duration"] == [(standard, (1, 0.4))]
    assert found["gen_ai.client.token.usage"] == [
        ({**standard, "gen_ai.token.type": "input"}, (1, 1000)),
        ({**standard, "gen_ai.token.type": "output"}, (1, 200)),
    ]
    money = {
        "hybridllm.cost.currency": "USD",
        "hybridllm.cost.source": "local",
        "hybridllm.attempt.outcome": "served",
    }
    assert found["hybridllm.cost"] == [
        ({**standard, **money}, float(plain().receipt.cost_usd or 0))
    ]
    request = {
        "hybridllm.operation": "chat",
        "hybridllm.policy.name": "api-first",
        "hybridllm.outcome": "ok",
        "hybridllm.backend.served": "global-eu",
    }
    assert found["hybridllm.request.duration"] == [(request, (1, 0.5))]
    assert found["hybridllm.request.attempts"] == [(request, (1, 1))]
    assert "gen_ai.client.operation.time_to_first_chunk" not in found
    assert "hybridllm.usage.missing" not in found


def test_a_dropped_backend_is_a_rejection_and_so_is_an_open_breaker() -> None:
    """What the policy took out is `filtered`; what could not be asked, as it was told."""
    provider, reader = metering()
    scenario = plain()
    rejected = {("vllm-fra", "breaker_open")}
    OtelRequests(provider).ended(scenario.receipt, scenario.decision, rejected)
    rejections = {
        (said["hybridllm.backend.name"], said["hybridllm.reason"]): count
        for said, count in collected(reader)["hybridllm.backend.rejections"]
    }
    assert rejections == {("global-us", "filtered"): 1, ("vllm-fra", "breaker_open"): 1}


def test_every_change_of_backend_or_model_after_a_failure_is_a_failover() -> None:
    """With whom was left, who came next, and why in one word."""
    found = told(failover())["hybridllm.failovers"]
    ways = [("vllm-fra", "global-eu", "503"), ("global-eu", "global-us", "connect")]
    assert [tuple(said.values()) for said, _ in found] == ways
    assert [count for _, count in found] == [1, 1]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        pytest.param(cut_stream(), "estimated", id="cut-stream"),
        pytest.param(cancelled(), "cancelled", id="cancelled"),
    ],
)
def test_a_cost_that_is_not_known_to_the_token_is_counted(
    scenario: Scenario, expected: str
) -> None:
    """Whoever bills by it should watch how many there are."""
    ((said, count),) = told(scenario)["hybridllm.usage.missing"]
    assert (said["hybridllm.reason"], count) == (expected, 1)


def test_a_denied_request_is_told_without_attempts() -> None:
    """It has a duration and no cost."""
    found = told(denied())
    ((said, _),) = found["hybridllm.request.duration"]
    assert said["hybridllm.outcome"] == "denied"
    assert {"hybridllm.cost", "hybridllm.request.attempts"}.isdisjoint(found)


def test_no_metric_tells_of_a_tenant_unless_the_policy_names_it() -> None:
    """By default nobody; with `tenants`, those and `other`."""
    asked = [asked_by("acme"), asked_by("clinic"), asked_by("initech"), asked_by(None)]
    plainly = told(*asked)["hybridllm.cost"]
    assert [("hybridllm.tenant.id" in said, usd) for said, usd in plainly] == [(False, 1.0)]
    named = told(*asked, telemetry=Telemetry(tenants=frozenset({"acme"})))["hybridllm.cost"]
    assert {said.get("hybridllm.tenant.id"): usd for said, usd in named} == {
        "acme": 0.25,
        "other": 0.5,
        None: 0.25,
    }


def test_nothing_that_names_a_request_a_user_or_a_session_stands_on_a_metric() -> None:
    """Each of them would be a set of attributes of its own."""
    found = told(*(make() for make in SCENARIOS.values()))
    names = {name for points in found.values() for said, _ in points for name in said}
    assert names.isdisjoint({"hybridllm.request.id", "session.id", "user.id"})


def test_more_features_than_fit_become_one_and_no_money_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The SDK's own limit, 2,000 sets, is never reached; that ours was is said once."""
    count = SETS_MAX + FOLDED_MAX + 100
    asked = [asked_by(None, f"f{number}", cost="0.000001") for number in range(count)]
    with caplog.at_level(logging.WARNING, "hybridllm.metrics"):
        points = told(*asked, telemetry=Telemetry(("feature",)))["hybridllm.cost"]
    assert len(points) == SETS_MAX + 1
    assert not any("otel.metric.overflow" in said for said, _ in points)
    others = [usd for said, usd in points if said["hybridllm.feature"] == "other"]
    assert others == pytest.approx([(count - SETS_MAX) * 1e-6], abs=1e-12)
    assert sum(usd for _, usd in points) == pytest.approx(count * 1e-6, abs=1e-12)
    assert [record.getMessage().split(" different")[0] for record in caplog.records] == [
        f"the metric hybridllm.cost has {SETS_MAX}"
    ]


def test_sets_are_bounded_whatever_is_said() -> None:
    """Names of the policy are kept apart a little longer than what was chosen outside, but not for ever."""
    sets = Sets("m", sets_max=3)
    seen = {
        tuple(sets.within({"hybridllm.backend.name": f"b{number}"}).items())
        for number in range(2 * FOLDED_MAX)
    }
    assert len(seen) == 3 + FOLDED_MAX + 1


def test_a_sum_of_ten_thousand_small_amounts_is_exact() -> None:
    """Whole numbers are added; only the total becomes a float."""
    cost = Sum("hybridllm.cost", 10**12)
    key = cost.key({"a": "b"})
    for _ in range(10_000):
        cost.add(key, 100_000_000_001)  # 0.100000000001 USD
    assert cost.totals() == [(1000.00000001, {"a": "b"})]


def test_two_routers_of_a_process_add_to_the_same_metric() -> None:
    """And what a router told is still there when the router is gone."""
    provider, reader = metering()
    for _ in range(2):
        listener = OtelRequests(provider)
        scenario = asked_by(None)
        listener.ended(scenario.receipt, scenario.decision, set())
        del listener
        gc.collect()
    ((_, usd),) = collected(reader)["hybridllm.cost"]
    assert usd == 0.5


class WithLedger:
    """A router, as gauges look at it, whose ledger fails."""

    def __init__(self, errors: int) -> None:
        self.fleet = Fleet(lambda: 0.0)
        self.policy = POLICY_KNOWN
        self.ledger_errors: int | None = errors


def test_the_failures_of_a_ledger_are_counted_and_stay_so() -> None:
    """0 is told as well, so that an alert has something to look at; a router that ends takes nothing back."""
    provider, reader = metering()

    def failures() -> list[int]:
        return [count for _, count in collected(reader)["hybridllm.ledger.errors"]]

    first, second = WithLedger(0), WithLedger(3)
    listeners = []
    for router in (first, second):
        listener = OtelRequests(provider)
        listener.watch(router)
        assert listener.listens()
        listeners.append(listener)
    assert failures() == [3]
    first.ledger_errors, second.ledger_errors = 2, 0  # the second is closed
    assert failures() == [5]
