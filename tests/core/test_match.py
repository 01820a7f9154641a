"""Which route applies: the first whose every condition holds."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm._core.decide.match import route_for
from hybridllm._core.policy.compiled import Route, When


def route(name: str, **when: set[str]) -> Route:
    return Route(name, When(**{field: frozenset(values) for field, values in when.items()}), ())


def found(routes: list[Route], **facts: Any) -> str | None:
    given = {"task": None, "residency": (), "tenant": None, "environment": ""} | facts
    route = route_for(routes, **given)
    return route.name if route is not None else None


LAST = route("last")


@pytest.mark.parametrize(
    ("when", "facts", "holds"),
    [
        pytest.param({"task": {"a"}}, {"task": "a"}, True, id="name"),
        pytest.param({"task": {"a"}}, {"task": "b"}, False, id="another-name"),
        pytest.param({"task": {"a", "b"}}, {"task": "b"}, True, id="one-of-two"),
        pytest.param({"task": {"a"}}, {}, False, id="not-given"),
        pytest.param({"task": {"*"}}, {}, False, id="star-wants-something"),
        pytest.param({"task": {"*"}}, {"task": "x"}, True, id="star"),
        pytest.param({"tenant": {"acme-*"}}, {"tenant": "acme-eu"}, True, id="glob"),
        pytest.param({"tenant": {"acme-*"}}, {"tenant": "acme"}, False, id="glob-wants-the-dash"),
        pytest.param({"tenant": {"acme-?"}}, {"tenant": "acme-1"}, True, id="question-mark"),
        pytest.param({"tenant": {"acme-?"}}, {"tenant": "acme-12"}, False, id="one-character"),
        pytest.param({"tenant": {"[ab]*"}}, {"tenant": "beta"}, True, id="class"),
        pytest.param({"tenant": {"acme"}}, {"tenant": "ACME"}, False, id="case-matters"),
        pytest.param({"tenant": {"acme"}}, {"tenant": "acme "}, False, id="blank-matters"),
        pytest.param({"tenant": {"a*"}}, {"tenant": "a\nb"}, True, id="newline-is-a-character"),
        pytest.param({"residency": {"eu"}}, {"residency": ("eu",)}, True, id="tag"),
        pytest.param({"residency": {"phi"}}, {"residency": ("eu", "phi")}, True, id="either-tag"),
        pytest.param({"residency": {"eu"}}, {"residency": ()}, False, id="no-tag"),
        pytest.param({"environment": {"prod*"}}, {"environment": "production"}, True, id="env"),
        pytest.param({"environment": {"prod"}}, {"environment": ""}, False, id="no-env"),
        pytest.param(
            {"task": {"a"}, "tenant": {"t"}}, {"task": "a", "tenant": "t"}, True, id="both"
        ),
        pytest.param({"task": {"a"}, "tenant": {"t"}}, {"task": "a"}, False, id="one-of-both"),
    ],
)
def test_a_condition_holds_or_not(when: Any, facts: Any, holds: bool) -> None:
    """Names and globs, in their own case; every condition must hold."""
    assert found([route("first", **when), LAST], **facts) == ("first" if holds else "last")


def test_the_first_that_fits_decides() -> None:
    """Order is the whole rule: a later route may fit better, and is not asked."""
    routes = [route("one", task={"a", "b"}), route("two", task={"a"}), LAST]
    assert found(routes, task="a") == "one"
    assert found(routes[1:], task="a") == "two"
    assert found(routes, task="c") == "last"
    assert found(routes[:2], task="c") is None
