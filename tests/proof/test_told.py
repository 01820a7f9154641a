"""What the proof tells the author of a policy while it is loaded, and what it keeps to itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from proof.policies import warnings

SMALL = ["small"]
LAST = {"name": "last", "use": SMALL}


def told(**sections: Any) -> dict[str, str]:
    """Path -> message of each warning."""
    return {one.path: one.message for one in warnings(**sections)}


def routes(*whens: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Routes r0, r1, ... with these conditions."""
    return [
        {"name": f"r{number}", "use": SMALL} | ({} if when is None else {"when": when})
        for number, when in enumerate(whens)
    ]


def test_a_good_policy_is_told_nothing() -> None:
    """Doubts that nobody needs make people look away."""
    assert warnings() == ()


@pytest.mark.parametrize(
    ("whens", "path", "message"),
    [
        pytest.param(
            [{"task": "classify"}, {"not": {"task": "classify"}}, None],
            "routes[2]",
            "route 'r2' is never reached: earlier routes together take every request that it would take: "
            "'r0' (line N), 'r1' (line N)",
            id="together",
        ),
        pytest.param(
            [{"tenant": "a"}, {"task": "classify", "not": {"task": ["classify", "review"]}}, None],
            "routes[1]",
            "route 'r1' is never reached: its conditions exclude each other",
            id="against-itself",
        ),
        pytest.param(
            [{"capability": "embeddings", "stream": True}, None],
            "routes[0]",
            "route 'r0' is never reached: its conditions exclude each other",
            id="embeddings-are-no-stream",
        ),
        pytest.param(
            [{"not": {"any": [{"tenant": "*"}, {"not": {"tenant": "*"}}]}}, None],
            "routes[0]",
            "route 'r0' is never reached: no request fits its condition",
            id="nothing-at-all",
        ),
        pytest.param(
            [{"tenant": ["a", "b"]}, None, {"tenant": "b"}],
            "routes[2]",
            "route 'r2' is never reached: 'r0' (line N) takes every request that it would take",
            id="the-first-of-those-that-cover-it",
        ),
    ],
)
def test_a_route_that_is_never_reached(whens: list[Any], path: str, message: str) -> None:
    """And why: one route before it, several together, or its own conditions."""
    found = told(routes=routes(*whens))
    assert list(found) == [path]
    assert message in re.sub(r"line \d+", "line N", found[path])


def test_a_condition_that_is_doubted_already_is_not_told_again() -> None:
    """No task is in the bucket: its own line says so."""
    found = told(routes=routes({"bucket": "flagship"}, None))
    assert all("never reached" not in message for message in found.values())
    assert any(path.startswith("routes[0].when.bucket") for path in found)


def test_every_route_before_one_without_conditions_is_a_matter_of_its_own() -> None:
    """A route for another environment is not dead: the same file runs there."""
    assert told(routes=routes({"environment": "staging"}, {"environment": "prod*"}, None)) == {}


@pytest.mark.parametrize(
    ("sections", "path", "words"),
    [
        pytest.param(
            {"routes": [{"name": "r0", "when": {"residency": "phi"}, "use": ["large"]}, LAST]},
            "routes[0]",
            "route 'r0' has nobody to ask in environment 'production': every request that it takes is denied "
            "(residency 'phi')",
            id="route-without-anybody",
        ),
        pytest.param(
            {"routes": [{"name": "r0", "when": {"task": "review"}, "use": ["large"]}, LAST]},
            "residency.phi",
            "nothing serves requests with tag 'phi' of task 'review': residency 'phi' leaves nobody on route "
            "'r0'; if that is meant, say so with a test that expects error: policy_denied",
            id="task-with-one-tag",
        ),
        pytest.param(
            {"routes": routes({"task": "classify"}, {"tenant": "a", "task": "review"})},
            None,
            "",
            id="somebody-is-served",
        ),
        pytest.param(
            {"routes": routes({"task": "classify"})},
            "tasks.review",
            "nothing serves task 'review', whatever its residency tag: no route takes them",
            id="task-without-a-route",
        ),
        pytest.param(
            {"constraints": [
                {"name": "c", "when": {"tenant": "a", "not": {"tenant": "a*"}}, "deny": {"models": SMALL}},
            ]},
            "constraints[0]",
            "constraint 'c' never holds: its conditions exclude each other",
            id="constraint-that-never-holds",
        ),
        pytest.param(
            {
                "routes": routes({"tenant": "a"}, None),
                "models": {"small": {"on": {"us": "s", "own": "s"}}, "large": {"on": {"eu": "l"}}},
                "constraints": [{"name": "c", "when": {"tenant": "a"}, "allow": {"models": ["large"]}}],
            },
            "constraints[0]",
            "constraint 'c' leaves nobody to ask on route 'r0': every request that it holds for is denied",
            id="constraint-that-leaves-nobody",
        ),
    ],
)  # fmt: skip
def test_who_is_never_served_is_told_at_its_place(
    sections: dict[str, Any], path: str | None, words: str
) -> None:
    """Once, with the rule that denies."""
    found = told(**sections)
    found.pop("models.large", None)
    if path is None:
        assert found == {}
    else:
        assert words in found[path]


def test_a_gap_between_many_tags_and_tasks_is_told_once_a_tag() -> None:
    """Not once for each of their combinations."""
    tags = {"public": {}} | {f"t{n}": {"operators": ["self"]} for n in range(4)}
    tasks: dict[str, Any] = {f"k{n}": {} for n in range(9)}
    found = warnings(
        residency=tags,
        tasks=tasks,
        routes=[{"name": "all", "when": {"task": "k*"}, "use": ["large"]}, LAST],
    )
    assert [one.path for one in found] == [f"residency.t{n}" for n in range(4)]
    assert "'k0', 'k1', 'k2', 'k3', 'k4', 'k5' and 3 more" in found[0].message


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"task": "review", "residency": "phi"}, 0),
        ({"task": "review", "residency": "phi", "model": "large"}, 1),
    ],
)
def test_who_is_denied_on_purpose_says_so_with_a_test(given: dict[str, str], count: int) -> None:
    """A test that pins a model says nothing of routes."""
    made = [{"name": "r0", "when": {"task": "review"}, "use": ["large"]}, LAST]
    found = warnings(routes=made, tests=[{"given": given, "expect": {"error": "policy_denied"}}])
    assert len(found) == count


def test_a_tag_that_nobody_may_serve_is_told_once() -> None:
    """By the doubt about the tag; not again for every route and task."""
    found = warnings(residency={"public": {}, "phi": {"regions": ["us"], "retention": ["none"]}})
    assert [one.path for one in found] == ["residency.phi"]


def test_conditions_that_cannot_be_followed_are_told() -> None:
    """The proof still holds, and says what it could not look at."""
    tangled = [f"*{sign}*{sign}*{sign}*{sign}*" for sign in "abcdefgh"]
    found = told(routes=routes({"tenant": tangled}, None))
    assert "the patterns for tenant are too many and too entangled" in found["routes"]


def test_a_policy_that_denies_everything_is_told_so() -> None:
    """A tag is wanted, and none is declared."""
    found = told(residency=None, default_residency="deny")
    assert "every request is denied" in found["default_residency"]
    assert len(found) == 1
