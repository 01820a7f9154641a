"""What routes, buckets, tiers, splits, ceilings, conditions and constraints come to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hybridllm._core.policy.ceilings import Ceilings
from hybridllm._core.policy.compiled import OrderBy, Policy, Route
from hybridllm._core.policy.conditions import Hours, Number
from hybridllm._core.policy.objectives import Slo
from hybridllm.errors import PolicyError
from policy.policy_text import load

HEAD = """
version: 1
backends:
  a: {kind: api, base_url: "https://a.test/v1", region: eu}
  b: {kind: api, base_url: "https://b.test/v1", region: us}
  own: {kind: vllm, base_url: "https://own.test/v1", operator: self, price: free}
models:
  qwen3-8b: {on: {a: x, b: x}}                       # ultra-budget by the model book
  qwen3-32b: {on: {a: x, own: x}}                    # budget by the model book
  deepseek-v4-flash: {on: {b: x}}                    # budget by the model book
  mine: {tier: budget, on: {own: x}}                 # declared
  listed: {price: {input_per_1m: 1, output_per_1m: 0.9}, on: {a: x}}   # premium by its own price
  glm-5: {on: {a: x}}                                # premium: what the book calls it
  embedder: {tier: budget, capabilities: [embeddings], on: {a: x}}
  twin: {capabilities: [embeddings], vector_space: embedder, on: {own: x}}
buckets:
  bandwidth: {use: [{tier: ultra-budget}, qwen3-32b], max_output_price: 0.5}
  judgment: {use: [{bucket: bandwidth}, listed], max_output_price: 0.3, max_request_cost: 0.01}
tasks: {t: {slo: {ttft_ms: {p90: 800, p50: "300"}}}}
"""


def policy(routes: str, more: str = "") -> Policy:
    return load(f"{HEAD}{more}\nroutes:\n{routes}\n  - {{name: last, use: qwen3-8b}}\n")


def route(body: str) -> Route:
    """The first of two routes."""
    return policy(f"  - {{name: r, {body}}}").routes[0]


def told(of: Route) -> list[tuple[str, str, list[str]]]:
    return [
        (use.what, use.order_by.value, [candidate.name for candidate in use.candidates])
        for use in of.use
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            "use: [{tier: budget}]",
            [("tier 'budget'", "price",
              ["a/qwen3-32b", "own/qwen3-32b", "b/deepseek-v4-flash", "own/mine"])],
            id="tier-without-embedding-models",
        ),
        pytest.param(
            "use: [{tier: budget, on: [own, b], order_by: load}]",
            [("tier 'budget'", "load", ["own/qwen3-32b", "own/mine", "b/deepseek-v4-flash"])],
            id="tier-narrowed",
        ),
        pytest.param(
            "use: [{tier: budget, on: [b, own]}]",
            [("tier 'budget'", "price", ["b/deepseek-v4-flash", "own/qwen3-32b", "own/mine"])],
            id="tier-in-the-order-of-on",
        ),
        pytest.param(
            "use: {bucket: bandwidth, on: [b, a]}",
            [("bucket 'bandwidth', tier 'ultra-budget'", "price", ["b/qwen3-8b", "a/qwen3-8b"]),
             ("bucket 'bandwidth', model 2", "file", ["a/qwen3-32b"])],
            id="bucket-in-the-order-of-on",
        ),
        pytest.param(
            "use: [{tier: premium}]",
            [("tier 'premium'", "price", ["a/listed", "a/glm-5"])], id="tier-by-price-or-name",
        ),
        pytest.param(
            "use: [{model: qwen3-8b, on: [b, a]}]", [("model 1", "file", ["b/qwen3-8b", "a/qwen3-8b"])],
            id="on-is-an-order",
        ),
        pytest.param(
            "use: [{model: qwen3-8b, on: [b, a], order_by: latency}]",
            [("model 1", "latency", ["b/qwen3-8b", "a/qwen3-8b"])], id="unless-another-is-given",
        ),
        pytest.param(
            "use: [qwen3-8b, {split: {listed: 3, mine: 1.5}}]",
            [("model 1", "load", ["a/qwen3-8b", "b/qwen3-8b"]),
             ("split 3:1.5", "split", ["a/listed", "own/mine"])],
            id="split",
        ),
        pytest.param(
            "use: [qwen3-8b, listed], order_by: price, fallbacks: [mine]",
            [("all models of the route", "price", ["a/qwen3-8b", "b/qwen3-8b", "a/listed"]),
             ("model 3", "load", ["own/mine"])],
            id="one-order-for-all-of-use",
        ),
        pytest.param(
            "use: {bucket: bandwidth}",
            [("bucket 'bandwidth', tier 'ultra-budget'", "price", ["a/qwen3-8b", "b/qwen3-8b"]),
             ("bucket 'bandwidth', model 2", "load", ["a/qwen3-32b", "own/qwen3-32b"])],
            id="bucket",
        ),
        pytest.param(
            "use: {bucket: bandwidth, on: b}",
            [("bucket 'bandwidth', tier 'ultra-budget'", "price", ["b/qwen3-8b"]),
             ("bucket 'bandwidth', model 2", "file", [])],
            id="bucket-narrowed",
        ),
    ],
)  # fmt: skip
def test_an_entry_comes_to_candidates_and_an_order(body: str, expected: Any) -> None:
    """A model, a tier, a bucket or a split; narrowed by `on`, ordered by `order_by`."""
    assert told(route(body)) == expected


def test_a_bucket_may_name_another_and_ceilings_take_the_lowest() -> None:
    """Of the entry, of each bucket it goes through, and of the route when it is decided."""
    uses = route("use: [{bucket: judgment, max_output_price: 0.4}], max_output_price: 9").use
    assert [use.what.split(", ")[:-1] for use in uses] == [
        ["bucket 'judgment'", "bucket 'bandwidth'"],
        ["bucket 'judgment'", "bucket 'bandwidth'"],
        ["bucket 'judgment'"],
    ]
    low = Ceilings(Decimal("0.3"), Decimal("0.01"))
    assert [use.ceilings for use in uses] == [low, low, low]
    assert route("use: mine, max_request_cost: 0").ceilings == Ceilings(None, Decimal(0))


def test_ceilings_fold_in_any_order_and_zero_is_a_ceiling() -> None:
    """None is no limit; 0 is the lowest there is."""
    zero, some = Ceilings(Decimal(0), None), Ceilings(Decimal(1), Decimal(2))
    assert zero.folded(some) == some.folded(zero) == Ceilings(Decimal(0), Decimal(2))
    assert Ceilings().folded(zero) == zero.folded(Ceilings()) == zero


def test_embedding_models_have_a_space_of_their_own_unless_they_share_one() -> None:
    """Vectors compare within a space; a model that embeds nothing is in none."""
    models = policy("  - {name: r, use: mine}").models
    assert {name: model.vector_space for name, model in models.items() if model.vector_space} == {
        "embedder": "embedder",
        "twin": "embedder",
    }


def test_conditions_are_read_with_their_units() -> None:
    """Sizes, hours, weekdays, metadata of any scalar, and conditions inside conditions."""
    found = route(
        "use: qwen3-8b, when: {stream: false, input_tokens: {gte: 8K, lt: 32000}, "
        "metadata: {plan: [pro, ent-*], seats: {gt: 99.5}, vip: true, year: 2026}, "
        "time: {from: 22:00, to: 06:00, weekdays: [fri-sun, wed], zone: Europe/Berlin}, "
        "not: {tenant: [internal-*]}, any: [{feature: chat}, {tags: [beta]}]}"
    )
    assert found.when.to_dict() == {
        "stream": False,
        "input_tokens": {"gte": 8192, "lt": 32000},
        "metadata": {
            "plan": ["ent-*", "pro"],
            "seats": {"gt": "99.5"},
            "vip": ["true"],
            "year": ["2026"],
        },
        "time": {
            "from": "22:00", "to": "06:00", "weekdays": ["wed", "fri", "sat", "sun"],
            "zone": "Europe/Berlin",
        },
        "not": {"tenant": ["internal-*"]},
        "any": [{"feature": ["chat"]}, {"tags": ["beta"]}],
    }  # fmt: skip
    hours = next(one for one in found.when.conditions if isinstance(one, Hours))
    assert (hours.from_minute, hours.to_minute, hours.weekdays) == (1320, 360, {2, 4, 5, 6})
    sizes = next(one for one in found.when.conditions if isinstance(one, Number))
    assert sizes == Number("input_tokens", gte=Decimal(8192), lt=Decimal(32000))


def test_a_policy_knows_what_its_decisions_look_at() -> None:
    """So that nothing else is looked up per request."""
    plain = policy("  - {name: r, when: {task: t}, use: mine}")
    assert (plain.looks_at, plain.splits) == ({"task"}, False)
    assert plain.measures  # its task has an objective
    rich = policy(
        "  - {name: r, when: {not: {any: [{metadata: {k: v}}, {tenant: x}]}}, use: {split: {mine: 1}}}",
        "constraints: [{name: k, when: {time: {to: 06:00}}, deny: {models: glm-5}}]\n"
        "residency: {phi: {taint: 1h}, eu: {taint: true}, us: {taint: false}}",
    )
    assert rich.looks_at == {"metadata.k", "tenant", "time"}
    assert rich.splits
    assert rich.taints == {"phi": 3600.0, "eu": float("inf")}
    assert rich.known_tasks == {"t"}


def test_a_task_that_is_only_excluded_makes_no_other_unknown() -> None:
    """`not: {task: batch-*}` asks for no task, so any other will do."""
    found = load(
        HEAD.replace("tasks:", "#")
        + "routes:\n  - {name: r, when: {not: {task: batch-*}}, use: mine}\n"
    )
    assert found.known_tasks == frozenset()


def test_two_routes_of_one_name_are_told_on_one_line_too() -> None:
    """As a generated file has them."""
    with pytest.raises(PolicyError, match="'r' stands here twice"):
        load(f"{HEAD}routes: [{{name: r, when: {{task: t}}, use: mine}}, {{name: r, use: mine}}]\n")


def test_objectives_and_modes_are_taken_as_they_stand() -> None:
    """Percentiles to milliseconds; observe where it is said."""
    found = policy(
        "  - {name: r, mode: observe, use: mine, slo: {total_ms: {p99: 5000}}}",
        "constraints:\n"
        "  - {name: k, mode: observe, allow: {backends: [a, own], models: mine}, deny: {backends: b},"
        " max_output_price: 1}\n"
        "  - {name: d, allow: {regions: eu, operators: self, retention: [none, 720h]}}",
    )
    assert found.tasks["t"].slo == Slo(ttft_ms=((50, 300.0), (90, 800.0)))
    assert (found.routes[0].slo, found.routes[0].observe) == (Slo(total_ms=((99, 5000.0),)), True)
    watched, data = found.constraints
    assert (watched.observe, watched.backends, watched.denied_backends) == (
        True,
        {"a", "own"},
        {"b"},
    )
    assert (watched.models, watched.ceilings) == ({"mine"}, Ceilings(Decimal(1)))
    assert (data.regions, data.operators, data.retention) == ({"eu"}, {"self"}, {"none", "30d"})
    assert not data.observe


def test_tiers_of_the_policy_replace_those_of_the_book() -> None:
    """The lower bound is in a band, the upper is not; who is in no band has no tier."""
    text = f"{HEAD}tiers: {{low: [0, 0.25], high: [0.25, 0.9]}}\n"
    for old in ("tier: budget", "tier: ultra-budget"):
        text = text.replace(old, "tier: low")
    found = load(f"{text}routes: [{{name: r, use: [{{tier: high}}]}}]\n")
    assert {name: model.tier for name, model in found.models.items()} == {
        "qwen3-8b": "low", "qwen3-32b": "high", "deepseek-v4-flash": "high", "mine": "low",
        "listed": None, "glm-5": "premium", "embedder": "low", "twin": None,
    }  # fmt: skip
    assert found.routes[0].use[0].order_by is OrderBy.PRICE
