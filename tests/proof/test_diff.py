"""Two policies compared: every class of requests that changes is told, and nothing that does not."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from math import prod
from random import Random
from typing import Any

import pytest

from counted import PartOf
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.proof.diff import PolicyDiff, diff_of
from hybridllm._core.request.facts import Facts
from hybridllm.errors import PolicyError
from proof import random_policies
from proof.policies import policy

ROUTES: list[dict[str, Any]] = [
    {"name": "cheap", "when": {"task": "classify"}, "use": ["small"]},
    {"name": "default", "use": ["small"], "fallbacks": ["large"]},
]


EVERYWHERE = {"us": "x", "eu": "x", "own": "x"}
MODELS = {"small": {"on": EVERYWHERE}, "large": {"on": EVERYWHERE, "context": "32K"}}


def changed(**sections: Any) -> PolicyDiff:
    """What changes from a small policy, in which every model can do the same, to one with other sections."""
    return diff_of(policy(models=MODELS), policy(**({"models": MODELS} | sections)))


def told(diff: PolicyDiff) -> list[tuple[tuple[str, ...], str | None, str | None]]:
    """(requests, old route, new route) of each change without a pinned model."""
    return [
        (one.requests, one.old.route, one.new.route) for one in diff.changes if one.model is None
    ]


def test_the_same_policy_changes_nothing() -> None:
    """Nor does one whose routes only look otherwise."""
    assert changed().same
    routes = deepcopy(ROUTES)
    routes[0]["when"] = {"any": [{"task": ["classify"]}, {"task": "classify", "tenant": "x"}]}
    assert changed(routes=routes).same


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param(
            [ROUTES[0] | {"when": {"task": "classify", "tenant": "acme-*"}}, ROUTES[1]],
            [(("task classify, tenant other than acme-*",), "cheap", "default")],
            id="narrower",
        ),
        pytest.param(
            [{"name": "beta", "when": {"tags": "beta", "stream": True}, "use": ["large"]}, *ROUTES],
            [
                (("task other than classify, as a stream, tags beta",), "default", "beta"),
                (("task classify, as a stream, tags beta",), "cheap", "beta"),
            ],
            id="a-route-before-all",
        ),
        pytest.param(
            [{"name": "long", "when": {"input_tokens": {"gte": "8K"}}, "use": ["large"]}, *ROUTES],
            [
                (("task other than classify, input tokens 8,192 or more",), "default", "long"),
                (("task classify, input tokens 8,192 or more",), "cheap", "long"),
            ],
            id="sizes",
        ),
        pytest.param(
            [{"name": "renamed", "when": {"task": "classify"}, "use": ["small"]}, ROUTES[1]],
            [(("task classify",), "cheap", "renamed")],
            id="another-name",
        ),
        pytest.param(
            [ROUTES[0] | {"mode": "observe"}, ROUTES[1]],
            [(("task classify",), "cheap", "default")],
            id="only-observed",
        ),
        pytest.param(ROUTES[:1], [(("task other than classify",), "default", None)], id="denied"),
    ],
)
def test_requests_that_take_another_route_are_told_by_what_matters(
    routes: list[dict[str, Any]], expected: list[tuple[tuple[str, ...], str, str | None]]
) -> None:
    """Tags that narrow both sides alike, and everything that is not looked at, are left out."""
    assert told(changed(routes=routes)) == expected


@pytest.mark.parametrize(
    ("use", "arranged"),
    [
        ({"use": ["large"]}, ["us/large, eu/large, own/large (by load)"]),
        (
            {"use": [{"model": "small", "on": ["own", "us"]}]},
            ["own/small, us/small (in this order)"],
        ),
        (
            {"use": [{"model": "small", "order_by": "price"}]},
            ["us/small, eu/small, own/small (by price)"],
        ),
        (
            {"use": [{"split": {"small": 70, "large": 30}, "sticky_by": "tenant"}]},
            [
                "us/small, eu/small, own/small, us/large, eu/large, own/large (split 70:30 by tenant)"
            ],
        ),
        (
            {"use": ["small"], "max_request_cost": 0.01},
            ["us/small, eu/small, own/small (by load) (up to 0.01 USD)"],
        ),
        (
            {"use": ["small"], "slo": {"ttft_ms": {"p90": 800}}},
            ["us/small, eu/small, own/small (by load)", "ttft p90 800 ms"],
        ),
    ],
)
def test_another_order_is_a_change(use: dict[str, Any], arranged: list[str]) -> None:
    """What orders candidates is told, not only who they are."""
    diff = changed(routes=[{"name": "cheap", "when": {"task": "classify"}} | use, ROUTES[1]])
    (change,) = [one for one in diff.changes if one.model is None]
    assert change.old.arranged == ("us/small, eu/small, own/small (by load)",)
    assert list(change.new.arranged) == arranged
    (requests,) = change.requests  # a tag that leaves one candidate leaves no order to change
    assert requests in ("task classify", "task classify, residency public, eu or none")


def test_what_a_tag_gains_is_told_apart() -> None:
    """With the requests that go there now, and with what was declared otherwise."""
    tags = {"public": {}, "eu": {"regions": ["eu", "us"]}, "phi": {"regions": ["eu"]}}
    diff = changed(residency=tags)
    assert [(one.tag, one.gained, one.lost) for one in diff.tags] == [
        ("eu", ("us",), ()),
        ("phi", ("eu",), ()),
    ]
    assert [(one.what, one.old, one.new) for one in diff.declared] == [
        ("residency eu: regions", "eu", "eu, us"),
        ("residency phi: operators", "self", None),
    ]
    assert (("task classify, residency eu",), "cheap", "cheap") in told(diff)
    assert {one.model for one in diff.changes} == {None, "small", "large"}


def test_names_that_one_policy_does_not_know() -> None:
    """A tag, a task, a model or a backend that comes or goes."""
    diff = changed(
        tasks={"classify": {"bucket": "bandwidth"}},
        residency={"public": {}, "phi": {"regions": ["eu"], "operators": ["self"], "taint": "30d"}},
        models={
            "small": {"context": "8K", "capabilities": ["tools"], "on": {"us": "s", "own": "s2"}}
        },
        routes=[ROUTES[0], {"name": "default", "use": ["small"]}],
    )
    what = {one.what: (one.old, one.new) for one in diff.declared}
    assert what["task review"] == ("declared", None)
    assert what["residency eu"] == ("declared", None)
    assert what["residency phi: taint"] == (None, "30 days")
    assert what["model large"] == ("declared", None)
    assert what["model small: on eu"][1] is None
    routes = {(old, new) for _, old, new in told(diff)}
    assert ("default", None) in routes  # an unknown tag, or task, is denied now
    lost = {one.tag: one.lost for one in diff.tags}
    assert lost["eu"] == ("eu", "own")


def test_a_session_that_keeps_a_tag_now_is_told() -> None:
    """It is no property of a request alone."""
    tags = {"public": {}, "eu": {"regions": ["eu"]}}
    kept = tags | {"eu": {"regions": ["eu"], "taint": True}}
    diff = diff_of(policy(residency=tags), policy(residency=kept))
    change = next(one for one in diff.changes if one.old.route == "cheap")
    assert change.requests == (
        "task classify, residency public or none, in a session that keeps eu",
    )
    assert change.old.candidates == ("us/small", "eu/small", "own/small")
    assert change.new.candidates == ("eu/small", "own/small")


def test_environments_are_those_of_the_policies() -> None:
    """A condition on the environment holds for all requests to a policy, or for none."""
    routes = [{"name": "there", "when": {"environment": "staging"}, "use": ["large"]}, *ROUTES]
    old, new = policy(routes=routes), policy(routes=routes, environment="staging")
    assert ("default", "there") in {(o, n) for _, o, n in told(diff_of(old, new))}
    assert told(diff_of(old, policy())) == []


def test_policies_that_are_too_tangled_are_compared_by_what_they_reach() -> None:
    """And it is said that requests were not."""
    tangled = [f"*{sign}*{sign}*{sign}*{sign}*" for sign in "abcdefgh"]
    diff = changed(routes=[{"name": "t", "when": {"tenant": tangled}, "use": ["large"]}, *ROUTES])
    assert diff.changes == ()
    assert "not compared one by one" in diff.notes[0]
    assert not diff.same


def test_it_is_ready_for_json() -> None:
    """With stable keys."""
    diff = changed(routes=[ROUTES[0], {"name": "default", "use": ["large"]}])
    facts = json.loads(json.dumps(diff.to_dict()))
    assert list(facts) == ["same", "old", "new", "changes", "tags", "declared", "notes"]
    (change,) = facts["changes"]
    assert change["requests"] == ["task other than classify"]
    assert change["new"]["candidates"] == ["us/large", "eu/large", "own/large"]
    assert change["old"]["denied_by"] is None


# Against counting out


def mutated(rng: Random, document: dict[str, Any]) -> dict[str, Any]:
    """The same policy with something else in one place."""
    other = deepcopy(document)
    routes, spare = other["routes"], random_policies.document(rng)
    kind = rng.randrange(6)
    if kind == 0:
        routes[rng.randrange(len(routes))] |= {"use": [rng.choice(("m0", "m1"))]}
    elif kind == 1 and len(routes) > 1:
        routes.pop(rng.randrange(len(routes)))
    elif kind == 2:
        rng.shuffle(routes)
    elif kind == 3:
        other["residency"] = spare["residency"]
    elif kind == 4:
        other["constraints"] = spare.get("constraints", [])
    else:
        routes.insert(0, spare["routes"][0] | {"name": "new"})
    return {section: content for section, content in other.items() if content}


def pairs(rng: Random) -> tuple[Policy, Policy]:
    """Two policies that differ in one place, and whose requests can be counted out."""
    while True:
        with suppress(PolicyError):
            document = random_policies.document(rng)
            texts = (json.dumps(one) for one in (document, mutated(rng, document)))
            old, new = (load_policy_text(text, environ={})[0] for text in texts)
            if (
                sum(prod(map(len, pool.values())) for pool in random_policies.pools(old, new))
                < 2_000
            ):
                return old, new


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_what_changes_is_what_counting_out_finds(first: int, part_of: PartOf) -> None:
    """Each pair of routes between which a request moves is told; of what stays, nothing is.

    Thirty pairs of policies with `--full`, nine without.
    """
    for seed in range(first, first + part_of(10, 0.3)):
        old, new = pairs(Random(seed))
        found = set()
        for facts, world in random_policies.requests(old, new):
            outcomes = [_outcome(one, facts, world) for one in (old, new)]
            if facts.environment == "production" and outcomes[0] != outcomes[1]:
                found.add((facts.model, *(route for route, _ in outcomes)))
        expected = {
            (one.model, *(None if side.rule else side.route for side in (one.old, one.new)))
            for one in diff_of(old, new).changes
        }
        assert found <= expected, seed
        hidden = {(model, a, b) for model, a, b in expected - found if a != b}
        assert not hidden, seed  # the same route may differ in what orders it


def _outcome(policy: Policy, facts: Facts, world: Snapshot) -> tuple[str | None, frozenset[str]]:
    keeping = {tag for tag, terms in policy.residency.items() if terms.taint_s is not None}
    kept = tuple(tag for tag in facts.taints if tag in keeping)
    own = Facts(
        **{name: getattr(facts, name) for name in Facts.__dataclass_fields__} | {"taints": kept}
    )
    plan = decide(policy, own, world)
    return (
        (plan.route, frozenset(plan.candidate_names))
        if isinstance(plan, Plan)
        else (None, frozenset())
    )
