"""A decision told to people, and to programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.explain import Explanation, explained_in
from hybridllm._core.decide.snapshot import Latency, Snapshot
from hybridllm._core.decide.world import World
from hybridllm._core.policy.compiled import Capability
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
environment: production
default_residency: public
backends:
  us: {kind: api, base_url: "https://us.test/v1", api_key_env: SECRET_KEY, region: us}
  eu: {kind: api, base_url: "https://eu.test/v1", region: eu}
models:
  m: {price: {input_per_1m: 0.5, output_per_1m: 1}, on: {us: wire-m, eu: wire-m}}
  n: {on: {eu: wire-n}}
residency: {public: {}, eu: {regions: [eu], taint: true}, mars: {regions: [mars]}}
tasks: {classify: {slo: {ttft_ms: {p90: 800}}}, secret: {residency: eu}}
routes:
  - name: office
    when: {tenant: acme-*, time: {from: "08:00", to: "18:00", zone: UTC}}
    use: [{split: {m: 30, n: 10}}]
  - {name: trial, mode: observe, when: {task: classify}, use: [n]}
  - {name: all, use: [m], fallbacks: [n]}
constraints:
  - {name: no-us, when: {metadata: {plan: [free]}}, deny: {backends: [us]}}
  - {name: thrift, mode: observe, when: {feature: chat}, max_output_price: 0.5}
"""
POLICY = load_policy_text(TEXT, name="example")[0]
NOON, NIGHT = datetime(2026, 12, 1, 12, tzinfo=UTC), datetime(2026, 12, 1, 23, tzinfo=UTC)


def facts(**given: Any) -> Facts:
    return Facts(environment="production", **given)


def explained(*, refusals: dict[int, str] | None = None, **given: Any) -> Explanation:
    """In the router's own state: two requests under way in the US."""
    snapshot = Snapshot({"us": 2})
    return Explanation(decide(POLICY, facts(**given), snapshot), refusals or {}, snapshot)


def explained_at(world: World, **given: Any) -> Explanation:
    return explained_in(POLICY, facts(**given), world)


def test_an_explanation_reads_like_this() -> None:
    """Who would be asked, in order, who not, and why; then what was looked at, and who is first."""
    told = explained(task="classify", residency="eu", refusals={0: "breaker open"})
    assert str(told).splitlines() == [
        f"policy example {POLICY.version}: operation chat, task classify, residency eu, "
        "environment production",
        "route all",
        "├─ 1. eu/m  route 'all', model 1 (use); least loaded backend first  "
        "(now passed over: breaker open; about $0.001024)",
        "├─ 2. eu/n  route 'all', model 2 (fallback); least loaded backend first",
        "├─ not asked",
        "│  └─ us/m  region 'us' is not in [eu] (residency 'eu')",
        "├─ residency eu, of the request: regions eu",
        "├─ routes looked at",
        "│  ├─ office  no: asks for tenant acme-*, and the request has none",
        "│  ├─ trial  would decide, but only observes: task classify",
        "│  └─ all  decides: always",
        "└─ eu/n is asked first (fallback)",
    ]


def test_an_explanation_in_a_given_world_reads_like_this() -> None:
    """The world has a line; those who are down are asked, and somebody else answers."""
    latency = {"eu": Latency({50: 900.0, 90: 1200.0}, {90: 3000.0})}
    world = World(frozenset({"us"}), {"eu": 7}, latency, NIGHT, 0.25)
    told = explained_at(
        world, task="classify", tenant="acme-1", feature="chat", metadata={"plan": "pro", "a": "b"}
    )
    assert str(told).splitlines() == [
        f"policy example {POLICY.version}: operation chat, task classify, tenant acme-1, feature chat, "
        "environment production, metadata plan pro",
        "in a world with us down; 7 in flight on eu; eu ttft p50 900, p90 1200 ms, total p90 3000 ms; "
        "chance 0.25; at Tue 2026-12-01 23:00 UTC",
        "route all",
        "├─ 1. us/m  route 'all', model 1 (use); least loaded backend first  (down; about $0.001024)",
        "├─ 2. eu/m  route 'all', model 1 (use); least loaded backend first  (7 in flight; ttft p50 900, "
        "p90 1200 ms, total p90 3000 ms; misses its objective: ttft_ms p90 is 1200, above 800; "
        "about $0.001024)",
        "├─ 3. eu/n  route 'all', model 2 (fallback); least loaded backend first  (7 in flight; ttft p50 "
        "900, p90 1200 ms, total p90 3000 ms; misses its objective: ttft_ms p90 is 1200, above 800)",
        "├─ residency public, the policy's default: anything",
        "├─ constraint thrift: max_output_price 0.5; only observes, and would drop us/m, eu/m, eu/n",
        "├─ routes looked at",
        "│  ├─ office  no: asks for time from 08:00, to 18:00, zone UTC, and the request has Tue 23:00 UTC",
        "│  ├─ trial  would decide, but only observes: task classify",
        "│  └─ all  decides: always",
        "└─ eu/m answers (failover)",
    ]


def test_a_denial_reads_like_this() -> None:
    """The rule comes first, and that nothing would be sent."""
    told = explained(residency="mars")
    lines = str(told).splitlines()
    assert lines[1] == "DENIED by residency 'mars'; nothing would be sent"
    assert lines[2:5] == [
        "├─ not asked",
        "│  ├─ us/m  region 'us' is not in [mars] (residency 'mars')",
        "│  ├─ eu/m  region 'eu' is not in [mars] (residency 'mars')",
    ]
    assert (told.allowed, told.rule, told.candidates, told.route) == (
        False, "residency 'mars'", (), "all",
    )  # fmt: skip
    assert (told.answer, told.answering, told.error) == (None, None, "policy_denied")


def test_a_name_that_is_unknown_is_denied_before_any_rule_is_looked_at() -> None:
    """So none is listed; what would have been right is."""
    told = explained(residency="marz")
    assert str(told).splitlines()[2:] == [
        "└─ residency tag 'marz' is not in policy 'example'; known: eu, mars, public; did you mean 'mars'?"
    ]
    assert told.routes == told.constraints == told.residency == ()


def test_a_request_that_no_route_fits_met_all_of_them() -> None:
    """Each says what it asks for."""
    policy = load_policy_text(
        TEXT.replace("{name: all,", "{name: all, when: {task: secret},"), name="example"
    )[0]
    told = Explanation(decide(policy, facts(), Snapshot()))
    assert [one["failing"] for one in told.to_dict()["routes"]] == [
        "tenant acme-*, and the request has none",
        "task classify, and the request has none",
        "task secret, and the request has none",
    ]


def test_nothing_that_a_caller_writes_breaks_a_line() -> None:
    """A log line stays one, and a terminal is not steered."""
    told = explained(tenant="a\nroute all\x1b[2J", session="\u202eb", tags=frozenset({"c\r"}))
    assert "\x1b" not in str(told)
    assert "\u202e" not in str(told)
    assert len(str(told).split("\n")) == len(str(explained()).split("\n"))


def test_an_explanation_for_programs_holds_the_same() -> None:
    """Ready for JSON; money as texts; neither keys nor addresses."""
    told = explained(
        input_tokens_estimate=1_000, output_tokens_max=500, max_cost_usd=Decimal("0.1"), stream=True,
        tenant="acme", feature="f", session="s", tags=frozenset({"b", "a"}), taints=("eu",),
        metadata={"plan": "pro", "private": "x"},
    )  # fmt: skip
    plain = json.loads(json.dumps(told.to_dict()))
    assert plain["allowed"] is True
    assert (plain["policy"], plain["route"]) == ("example", "all")
    assert plain["request"] == {
        "operation": "chat", "tenant": "acme", "feature": "f", "session": "s",
        "environment": "production", "input_tokens_estimate": 1_000, "output_tokens_max": 500,
        "max_cost_usd": "0.1", "carried": ["eu"], "tags": ["a", "b"], "metadata": {"plan": "pro"},
        "stream": True,
    }  # fmt: skip
    (first,) = plain["candidates"]
    assert (first["candidate"], first["wire_model"], first["region"]) == ("eu/m", "wire-m", "eu")
    assert (first["expected_cost_usd"], first["usd_per_mtok_in"]) == ("0.001", "0.5")
    assert (first["fallback"], first["in_flight"], first["passed_over"]) == (False, 0, None)
    assert [(drop["candidate"], drop["reason"], drop["rule"]) for drop in plain["dropped"]] == [
        ("us/m", "region", "residency 'eu'"),
        ("eu/n", "cost", "max_cost_usd"),
    ]
    assert plain["answer"] == {
        "candidate": "eu/m", "backend": "eu", "model": "m", "reason": "primary", "waits": None,
    }  # fmt: skip
    assert (plain["error"], plain["world"]) == (None, None)
    assert "SECRET_KEY" not in str(plain)
    assert "test/v1" not in str(plain)


def test_the_keys_are_a_promise() -> None:
    """Programs read them: none goes, whatever is decided."""
    keys = {
        "allowed", "policy", "policy_version", "route", "residency", "request", "world", "answer", "error",
        "candidates", "dropped", "residency_tags", "routes", "constraints", "budgets",
        "observed", "cascade", "cache",
    }  # fmt: skip
    allowed, denied = explained().to_dict(), explained(residency="mars").to_dict()
    assert set(allowed) == keys
    assert set(denied) == keys | {"rule", "message"}
    assert set(allowed["candidates"][0]) == {
        "candidate", "backend", "region", "model", "wire_model", "fallback", "reason", "passed_over",
        "in_flight", "load", "latency", "objective_missed", "split_share", "price_id", "usd_per_mtok_in",
        "usd_per_mtok_out", "expected_cost_usd",
    }  # fmt: skip
    assert set(denied["dropped"][0]) == {"candidate", "reason", "detail", "rule"}
    assert set(allowed["residency_tags"][0]) == {"tag", "from", "allows"}
    assert set(allowed["routes"][0]) == {"route", "mode", "when", "holds", "failing", "decides"}
    assert set(allowed["constraints"][0]) == {
        "constraint", "mode", "when", "holds", "failing", "restricts", "dropped", "would",
    }  # fmt: skip
    world = explained_at(World()).to_dict()["world"]
    assert set(world) == {
        "down", "in_flight", "latency", "now", "chance", "load", "volume", "break_even", "spent",
    }  # fmt: skip


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


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        pytest.param({}, [("public", ["default"])], id="default"),
        pytest.param({"residency": "eu"}, [("eu", ["request"])], id="request"),
        pytest.param({"task": "secret"}, [("eu", ["task"])], id="task"),
        pytest.param(
            {"taints": ("eu",)}, [("public", ["default"]), ("eu", ["session"])], id="session"
        ),
        pytest.param(
            {"residency": "public", "task": "secret", "taints": ("eu",)},
            [("public", ["request"]), ("eu", ["task", "session"])],
            id="all",
        ),
    ],
)
def test_each_residency_tag_says_who_brought_it(
    given: dict[str, Any], tags: list[tuple[str, list[str]]]
) -> None:
    """Who wonders why a request is restricted finds the answer here; the default is the policy's."""
    told = explained(**given)
    assert [(one["tag"], one["from"]) for one in told.to_dict()["residency_tags"]] == tags
    assert told.to_dict()["residency"] == [tag for tag, _ in tags]


def test_constraints_say_whether_they_apply_and_what_they_do() -> None:
    """An enforced one drops, an observed one says what it would do, the others why they do not apply."""
    rows = explained(feature="chat", metadata={"plan": "free"}).to_dict()["constraints"]
    assert [(row["constraint"], row["mode"], row["holds"]) for row in rows] == [
        ("no-us", "enforce", True), ("thrift", "observe", True),
    ]  # fmt: skip
    assert [row["dropped"] for row in rows] == [["us/m"], []]
    assert [row["would"] for row in rows] == [[], ["drop eu/m, eu/n"]]
    assert rows[0]["restricts"] == {"deny": {"backends": ["us"]}}
    assert rows[1]["restricts"] == {"max_output_price": "0.5"}
    rows = explained().to_dict()["constraints"]
    assert [row["failing"] for row in rows] == [
        "metadata plan free, and the request has none", "feature chat, and the request has none",
    ]  # fmt: skip


def test_a_split_says_how_often_each_model_is_drawn() -> None:
    """By the weights of those that are left: what a filter takes out has no share."""
    world = World(now_utc=NOON)
    rows = explained_at(world, tenant="acme-1").to_dict()["candidates"]
    assert {row["candidate"]: row["split_share"] for row in rows} == {
        "us/m": 0.75, "eu/m": 0.75, "eu/n": 0.25,
    }  # fmt: skip
    cheap = facts(tenant="acme-1", max_cost_usd=Decimal(1))  # n has no price
    rows = explained_in(POLICY, cheap, world).to_dict()["candidates"]
    assert {row["candidate"]: row["split_share"] for row in rows} == {"us/m": 1.0, "eu/m": 1.0}
    assert {row["split_share"] for row in explained().to_dict()["candidates"]} == {None}


@pytest.mark.parametrize(
    ("down", "answer", "reason", "error"),
    [
        pytest.param((), "us/m", "primary", None, id="nobody-down"),
        pytest.param(("us",), "eu/m", "failover", None, id="failover"),
        pytest.param(("us", "eu"), None, None, "route_exhausted", id="all-down"),
    ],
)
def test_a_given_world_says_who_answers(
    down: tuple[str, ...], answer: str | None, reason: str | None, error: str | None
) -> None:
    """Or what is raised instead; who is down stays in the plan."""
    told = explained_at(World(frozenset(down)))
    assert told.candidates == ("us/m", "eu/m", "eu/n")
    assert (told.answer, told.error) == (answer, error)
    assert (told.answering.reason if told.answering else None) == reason
    assert (told.to_dict()["answer"] or {}).get("candidate") == answer
    assert f"nobody answers ({error})" in str(told) or answer is not None
    assert {told.candidates[place].partition("/")[0] for place in told.refusals} == set(down)


def test_in_the_routers_own_state_the_first_who_is_not_refused_is_asked_first() -> None:
    """If all are refused, one is asked all the same: breakers never deny."""
    plan = decide(POLICY, facts(), Snapshot())
    everybody = dict.fromkeys(range(3), "breaker open")
    assert Explanation(plan, {0: "breaker open"}).answer == "eu/m"
    assert Explanation(plan, everybody).answer == "us/m"
    cooling = frozenset({0, 1})
    assert Explanation(plan, everybody, cooling=cooling).answer == "eu/n"
