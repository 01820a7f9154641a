"""Sets of requests as boxes: for each fact, a set of its classes. Cut by conditions, never counted out.

A box holds every request whose facts are all in its sets. Conditions cut a box into boxes for which they
hold and boxes for which they do not; so what a route takes, and what it leaves to the next, is known
without looking at a single request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hybridllm._core.policy.conditions import AnyOf, Condition, Leaf, Not, When

BOXES_MAX = 2_000
"""Of one set of requests; conditions that cut it into more are not followed."""

Box = tuple[int, ...]
Table = Mapping[Leaf, tuple[int, int]]
"""Where a condition holds: the place of its fact in a box, and the classes."""


class TooMany(Exception):
    """Conditions cut requests into too many boxes."""


class Within(NamedTuple):
    """A fact is in one of these classes."""

    place: int
    classes: int


class Neither(NamedTuple):
    """What it holds does not hold."""

    test: Test


class Either(NamedTuple):
    """One of those that it holds does."""

    tests: tuple[Test, ...]


Test = tuple["Within | Neither | Either", ...]
"""Conditions as boxes are cut by them; all must hold."""


def as_test(when: When, table: Table, whole: Box) -> Test:
    """Return conditions as tests; those on one fact are one."""
    within: dict[int, int] = {}
    rest: list[Within | Neither | Either] = []
    for condition in when.conditions:
        test = _test(condition, table, whole)
        if isinstance(test, Within):
            within[test.place] = within.get(test.place, whole[test.place]) & test.classes
        else:
            rest.append(test)
    return (*(Within(place, classes) for place, classes in within.items()), *rest)


def _test(condition: Condition, table: Table, whole: Box) -> Within | Neither | Either:
    if isinstance(condition, Not):
        inner = as_test(condition.when, table, whole)
        if len(inner) == 1 and isinstance(inner[0], Within):
            place = inner[0].place
            return Within(place, whole[place] & ~inner[0].classes)
        return Neither(inner)
    if isinstance(condition, AnyOf):
        tests = tuple(as_test(one, table, whole) for one in condition.whens)
        merged = _one_fact(tests)
        return merged if merged is not None else Either(tests)
    place, classes = table[condition]
    return Within(place, classes)


def _one_fact(tests: tuple[Test, ...]) -> Within | None:
    """Return alternatives as one test, if each looks at the same fact alone."""
    classes = 0
    places = set()
    for test in tests:
        if len(test) != 1 or not isinstance(test[0], Within):
            return None
        places.add(test[0].place)
        classes |= test[0].classes
    return Within(places.pop(), classes) if len(places) == 1 else None


def places_in(test: Test) -> frozenset[int]:
    """Return the places of the facts that conditions look at."""
    found: set[int] = set()
    for one in test:
        if isinstance(one, Within):
            found.add(one.place)
        elif isinstance(one, Neither):
            found |= places_in(one.test)
        else:
            found.update(*map(places_in, one.tests))
    return frozenset(found)


def cut(boxes: Iterable[Box], test: Test) -> tuple[list[Box], list[Box]]:
    """Return boxes for which conditions hold, and boxes for which they do not.

    Raises:
        TooMany: If there are.
    """
    inside = list(boxes)
    outside: list[Box] = []
    for one in test:
        if isinstance(one, Within):
            inside = _within(inside, one, outside)
        elif isinstance(one, Neither):
            met, inside = cut(inside, one.test)
            outside += met
        else:
            met = []
            for alternative in one.tests:
                more, inside = cut(inside, alternative)
                met += more
            outside += inside
            inside = met
        if len(inside) + len(outside) > BOXES_MAX:
            raise TooMany
        if not inside:
            break
    return inside, outside


def _within(boxes: list[Box], test: Within, outside: list[Box]) -> list[Box]:
    place, classes = test.place, test.classes
    inside = []
    for box in boxes:
        had = box[place]
        met = had & classes
        if met == had:
            inside.append(box)
        elif not met:
            outside.append(box)
        else:
            inside.append((*box[:place], met, *box[place + 1 :]))
            outside.append((*box[:place], had & ~classes, *box[place + 1 :]))
    return inside


def narrowed(boxes: Iterable[Box], place: int, classes: int) -> list[Box]:
    """Return what of boxes lies within some classes of a fact."""
    return _within(list(boxes), Within(place, classes), [])


def told_once(boxes: Iterable[Box], places: Iterable[int]) -> list[Box]:
    """Return boxes without those that are the same to whoever looks at some facts only."""
    places = tuple(places)
    found: dict[Box, Box] = {}
    for box in boxes:
        found.setdefault(tuple([box[place] for place in places]), box)
    return list(found.values())


def merged(boxes: Iterable[Box]) -> list[Box]:
    """Return the same requests in fewer boxes: two that differ in one fact only are one."""
    found = list(boxes)
    before = 0
    while len(found) > 1 and len(found) != before:
        before = len(found)
        for place in range(len(found[0])):
            alike: dict[Box, int] = {}
            for box in found:
                rest = (*box[:place], *box[place + 1 :])
                alike[rest] = alike.get(rest, 0) | box[place]
            found = [(*rest[:place], classes, *rest[place:]) for rest, classes in alike.items()]
    return found
