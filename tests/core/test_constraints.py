"""Everything that restricts a request folds by intersection: constraints, ceilings, tags, hints."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
backends:
  us: {kind: api, base_url: "https://us.test/v1", region: us, operator: third_party, retention: 30d}
  eu: {kind: api, base_url: "https://eu.test/v1", region: eu, operator: third_party, retention: 30d}
  own: {kind: vllm, base_url: "https://own.test/v1", region: eu, operator: self, retention: none}
models:
  cheap: {price: {input_per_1m: 0.1, output_per_1m: 0.1}, on: {us: c, eu: c}}
  dear: {price: {input_per_1m: 1, output_per_1m: 5}, on: {us: d, eu: d}}
  mine: {on: {own: m}}
residency: {eu: {regions: [eu]}, phi: {operators: [self], taint: true}}
tasks: {note: {residency: phi}, plain: {}}
buckets:
  bandwidth: {use: [cheap, dear], max_output_price: 1}
routes:
  - {name: watched, mode: observe, when: {tenant: watched}, use: [mine]}
  - {name: bucket, when: {feature: bucket}, use: [{bucket: bandwidth}], fallbacks: [mine]}
  - {name: tight, when: {feature: tight}, use: [{model: dear, max_request_cost: 0.0005}, cheap],
     max_output_price: 6}
  - {name: small, when: {feature: small}, use: [cheap, dear], max_request_cost: 0.001}
  - {name: long, when: {input_tokens: {gte: 1000}}, use: [dear]}
  - {name: default, use: [cheap, dear, mine]}
constraints:
  - {name: acme-eu, when: {tenant: acme-*}, allow: {regions: [eu]}}
  - {name: acme-cheap, when: {tenant: acme-*, metadata: {plan: free}}, max_output_price: 1}
  - {name: no-dear, when: {tags: frugal}, deny: {models: [dear]}}
  - {name: only-own, when: {time: {from: "22:00", to: "06:00"}}, allow: {backends: [own]}}
  - {name: watch-us, mode: observe, when: {tenant: watched}, deny: {backends: [us]}, max_request_cost: 0.0001}
"""
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NIGHT = datetime(2026, 1, 5, 23, tzinfo=UTC)
ALL = ("us/cheap", "eu/cheap", "us/dear", "eu/dear", "own/mine")
POLICY = load_policy_text(TEXT)[0]


def decided(of: Policy = POLICY, now: datetime = NOON, **facts: Any) -> Plan | Denied:
    return decide(of, Facts(**facts), Snapshot(now_utc=now))


def names(of: Policy = POLICY, now: datetime = NOON, **facts: Any) -> tuple[str, ...]:
    plan = decided(of, now, **facts)
    assert isinstance(plan, Plan), plan
    return plan.candidate_names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, ALL, id="nothing-applies"),
        pytest.param({"tenant": "acme-1"}, ("eu/cheap", "eu/dear", "own/mine"), id="one"),
        pytest.param(
            {"tenant": "acme-1", "metadata": {"plan": "free"}}, ("eu/cheap",), id="two-fold"
        ),
        pytest.param({"tags": frozenset({"frugal", "x"})}, ("us/cheap", "eu/cheap", "own/mine"), id="tag"),
        pytest.param(
            {"tenant": "acme-1", "tags": frozenset({"frugal"})}, ("eu/cheap", "own/mine"), id="by-tag-too"
        ),
        pytest.param({"now": NIGHT}, ("own/mine",), id="by-the-hour"),
        pytest.param({"now": NIGHT, "residency": "eu"}, ("own/mine",), id="and-a-tag"),
        pytest.param({"model": "dear", "tenant": "acme-1"}, ("eu/dear",), id="a-pin-passes-none-by"),
        pytest.param({"feature": "bucket"}, ("us/cheap", "eu/cheap", "own/mine"), id="bucket-ceiling"),
        pytest.param({"feature": "tight"}, ("us/cheap", "eu/cheap"), id="entry-below-route"),
        pytest.param(
            {"feature": "small", "input_tokens_estimate": 100, "output_tokens_max": 50},
            ("us/cheap", "eu/cheap", "us/dear", "eu/dear"), id="cost-fits",
        ),
        pytest.param(
            {"feature": "small", "input_tokens_estimate": 100, "output_tokens_max": 500},
            ("us/cheap", "eu/cheap"), id="cost-of-a-long-answer",
        ),
        pytest.param(
            {"feature": "small", "output_tokens_max": 50, "max_cost_usd": Decimal("0.00001")},
            ("us/cheap", "eu/cheap"), id="the-callers-ceiling-is-lower",
        ),
        pytest.param({"input_tokens_estimate": 1_000}, ("us/dear", "eu/dear"), id="by-size"),
        pytest.param({"taints": ("phi",)}, ("own/mine",), id="taint"),
        pytest.param({"taints": ("phi",), "residency": "eu"}, ("own/mine",), id="taint-and-tag"),
        pytest.param({"task": "note", "residency": "eu"}, ("own/mine",), id="task-and-tag"),
    ],
)  # fmt: skip
def test_who_is_left_when_all_that_applies_is_folded(
    given: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Allow-sets intersect, deny-sets unite, ceilings take the lowest."""
    assert names(**given) == expected


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"model": "mine", "tenant": "acme-1", "metadata": {"plan": "free"}},
         "max_output_price of constraint 'acme-cheap'"),
        ({"model": "dear", "tags": frozenset({"frugal"})}, "constraint 'no-dear'"),
        ({"model": "cheap", "now": NIGHT}, "constraint 'only-own'"),
        ({"model": "cheap", "taints": ("phi",)}, "residency 'phi'"),
        ({"feature": "small", "output_tokens_max": 10**7},
         "max_request_cost of route 'small'"),
        ({"model": "dear", "feature": "tight", "max_cost_usd": Decimal(0)}, "max_cost_usd"),
    ],
)  # fmt: skip
def test_what_leaves_nobody_denies_and_is_named(given: dict[str, Any], rule: str) -> None:
    """Nothing is sent; the rule that did it is told."""
    denied = decided(**given)
    assert isinstance(denied, Denied)
    assert denied.rule == rule
    assert rule.split("'", maxsplit=1)[0].strip() in denied.message


def test_rules_in_observe_mode_are_told_and_change_nothing() -> None:
    """A route that would decide, a constraint that would drop, a ceiling that would be passed."""
    plan = decided(tenant="watched", input_tokens_estimate=100, output_tokens_max=100)
    assert isinstance(plan, Plan)
    assert (plan.route, plan.candidate_names) == ("default", ALL)
    assert plan.observed == (
        "route 'watched' would decide",
        "constraint 'watch-us' would drop us/cheap, us/dear",
        "constraint 'watch-us' would drop us/dear, eu/dear, own/mine",
    )
    quiet = decided(tenant="watched", model="cheap", output_tokens_max=1)
    assert isinstance(quiet, Plan)
    assert quiet.observed == ("constraint 'watch-us' would drop us/cheap",)
    assert decided().observed == ()


def test_a_ceiling_of_one_entry_does_not_follow_a_candidate_into_another() -> None:
    """Whom the first entry finds too dear, the fallback may still ask; and it is told once."""
    text = TEXT.replace(
        "routes:\n",
        "routes:\n  - {name: r, when: {feature: r}, use: [{model: dear, max_request_cost: 0.001}],\n"
        "     fallbacks: [{tier: any}]}\n",
    )
    plan = decided(
        load_policy_text(f"{text}tiers: {{any: [0, 10]}}")[0], feature="r", tenant="acme-1"
    )
    assert isinstance(plan, Plan)
    assert sorted(plan.candidate_names) == ["eu/cheap", "eu/dear"]
    assert [drop.candidate.name for drop in plan.dropped] == ["us/dear", "us/cheap"]


def test_tags_of_a_session_hold_besides_the_requests_own() -> None:
    """Its own, its task's, its session's; the default in place of its own, never of its session's."""
    plan = decided(residency="eu", task="note", taints=("phi",))
    assert plan.residency == ("eu", "phi")
    assert decided(task="plain", taints=("phi",)).residency == ("phi",)
    text = TEXT.replace("version: 1", "version: 1\ndefault_residency: eu")
    with_default = load_policy_text(text)[0]
    assert decided(with_default).residency == ("eu",)
    assert decided(with_default, taints=("phi",)).residency == ("eu", "phi")
    closed = load_policy_text(text.replace("default_residency: eu", "default_residency: deny"))[0]
    denied = decided(closed, taints=("phi",))
    assert isinstance(denied, Denied)
    assert denied.rule == "default_residency: deny"


def test_what_is_remembered_of_a_class_is_bounded_and_goes_with_the_policy() -> None:
    """A caller who invents names cannot fill the memory, and no two policies share any of it."""
    policy = load_policy_text(TEXT)[0]
    for number in range(10_000):
        decided(policy, tenant=f"acme-{number}", metadata={"plan": str(number)})
    assert 0 < len(policy.memo) <= 4_096
    assert not load_policy_text(TEXT)[0].memo
