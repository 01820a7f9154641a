"""A decision told to people, and to programs."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Capability
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
environment: production
backends:
  us: {kind: api, base_url: "https://us.test/v1", api_key_env: SECRET_KEY, region: us}
  eu: {kind: api, base_url: "https://eu.test/v1", region: eu}
models:
  m: {price: {input_per_1m: 0.5, output_per_1m: 1}, on: {us: wire-m, eu: wire-m}}
  n: {on: {eu: wire-n}}
residency: {eu: {regions: [eu]}, mars: {regions: [mars]}}
tasks: {classify: {}}
routes: [{name: all, use: [m], fallbacks: [n]}]
"""
POLICY = load_policy_text(TEXT, name="example")[0]


def explained(*, refusals: dict[int, str] | None = None, **facts: Any) -> Explanation:
    plan = decide(POLICY, Facts(environment="production", **facts), Snapshot({"us": 2}))
    return Explanation(plan, refusals or {}, {"us": 2})


def test_an_explanation_reads_like_this() -> None:
    """Who would be asked, in order, who not, and why; one line each."""
    told = explained(task="classify", residency="eu", refusals={0: "breaker open"})
    assert str(told).splitlines() == [
        f"policy example {POLICY.version}: operation chat, task classify, residency eu, "
        "environment production",
        "route all",
        "  1. eu/m  route 'all', model 1 (use); least loaded backend first  "
        "(now passed over: breaker open)",
        "  2. eu/n  route 'all', model 2 (fallback); least loaded backend first",
        "  -  us/m  region 'us' is not in [eu] (residency 'eu')",
    ]


def test_a_denial_reads_like_this() -> None:
    """The rule comes first, and that nothing would be sent."""
    told = explained(residency="mars")
    lines = str(told).splitlines()
    assert lines[1] == "DENIED by residency 'mars'; nothing would be sent"
    assert len(lines) == 5
    assert (told.allowed, told.rule, told.candidates, told.route) == (
        False, "residency 'mars'", (), "all",
    )  # fmt: skip


def test_an_explanation_for_programs_holds_the_same() -> None:
    """Ready for JSON; money as texts; neither keys nor addresses."""
    told = explained(
        input_tokens_estimate=1_000, output_tokens_max=500, max_cost_usd=Decimal("0.1"),
        stream=True, tenant="acme", feature="f",
    )  # fmt: skip
    plain = json.loads(json.dumps(told.to_dict()))
    assert plain["allowed"] is True
    assert (plain["policy"], plain["route"]) == ("example", "all")
    assert plain["request"] == {
        "operation": "chat", "tenant": "acme", "feature": "f", "environment": "production",
        "input_tokens_estimate": 1_000, "output_tokens_max": 500, "max_cost_usd": "0.1",
        "stream": True,
    }  # fmt: skip
    first, second = plain["candidates"]
    assert first["candidate"] == "eu/m"
    assert (first["expected_cost_usd"], first["usd_per_mtok_in"]) == ("0.001", "0.5")
    assert (first["fallback"], first["in_flight"], first["passed_over"]) == (False, 0, None)
    assert (second["backend"], second["in_flight"], second["wire_model"]) == ("us", 2, "wire-m")
    (dropped,) = plain["dropped"]
    assert (dropped["candidate"], dropped["reason"]) == ("eu/n", "cost")
    assert "SECRET_KEY" not in str(plain)
    assert "test/v1" not in str(plain)


def test_an_unknown_price_is_null() -> None:
    """Not zero."""
    plain = explained(model="n").to_dict()
    assert plain["candidates"][0]["expected_cost_usd"] is None
    assert plain["candidates"][0]["price_id"] is None


def test_what_a_request_needs_is_told() -> None:
    """Sorted, as words."""
    told = explained(needs=frozenset({Capability.VISION, Capability.AUDIO}))
    assert told.to_dict()["request"]["needs"] == ["audio", "vision"]
    assert told.rule == "capabilities audio, vision"
    assert told.to_dict()["message"]


def test_the_dropped_are_names_and_words() -> None:
    """For a table."""
    assert explained(residency="eu").dropped == (
        ("us/m", "region 'us' is not in [eu] (residency 'eu')"),
    )
