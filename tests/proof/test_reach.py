"""What is reached: told exactly; where a policy is too tangled to follow, too much rather than too little."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from hybridllm._core.decide.decide import PINNED
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.proof.fold import matrix_of
from hybridllm._core.proof.matrix import ReachMatrix
from hybridllm._core.proof.reach import reach_of
from hybridllm._core.proof.taken import shares_of
from proof.policies import policy


def ways(matrix: ReachMatrix, tag: str | None, backend: str) -> set[tuple[str, str | None, Any]]:
    """(route, capability, task) of each way from a tag to a backend."""
    cell = matrix.row(tag).cell(backend)
    return {(way.route, way.capability, task) for way in cell.ways for task in way.tasks}


def test_a_matrix_tells_every_way() -> None:
    """Routes by task and capability; pinned models; and why there is none."""
    matrix = matrix_of(policy())
    assert [row.tag for row in matrix.rows] == ["public", "eu", "phi"]
    chat = {way for way in ways(matrix, "phi", "own") if way[1] is None}
    assert chat == {
        ("cheap", None, "classify"),
        ("default", None, None),
        ("default", None, "review"),
        *((PINNED, None, task) for task in (None, "classify", "review")),
    }
    assert ("default", "vision", None) in ways(matrix, "eu", "eu")
    assert not any(way[1] == "vision" for way in ways(matrix, "eu", "own"))
    cell = matrix.row("phi").cell("eu")
    assert (cell.allowed, cell.reason, cell.ways) == (False, "operator", ())
    assert cell.detail == "operator 'third_party' is not in [self] (residency 'phi')"
    assert matrix.exact
    with pytest.raises(KeyError):
        matrix.row(None)  # they carry the default


def test_a_request_without_a_tag_has_a_row_where_it_carries_none() -> None:
    """Neither denied nor under a default: it may go to every backend."""
    matrix = matrix_of(policy(default_residency=None))
    assert [row.tag for row in matrix.rows] == ["public", "eu", "phi", None]
    assert all(cell.allowed and cell.ways for cell in matrix.row(None).cells)
    denying = matrix_of(policy(default_residency="deny"))
    assert [row.tag for row in denying.rows] == ["public", "eu", "phi"]


def test_a_task_that_only_a_pattern_names_is_called_by_it() -> None:
    """And one that two patterns fit, by both."""
    routes = [
        {"name": "one", "when": {"task": "ext-*"}, "use": ["small"]},
        {"name": "two", "when": {"task": "*-x"}, "use": ["small"]},
    ]
    matrix = matrix_of(policy(routes=routes))
    tasks = {(route, task) for route, _, task in ways(matrix, "public", "us") if route != PINNED}
    assert tasks == {("one", "ext-*"), ("one", "*-x and ext-*"), ("two", "*-x")}
    (unserved,) = [one for one in matrix.unserved if one.capability is None]
    assert unserved.tasks == (None, "classify", "review")
    assert unserved.rules == ("no route matches",)


def test_a_session_that_keeps_tags_brings_them_together() -> None:
    """A row holds every request with its tag, with whatever others it comes."""
    tags = {"public": {}, "eu": {"regions": ["eu"], "taint": True}, "phi": {"operators": ["self"]}}
    routes = [
        {
            "name": "both",
            "when": {"residency": "eu", "not": {"residency": ["public"]}},
            "use": ["small"],
        },
        {"name": "default", "use": ["large"]},
    ]
    matrix = matrix_of(policy(residency=tags, routes=routes))
    assert "both" in matrix.row("phi").cell("own").routes  # in a session that keeps `eu`
    assert matrix.row("public").cell("own").routes == (PINNED,)
    assert matrix.row("public").cell("eu").routes == ("default", PINNED)


def test_what_a_smaller_request_may_do_counts() -> None:
    """Of all sizes that a route takes, the smallest, under contexts and ceilings."""
    routes = [
        {
            "name": "long",
            "when": {"input_tokens": {"gt": 8192}},
            "use": ["small"],
            "fallbacks": ["large"],
        },
        {"name": "short", "use": ["small"], "max_request_cost": 0.000001},
    ]
    matrix = matrix_of(policy(routes=routes))
    cell = matrix.row("public").cell("us")
    assert {way.route: way.models for way in cell.ways if way.capability is None} == {
        "long": ("large",),
        "short": ("small",),
        PINNED: ("small", "large"),
    }


def test_an_embedding_stays_in_its_space() -> None:
    """Each space that a caller may name is looked at."""
    on = {"us": "e", "own": "e"}
    models = {
        "small": {"on": {"eu": "s"}},
        "old": {"capabilities": ["embeddings"], "vector_space": "old", "on": {"us": "o"}},
        "new": {"capabilities": ["embeddings"], "vector_space": "new", "on": on},
    }
    routes = [
        {
            "name": "embed",
            "when": {"capability": "embeddings"},
            "use": ["old"],
            "fallbacks": ["new"],
        },
        {"name": "chat", "use": ["small"]},
    ]
    matrix = matrix_of(policy(models=models, routes=routes))
    assert {way[0] for way in ways(matrix, "phi", "own")} == {"embed", PINNED}
    assert matrix.row("eu").cell("eu").routes == ("chat", PINNED)
    made = policy(models=models, routes=routes)
    quick = reach_of(made, shares_of(made), thorough=False)
    spaces = {one.ask.space for one in quick.reached if one.route == "embed"}
    assert spaces == {None, "old", "new"}


TANGLED = [f"*{sign}*{sign}*{sign}*{sign}*" for sign in "abcdefgh"]


@pytest.mark.parametrize(
    ("when", "note"),
    [
        pytest.param({"tenant": TANGLED}, "the patterns for tenant are too many", id="patterns"),
        pytest.param(
            {"metadata": {"k": ["1*", "x"]}, "not": {"metadata": {"k": {"gte": 10}}}},
            "metadata.k is compared with patterns here and as a number there",
            id="patterns-and-numbers",
        ),
        pytest.param(
            {"any": [{"metadata": {f"a{n}": "x", f"b{n}": "x"}} for n in range(14)]},
            "cut requests into too many classes",
            id="alternatives",
        ),
    ],
)
def test_what_is_too_tangled_is_told_too_widely(when: dict[str, Any], note: str) -> None:
    """A route is then looked at as if everything came to it; nothing that happens is left out."""
    routes = [
        {"name": "tangled", "when": when | {"residency": "eu"}, "use": ["large"]},
        {"name": "default", "use": ["small"]},
    ]
    made = policy(routes=routes)
    matrix = matrix_of(made)
    assert not matrix.exact
    assert note in matrix.notes[0]
    assert "tangled" in matrix.row("eu").cell("eu").routes
    assert matrix.row("eu").cell("us").ways == ()  # a tag holds, whatever else is not known
    assert all(one.boxes for one in shares_of(made).taken)


def test_alternatives_that_do_not_touch_are_followed() -> None:
    """Routes that each look at two facts of their own leave one class behind, not many."""
    routes: list[dict[str, Any]] = [
        {"name": f"r{n}", "when": {"metadata": {f"a{n}": "x", f"b{n}": "x"}}, "use": ["small"]}
        for n in range(40)
    ]
    shares = shares_of(policy(routes=[*routes, {"name": "default", "use": ["small"]}]))
    assert not shares.notes
    assert all(one.exact and one.boxes for one in shares.taken)


def test_a_quick_look_decides_less_and_finds_the_same_routes() -> None:
    """While a policy is loaded, what can only reach less is left out."""
    made = policy()
    quick, thorough = (reach_of(made, shares_of(made), thorough=each) for each in (False, True))
    assert quick.decisions < thorough.decisions / 3
    found = [
        {
            (one.route, tag, kept.candidate.name)
            for one in reach.reached
            if isinstance(one.outcome, Plan) and one.route != PINNED
            for tag in one.tags
            for kept in one.outcome.kept
        }
        for reach in (quick, thorough)
    ]
    assert found[0] == found[1]


def test_a_policy_that_is_too_large_says_what_is_left_out() -> None:
    """What pinned models reach is looked at first, so that no backend is missing."""
    made = policy()
    reach = reach_of(made, shares_of(made), thorough=True, decisions_max=10)
    assert not reach.complete
    assert reach.notes == [
        "there are too many kinds of requests, so route 'cheap' and later ones are left out"
    ]
    assert {one.route for one in reach.reached} == {PINNED}


def large() -> Policy:
    """50 routes, 40 backends, 10 tags, 50 tasks, 20 models, and a few constraints."""
    regions = [f"region-{n}" for n in range(5)]
    backend = {"kind": "api", "operator": "self", "price": "free"}
    routes = [
        {
            "name": f"r{n}",
            "when": {"task": f"task-{n}"}
            if n % 5
            else {"residency": f"t{n // 6}", "tenant": f"x{n % 7}-*"},
            "use": [f"m{n % 20}", f"m{(n + 7) % 20}"],
            "fallbacks": [f"m{(n + 3) % 20}"],
        }
        for n in range(49)
    ]
    return policy(
        backends={
            f"b{n}": backend | {"base_url": f"https://b{n}.test/v1", "region": regions[n % 5]}
            for n in range(40)
        },
        models={
            f"m{n}": {"on": {f"b{(3 * n + k) % 40}": "w" for k in range(5)}} for n in range(20)
        },
        residency={"public": {}} | {f"t{n}": {"regions": regions[n % 4 :][:2]} for n in range(9)},
        tasks={f"task-{n}": {"residency": "t1"} if n % 10 == 3 else {} for n in range(50)},
        routes=[*routes, {"name": "default", "use": ["m0", "m1"]}],
        constraints=[
            {"name": f"c{n}", "when": {"tenant": f"x{n}-*"}, "allow": {"regions": [region]}}
            for n, region in enumerate(regions)
        ],
    )


def test_a_large_policy_is_proved_while_it_is_loaded() -> None:
    """In about a tenth of a second; ten times that here, because other work may go on."""
    made = large()
    started_s = time.process_time()
    shares = shares_of(made)
    reach = reach_of(made, shares, thorough=False)
    assert time.process_time() - started_s < 1.0
    assert not reach.notes
    assert reach.decisions < 1_000


def test_the_cost_grows_with_the_policy_and_not_with_the_product_of_its_facts() -> None:
    """Twelve facts of which each has many values: their combinations are beyond counting."""
    facts = [f"k{n}" for n in range(12)]
    routes: list[dict[str, Any]] = [
        {
            "name": f"{a}-{b}",
            "when": {"metadata": {a: [f"{a}{i}" for i in range(9)], b: "x"}},
            "use": ["small"],
        }
        for a, b in pairwise(facts)
    ]
    made = policy(routes=[*routes, {"name": "default", "use": ["large"]}])
    started_s = time.process_time()
    shares = shares_of(made)
    reach = reach_of(made, shares, thorough=False)
    assert time.process_time() - started_s < 2.0
    assert not reach.notes
    assert reach.decisions < 100
