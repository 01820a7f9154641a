"""A state of the world that people write down, and who would answer in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Latency, Snapshot
from hybridllm._core.decide.world import MONDAY_NOON, Answering, World, ending
from hybridllm._core.request.facts import Facts

TEXT = """
version: 1
backends:
  a: {kind: api, base_url: "https://a.test/v1"}
  b: {kind: api, base_url: "https://b.test/v1"}
  c: {kind: api, base_url: "https://c.test/v1"}
models:
  m: {on: {a: m, b: m}}
  n: {on: {b: n, c: n}}
  Org/O: {on: {a: o}}
routes:
  - {name: only-m, when: {task: m}, use: [m]}
  - {name: all, use: [m], fallbacks: [n]}
retries: RETRIES
"""


def answering(plan: Plan, world: World) -> Answering | None:
    """Who answers; None: the route is exhausted."""
    found = ending(plan, world)
    assert isinstance(found, Answering) or found == "route_exhausted"
    return found if isinstance(found, Answering) else None


def plan_of(retries: str = "{}", **facts: Any) -> Plan:
    policy = load_policy_text(TEXT.replace("RETRIES", retries), environ={})[0]
    plan = decide(policy, Facts(**facts), World().snapshot(policy, Facts()))
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize(
    ("down", "answers"),
    [
        ("", "a/m primary"),
        ("b", "a/m primary"),
        ("ab", "c/n fallback"),  # `n` is not the model that was meant
        ("a", "b/m failover"),
        ("ac", "b/m failover"),
        ("abc", None),
    ],
)
def test_who_is_down_is_passed_by_as_a_request_would(down: str, answers: str | None) -> None:
    """Another backend of the model is a failover, another model a fallback; nobody is nobody.

    The reason is that of the attempt that answers, as the receipt has it: seen from the one before.
    """
    plan = plan_of()
    found = answering(plan, World(frozenset(down)))
    told = None if found is None else f"{plan.candidate_names[found.index]} {found.reason}"
    assert told == answers


@pytest.mark.parametrize(("attempts_max", "found"), [(1, None), (2, None), (3, None), (4, 3)])
def test_the_attempts_of_one_request_are_limited_here_too(
    attempts_max: int, found: int | None
) -> None:
    """`a/m`, `b/m` and `b/n` are down: the fourth attempt would be the one that is answered."""
    plan = plan_of(f"{{attempts_max: {attempts_max}}}")
    assert plan.candidate_names == ("a/m", "b/m", "b/n", "c/n")
    answers = answering(plan, World(frozenset("ab")))
    assert (answers and answers.index) == found


def test_a_first_attempt_at_a_fallback_is_one() -> None:
    """Residency or size may leave only fallbacks; the reason says so."""
    plan = plan_of()
    left = Plan(plan.policy, plan.facts, plan.route, plan.kept[2:], ())
    found = answering(left, World())
    assert found is not None
    assert (found.index, found.reason.value) == (0, "fallback")


def test_a_world_is_well_idle_and_unmeasured_if_nothing_is_said() -> None:
    """At noon on a Monday."""
    policy = plan_of().policy
    assert World().snapshot(policy, Facts()) == Snapshot(now_utc=MONDAY_NOON)
    assert datetime(2026, 1, 5, 12, tzinfo=UTC) == MONDAY_NOON
    assert MONDAY_NOON.strftime("%a") == "Mon"


def test_load_time_and_chance_are_handed_on() -> None:
    """As they are."""
    now = datetime(2026, 12, 1, 9, tzinfo=UTC)
    world = World(frozenset(), {"a": 3}, {}, now, 0.5)
    assert world.snapshot(plan_of().policy, Facts()) == Snapshot({"a": 3}, {}, now, 0.5)


def test_what_a_backend_measures_holds_for_every_model_on_it() -> None:
    """What is said of one of them goes before it, percentile by percentile and figure by figure."""
    latency = {
        "a": Latency({50: 100.0, 90: 200.0}, {50: 1_000.0}),
        "a/m": Latency({90: 900.0}),
        "c/n": Latency({50: 7.0}),
    }
    found = World(latency=latency).snapshot(plan_of().policy, Facts()).latency
    assert found == {
        "a/m": Latency({50: 100.0, 90: 900.0}, {50: 1_000.0}),
        "a/Org/O": latency["a"],
        "c/n": latency["c/n"],
    }
