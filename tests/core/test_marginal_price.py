"""`order_by: marginal_price`: what a request adds to the bill decides, and a full machine adds a wait."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
backends:
  dear: {kind: api, base_url: "https://dear.test/v1"}
  cheap: {kind: api, base_url: "https://cheap.test/v1"}
  own: {kind: vllm, base_url: "https://own.test/v1", operator: self,
        price: {input_per_1m: 9, output_per_1m: 9}, capacity: {usd_per_month: 1000}}
  two: {kind: vllm, base_url: "https://two.test/v1", operator: self, capacity: {usd_per_month: 900}}
  rented: {kind: vllm, base_url: "https://rented.test/v1", operator: self,
           capacity: {usd_per_month: 1000, elastic: true}}
models:
  m:
    on:
      dear: {name: m, price: {input_per_1m: 2, output_per_1m: 4}}
      cheap: {name: m, price: {input_per_1m: 1, output_per_1m: 2}}
      own: m
  replicas: {on: {own: m, two: m}}
  elastic: {price: {input_per_1m: 1, output_per_1m: 2}, on: {rented: m, cheap: m}}
  odd: {on: {dear: m, own: m}}
routes:
  - {name: replicas, when: {tenant: replicas}, use: [{model: replicas, order_by: marginal_price}]}
  - {name: on, when: {tenant: on}, use: [{model: replicas, on: [two, own], order_by: marginal_price}]}
  - {name: elastic, when: {tenant: elastic}, use: [elastic], order_by: marginal_price}
  - {name: odd, when: {tenant: odd}, use: [odd], order_by: marginal_price}
  - {name: default, use: [m], order_by: marginal_price}
"""
POLICY = load_policy_text(TEXT)[0]
ROOM = Load(marginal_usd_per_mtok=0.0)


def backends(tenant: str | None, loads: dict[str, Load], **snapshot: Any) -> list[str]:
    """Who is asked, in order, for 1,000 tokens in and 1,000 out."""
    facts = Facts(tenant=tenant, input_tokens_estimate=1_000, output_tokens_max=1_000)
    plan = decide(POLICY, facts, Snapshot(loads=loads, **snapshot))
    assert isinstance(plan, Plan)
    return [one.candidate.backend.name for one in plan.kept]


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(None, id="nothing-known"),
        pytest.param(Load(in_flight=3), id="not-measured"),
        pytest.param(ROOM, id="room"),
    ],
)
def test_own_machines_with_room_go_first_whatever_their_price(load: Load | None) -> None:
    """They are paid already; as long as nothing says that they are full they are taken to have room."""
    assert backends(None, {} if load is None else {"own": load}) == ["own", "cheap", "dear"]


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(full=True), id="at-its-capacity"),
        pytest.param(
            Load(marginal_usd_per_mtok=0.0, saturated="9 wait in its queue"), id="saturated"
        ),
        pytest.param(Load(marginal_usd_per_mtok=0.0, stale=True), id="stale"),
    ],
)
def test_a_full_machine_goes_behind_who_has_a_price(load: Load) -> None:
    """And before one that has none: its cost nobody knows at all."""
    assert backends(None, {"own": load}) == ["cheap", "dear", "own"]
    assert backends("odd", {"own": load}) == ["own", "dear"]


def test_equal_machines_are_asked_by_load() -> None:
    """Two that add nothing; `on` keeps its order."""
    assert backends("replicas", {"own": ROOM, "two": ROOM}) == ["own", "two"]
    assert backends("replicas", {"own": ROOM, "two": ROOM}, in_flight={"own": 2}) == ["two", "own"]
    assert backends("replicas", {"own": Load(full=True), "two": ROOM}) == ["two", "own"]
    assert backends("on", {"own": ROOM, "two": ROOM}, in_flight={"two": 2}) == ["two", "own"]


@pytest.mark.parametrize(
    ("usd_per_mtok", "expected"),
    [
        pytest.param(None, ["rented", "cheap"], id="not-known-yet"),
        pytest.param(1.4, ["rented", "cheap"], id="below-the-api"),
        pytest.param(1.6, ["cheap", "rented"], id="above-the-api"),
    ],
)
def test_an_elastic_machine_is_compared_by_what_a_token_on_it_costs(
    usd_per_mtok: float | None, expected: list[str]
) -> None:
    """The API asks 0.003 USD for 1,000 tokens each way: 1.5 USD per million. Not known: it is tried."""
    assert backends("elastic", {"rented": Load(marginal_usd_per_mtok=usd_per_mtok)}) == expected


def test_the_backends_whose_room_decides_are_watched() -> None:
    """Their load is looked at like that of those whom overflows leave; and the reason says so."""
    assert POLICY.loaded == {"own", "two", "rented"}
    assert POLICY.balances
    plan = decide(POLICY, Facts(), Snapshot())
    assert isinstance(plan, Plan)
    assert plan.kept[0].reason == (
        "route 'default', all models of the route (use); what adds least to the bill first, "
        "own machines while they have room"
    )
