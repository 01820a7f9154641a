"""Which requests each route takes, and what is left to the next one: as boxes, before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hybridllm._core.policy.compiled import Policy, Route
from hybridllm._core.policy.conditions import ALWAYS, When
from hybridllm._core.proof.atoms import Entangled
from hybridllm._core.proof.boxes import (
    Box,
    Test,
    TooMany,
    as_test,
    cut,
    places_in,
    told_once,
)
from hybridllm._core.proof.space import ASK_AT, ENVIRONMENT, WHO_AT, Space, View, space_of


class Taken(NamedTuple):
    """The requests that a route takes, in any environment.

    Attributes:
        route: One in `mode: observe` takes what it would take, and leaves it to the next.
        boxes: None at all: no request ever comes to it.
        exact: False if some of them may go to an earlier route.
    """

    route: Route
    boxes: list[Box]
    exact: bool


class Shares(NamedTuple):
    """All requests there can be, dealt out to the routes.

    Attributes:
        tests: The conditions of each route, as boxes are cut by them.
        constraints: Those that are enforced, with their numbers in the policy.
        taken: Route by route.
        left: Requests that no route takes.
        blind: True if conditions are not looked at, because values that they tell apart cannot be found.
        notes: Why more may be told than can happen; none: all of it is exact.
    """

    space: Space
    tests: tuple[Test, ...]
    constraints: tuple[tuple[int, Test], ...]
    taken: tuple[Taken, ...]
    left: list[Box]
    blind: bool
    notes: tuple[str, ...]

    @property
    def view(self) -> View:
        """The space as the policy sees it."""
        return self.space.views[0]

    def test(self, when: When) -> Test:
        """Return conditions of the policy as boxes are cut by them."""
        return as_test(when, self.view.table, self.view.whole)


def shares_of(policy: Policy) -> Shares:
    """Deal out all requests to the routes of a policy."""
    notes: list[str] = []
    blind = False
    try:
        space = space_of(policy)
    except Entangled as error:
        blind = True
        notes.append(f"{error}, so every route is looked at as if any request could come to it")
        space = space_of(_without_conditions(policy))
    if space.who.pairs_only:
        notes.append("of the tags that sessions keep, two at once were looked at and not more")
    view = space.views[0]
    if blind:
        everything = [view.whole] if all(view.whole) else []
        taken = tuple(Taken(route, everything, exact=False) for route in policy.routes)
        return Shares(space, (), (), taken, [], blind, tuple(notes))
    tests = tuple(as_test(route.when, view.table, view.whole) for route in policy.routes)
    constraints = tuple(
        (number, as_test(one.when, view.table, view.whole))
        for number, one in enumerate(policy.constraints)
        if not one.observe
    )
    always = _places(space, [test for _, test in constraints])
    taken_in_turn, left = dealt(view, policy.routes, tests, always=always)
    blurred = next((one.route.name for one in taken_in_turn if not one.exact), None)
    if blurred is not None:
        notes.append(
            f"the conditions up to route {blurred!r} cut requests into too many classes: from there on, a "
            "route is looked at as if no earlier one took anything from it"
        )
    return Shares(space, tests, constraints, taken_in_turn, left, blind, tuple(notes))


def dealt(
    view: View, routes: Sequence[Route], tests: Sequence[Test], *, always: frozenset[int]
) -> tuple[tuple[Taken, ...], list[Box]]:
    """Return what each route takes of all requests, and what is left.

    Args:
        view: The space, as the policy sees it.
        routes: In order.
        tests: Of each.
        always: Places of facts that somebody looks at later, besides the routes.
    """
    left = [view.whole] if all(view.whole) else []
    exact = True
    taken = []
    later = [always.union(*map(places_in, tests[number + 1 :])) for number in range(len(tests))]
    for route, test, looked_at in zip(routes, tests, later, strict=True):
        try:
            inside, outside = cut(left, test)
        except TooMany:
            exact, left = False, [view.whole]
            inside, outside = _roughly(view.whole, test)
        taken.append(Taken(route, inside, exact))
        if exact and not route.observe:
            left = told_once(outside, looked_at)
    return tuple(taken), left


def _roughly(whole: Box, test: Test) -> tuple[list[Box], list[Box]]:
    try:
        return cut([whole], test)
    except TooMany:
        return [whole], [whole]


def _places(space: Space, tests: Sequence[Test]) -> frozenset[int]:
    """Return the places that matter to whoever takes boxes further."""
    perhaps = (WHO_AT, ASK_AT, space.place(ENVIRONMENT), space.place("input_tokens"))
    own = frozenset(place for place in perhaps if place is not None)
    return own.union(*map(places_in, tests))


def _without_conditions(policy: Policy) -> Policy:
    routes = tuple(replace(route, when=ALWAYS) for route in policy.routes)
    return replace(policy, routes=routes, constraints=(), memo={})
