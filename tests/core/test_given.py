"""Loads and volumes that people write down: what a decision sees of them, and who answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.explain import Explanation, explained_in
from hybridllm._core.decide.given import GivenLoad, GivenVolume, held_in
from hybridllm._core.decide.snapshot import Load
from hybridllm._core.decide.world import World
from hybridllm._core.policy.hybrid import Measure, Window
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
default_residency: public
backends:
  own: {kind: vllm, base_url: "https://own.test/v1", region: eu, operator: self, price: free,
        saturation: {queue_depth: 8, kv_cache_pct: 90, max_inflight: 64}, cold_start: {takes: 15s}}
  two: {kind: vllm, base_url: "https://two.test/v1", region: eu, operator: self, price: free,
        cold_start: {takes: 15s, when_cold: wait}, concurrency: 4, capacity: {usd_per_month: 900}}
  api: {kind: api, base_url: "https://api.test/v1", region: us, operator: third_party}
models:
  m: {price: {input_per_1m: 1, output_per_1m: 2}, on: {own: m, two: m, api: m}}
residency: {public: {}, phi: {operators: [self]}}
routes:
  - {name: own, when: {task: own}, use: [{model: m, on: [own, api]}],
     overflow: {from: own, to: api, when: {saturated: true, predicted_wait_ms: {gt: 1500}, outage: true}}}
  - {name: two, when: {task: two}, use: [{model: m, on: [two, api]}],
     overflow: {from: two, to: api, when: {saturated: true, kv_cache_pct: {gt: 85}}, queue_ms: 500}}
  - {name: api, when: {task: api}, use: [{model: m, on: [api, own]}],
     overflow: {from: api, to: own, when: {rate_limited: true, budget: {usd: 50, per: month}}}}
  - {name: credit, when: {task: credit}, use: [{model: m, on: [api]}]}
  - {name: high, when: {volume: {tokens_per_day: {gte: 500M}, sustained: 90d}}, use: [m]}
  - {name: acme, when: {volume: {requests_per_hour: {gte: 100}, of: tenant}}, use: [m]}
  - {name: low, when: {volume: {usd_per_month: {lt: 10}, of: "model:m"}}, use: [m]}
  - {name: worth-it, when: {break_even: above}, use: [m]}
  - {name: not-yet, when: {break_even: below}, use: [m]}
  - {name: last, use: [m]}
"""
POLICY, _ = load_policy_text(TEXT, environ={})


def told(task: str | None, world: World, **facts: Any) -> Explanation:
    """What becomes of a request in a world."""
    return explained_in(POLICY, Facts(task=task, environment="", **facts), world)


def load(world: World, name: str = "own") -> Load:
    """What a decision sees of the load of a backend."""
    return world.snapshot(POLICY, Facts()).loads[name]


@pytest.mark.parametrize(
    ("said", "in_flight", "saturated"),
    [
        (GivenLoad(), 0, ""),
        (GivenLoad(waiting=8, kv_used=0.89), 63, ""),
        (GivenLoad(waiting=9), 0, "about 9 waiting in its queue"),
        (GivenLoad(kv_used=0.9), 0, "90% of its KV cache used"),
        (GivenLoad(), 64, "64 requests under way, 64 may be"),
        (GivenLoad(saturated=True), 0, "as given"),
    ],
)
def test_figures_saturate_a_backend_from_its_bounds_on(
    said: GivenLoad, in_flight: int, saturated: str
) -> None:
    """Those that the policy declares; or it is said that it is, whatever they are."""
    world = World(loads={"own": said}, in_flight={"own": in_flight})
    assert load(world).saturated == saturated
    assert load(world).in_flight == in_flight


def test_a_fixed_limit_of_requests_saturates_too() -> None:
    """Who has no free slot has as much to do as it can take."""
    assert load(World(in_flight={"two": 4}), "two").saturated == "no free slot"
    assert load(World(in_flight={"two": 3}), "two").saturated == ""


def test_what_is_not_said_is_not_known() -> None:
    """Of backends whose load decides nowhere, nothing is there at all."""
    assert load(World()) == Load()
    assert set(World().snapshot(POLICY, Facts()).loads) == {"own", "two", "api"} == POLICY.loaded


def test_a_star_is_every_backend_of_ones_own() -> None:
    """What is said of one of them goes before; a hosted API is none."""
    world = World(loads={"*": GivenLoad(waiting=3), "two": GivenLoad(waiting=5)})
    loads = world.snapshot(POLICY, Facts()).loads
    assert [loads[name].waiting for name in ("own", "two", "api")] == [3, 5, None]


@pytest.mark.parametrize(
    ("task", "world", "ends"),
    [
        ("own", World(), "own/m primary"),
        ("own", World(loads={"own": GivenLoad(waiting=9)}), "api/m overflow"),
        ("own", World(loads={"own": GivenLoad(wait_s=1.6)}), "api/m overflow"),
        ("own", World(loads={"own": GivenLoad(wait_s=1.5)}), "own/m primary"),
        ("own", World(loads={"own": GivenLoad(out=True)}), "api/m overflow"),
        ("own", World(loads={"own": GivenLoad(cold_s=9)}), "api/m overflow"),
        ("own", World(frozenset({"api"}), loads={"own": GivenLoad(cold_s=9)}), "warming_up"),
        (
            "two",
            World(frozenset({"api"}), loads={"two": GivenLoad(cold_s=9)}),
            "two/m failover, waits until it is awake",
        ),
        ("two", World(loads={"two": GivenLoad(kv_used=0.86)}), "api/m overflow"),
        ("api", World(), "api/m primary"),
        ("api", World(loads={"api": GivenLoad(rate_limited=True)}), "own/m overflow"),
        ("api", World(loads={"api": GivenLoad(budget=True)}), "own/m overflow"),
        (
            "api",
            World(frozenset({"own"}), loads={"api": GivenLoad(budget=True)}),
            "api/m failover",  # a budget of ours refuses nothing
        ),
        ("credit", World(loads={"api": GivenLoad(out=True)}), "api/m primary"),  # in panic
    ],
)
def test_who_answers_under_load(task: str, world: World, ends: str) -> None:
    """As in production: overflows order, breakers and gates refuse, who sleeps is waited for or not."""
    found = told(task, world).answering
    waits = f", waits {found.waits}" if found is not None and found.waits else ""
    end = told(task, world).error if found is None else f"{told(task, world).answer} {found.reason}"
    assert f"{end}{waits}" == ends


@pytest.mark.parametrize(
    ("task", "said", "ends"),
    [
        ("own", GivenLoad(waiting=9), ("own/m", None, "for a slot")),
        ("own", GivenLoad(cold_s=9), (None, "warming_up", "")),
        ("two", GivenLoad(cold_s=9), ("two/m", None, "until it is awake")),
    ],
)
def test_who_may_not_leave_stays(
    task: str, said: GivenLoad, ends: tuple[str | None, str | None, str]
) -> None:
    """It waits, or fails with an error of its own; it never comes to the API."""
    found = told(task, World(loads={task: said}), residency="phi")
    answering = found.answering
    waits = answering.waits if answering is not None else ""
    assert (found.answer, found.error, waits) == ends
    assert found.candidates == (f"{task}/m",)
    assert ("waits" in str(found)) is bool(waits)


def volume(rate: str, amount: int, days: int = 0, scope: str | None = None) -> GivenVolume:
    what, _, window = rate.partition("_per_")
    return GivenVolume({(Measure(what), Window(window)): Decimal(amount)}, days, scope)


@pytest.mark.parametrize(
    ("volumes", "facts", "route"),
    [
        ([], {}, "last"),
        ([volume("tokens_per_day", 500_000_000, 90)], {}, "high"),
        ([volume("tokens_per_day", 500_000_000, 89)], {}, "last"),
        ([volume("tokens_per_day", 499_999_999, 90)], {}, "last"),
        ([volume("tokens_per_hour", 500_000_000, 90)], {}, "last"),
        ([volume("tokens_per_day", 500_000_000, 90, "model:m")], {}, "last"),
        ([volume("tokens_per_day", 500_000_000, 90, "all")], {}, "high"),
        ([volume("requests_per_hour", 100)], {"tenant": "acme"}, "acme"),
        ([volume("requests_per_hour", 100)], {}, "last"),  # of nobody
        ([volume("requests_per_hour", 100, 0, "tenant")], {"tenant": "acme"}, "acme"),
        ([volume("requests_per_hour", 100, 0, "all")], {"tenant": "acme"}, "last"),
        (
            [volume("requests_per_hour", 1, 0, "tenant"), volume("requests_per_hour", 100)],
            {"tenant": "acme"},
            "last",  # what is said of just this goes before what is said of anything
        ),
        ([volume("usd_per_month", 9)], {}, "low"),
        ([volume("usd_per_month", 10)], {}, "last"),
    ],
)
def test_a_condition_holds_by_the_volume_that_is_given(
    volumes: list[GivenVolume], facts: dict[str, Any], route: str
) -> None:
    """Of the same rate and scope, and on as many days; what is not said fulfils nothing."""
    found = told(None, World(volumes=tuple(volumes)), **facts)
    assert found.route == route
    assert [one.route.name for one in found.routes if one.decides] == [route]


@pytest.mark.parametrize(
    ("side", "route"), [(True, "worth-it"), (False, "not-yet"), (None, "last")]
)
def test_break_even_is_above_below_or_not_known(side: bool | None, route: str) -> None:
    """Not known is neither."""
    assert told(None, World(break_even=side)).route == route


def test_a_condition_that_does_not_hold_says_so() -> None:
    """As a request is told what it lacks."""
    (reason,) = (one.failing for one in told(None, World()).routes if one.route.name == "high")
    assert reason == "volume tokens_per_day gte 500000000, sustained 90d, which does not hold"


def test_the_world_is_told_by_what_was_said_of_it() -> None:
    """In words and for programs, numbers as a person writes them."""
    world = World(
        loads={
            "own": GivenLoad(waiting=9.0, kv_used=0.93, wait_s=2.5, out=True),
            "*": GivenLoad(cold_s=15.0),
        },
        volumes=(volume("tokens_per_day", 600_000_000, 120, "all"),),
        break_even=True,
    )  # fmt: skip
    found = told("own", world)
    facts = found.to_dict()
    assert facts["world"]["load"] == {
        "own": {"waiting": 9, "kv_cache_pct": 93, "predicted_wait_ms": 2500, "out": True},
        "*": {"cold_s": 15},
    }
    assert facts["world"]["volume"] == [
        {"tokens_per_day": "600000000", "sustained": "120d", "of": "all"}
    ]
    assert facts["world"]["break_even"] == "above"
    assert facts["candidates"][1]["load"] == {
        "saturated": "about 9 waiting in its queue", "waiting": 9, "kv_cache_pct": 93.0,
        "predicted_wait_ms": 2500.0,
    }  # fmt: skip
    assert (facts["answer"]["reason"], facts["answer"]["waits"]) == ("overflow", None)
    text = str(found)
    for words in (
        "own waiting 9, kv_cache_pct 93, predicted_wait_ms 2500, out; every own backend cold_s 15",
        "volume tokens_per_day 600000000, sustained 120d, of all; break-even above",
        "overflow: own is saturated (about 9 waiting in its queue)",
        "now passed over: breaker open; saturated (about 9 waiting in its queue), 9 waiting, KV cache 93 %",
    ):
        assert words in text, text


def test_conditions_of_no_policy_hold_nowhere() -> None:
    """Whatever is said."""
    policy, _ = load_policy_text(
        'version: 1\nbackends: {a: {kind: api, base_url: "https://a.test/v1"}}\n'
        "models: {m: {on: {a: m}}}\nroutes: [{name: r, use: [m]}]\n",
        environ={},
    )
    said = (volume("tokens_per_day", 10**9, 400),)
    assert held_in(policy, Facts(), said, break_even=True) == frozenset()
