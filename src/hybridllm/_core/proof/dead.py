"""Routes and constraints that no request ever meets, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hybridllm._core.policy.compiled import Constraint, Route
from hybridllm._core.policy.conditions import When, when_text
from hybridllm._core.proof.boxes import Box, TooMany, cut
from hybridllm._core.proof.taken import Shares

NO_REQUEST_FITS = "no request fits its condition"
_NAMES_SHOWN_MAX = 5


def why_never_reached(shares: Shares, number: int) -> str:
    """Return why a route that takes nothing is never reached, in words.

    Args:
        shares: In which it takes nothing.
        number: Of the route, from 0.
    """
    routes = [one.route for one in shares.taken]
    try:
        wanted, _ = cut([shares.view.whole], shares.tests[number])
        if not wanted:
            return _no_request_fits(shares, routes[number].when)
        earlier = [place for place in range(number) if not routes[place].observe]
        for place in earlier:
            if not cut(wanted, shares.tests[place])[1]:
                return f"{_named(routes[place])} takes every request that it would take"
        together = _takers(wanted, shares, earlier)
    except TooMany:
        return "earlier routes together take every request that it would take"
    names = ", ".join(_named(routes[place]) for place in together[:_NAMES_SHOWN_MAX])
    more = len(together) - _NAMES_SHOWN_MAX
    names += f" and {more} more" if more > 0 else ""
    return f"earlier routes together take every request that it would take: {names}"


def never_holds(shares: Shares) -> dict[int, str]:
    """Return the numbers of constraints that hold for no request, each with the reason."""
    view = shares.view
    found = {}
    for number, constraint in enumerate(shares.view.policy.constraints):
        try:
            if not cut([view.whole], shares.test(constraint.when))[0]:
                found[number] = _no_request_fits(shares, constraint.when)
        except TooMany:
            continue
    return found


def takers_of(shares: Shares, constraint: Constraint) -> tuple[Route, ...]:
    """Return the routes to which requests come that a constraint holds for."""
    test = shares.test(constraint.when)
    found = []
    for one in shares.taken:
        try:
            meets = bool(cut(one.boxes, test)[0])
        except TooMany:
            meets = True
        if meets and not one.route.observe:
            found.append(one.route)
    return tuple(found)


def _takers(wanted: Iterable[Box], shares: Shares, earlier: Sequence[int]) -> list[int]:
    """Return those of earlier routes that take something of what is wanted."""
    found, left = [], list(wanted)
    for place in earlier:
        inside, left = cut(left, shares.tests[place])
        if inside:
            found.append(place)
    return found


def _no_request_fits(shares: Shares, when: When) -> str:
    for condition in when.conditions:
        alone = When((condition,))
        if not cut([shares.view.whole], shares.test(alone))[0]:
            return f"{NO_REQUEST_FITS} {when_text(alone)!r}"
    return "its conditions exclude each other"


def _named(route: Route) -> str:
    return f"{route.name!r} (line {route.line})"
