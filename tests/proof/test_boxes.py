"""Sets of requests as boxes: cut, merged and told once, they hold just the requests that they should."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from random import Random

import pytest

from hybridllm._core.policy.conditions import AnyOf, Not, Text, When
from hybridllm._core.proof.boxes import (
    Box,
    TooMany,
    as_test,
    cut,
    merged,
    narrowed,
    places_in,
    told_once,
)

CLASSES = (3, 2, 4)  # of each fact
WHOLE: Box = tuple((1 << count) - 1 for count in CLASSES)
Point = tuple[int, ...]


def points(boxes: Iterable[Box]) -> list[Point]:
    """Every combination of classes that lies in a box, as often as it does."""
    found: list[Point] = []
    for box in boxes:
        found += product(*([n for n in range(8) if classes >> n & 1] for classes in box))
    return sorted(found)


def leaf(place: int, classes: int) -> Text:
    return Text(f"{place}", frozenset({f"{classes}"}))


TABLE = {
    leaf(place, classes): (place, classes)
    for place, count in enumerate(CLASSES)
    for classes in range(1 << count)
}


def holds(when: When, point: Point) -> bool:
    """The meaning of conditions, in their own words."""
    return all(_met(condition, point) for condition in when.conditions)


def _met(condition: object, point: Point) -> bool:
    if isinstance(condition, Not):
        return not holds(condition.when, point)
    if isinstance(condition, AnyOf):
        return any(holds(one, point) for one in condition.whens)
    assert isinstance(condition, Text)
    place, classes = TABLE[condition]
    return bool(classes >> point[place] & 1)


def conditions(rng: Random, depth: int = 2) -> When:
    """Any conditions."""
    found: list[Text | Not | AnyOf] = [
        leaf(place, rng.randrange(1 << CLASSES[place]))
        for place in rng.sample(range(len(CLASSES)), rng.randint(0, 2))
    ]
    if depth and rng.random() < 0.5:
        found.append(Not(conditions(rng, depth - 1)))
    if depth and rng.random() < 0.5:
        found.append(AnyOf(tuple(conditions(rng, depth - 1) for _ in range(rng.randint(1, 3)))))
    return When(tuple(found))


def cases() -> Iterator[tuple[When, list[Box], list[Box]]]:
    rng = Random(3)
    for _ in range(300):
        when = conditions(rng)
        yield when, *cut([WHOLE], as_test(when, TABLE, WHOLE))


def test_conditions_cut_a_box_where_they_hold() -> None:
    """Every point is on one side, once, and on the right one."""
    for when, inside, outside in cases():
        expected = [point for point in points([WHOLE]) if holds(when, point)]
        assert points(inside) == expected
        assert sorted(points(inside) + points(outside)) == points([WHOLE])


def test_merged_boxes_hold_the_same_in_fewer() -> None:
    """A box that was cut and put together again is one box."""
    for _, inside, outside in cases():
        assert merged([*inside, *outside]) == [WHOLE] or len(inside) + len(outside) > 3
        assert points(merged(inside)) == points(inside)
        assert len(merged(inside)) <= len(inside)


def test_boxes_told_once_are_the_same_to_whoever_looks_at_some_facts() -> None:
    """Nothing else of them is lost: each is one of those that were there."""
    for _, inside, _ in cases():
        once = told_once(inside, (0, 2))
        assert {(p[0], p[2]) for p in points(once)} == {(p[0], p[2]) for p in points(inside)}
        assert set(once) <= set(inside)


def test_conditions_know_what_they_look_at() -> None:
    """However deep; conditions on one fact alone are one test, whatever `not` and `any` stand between."""
    either = AnyOf((When((leaf(0, 1),)), When((leaf(2, 3), leaf(0, 2)))))
    deep = When((Not(When((either,))),))
    assert places_in(as_test(deep, TABLE, WHOLE)) == {0, 2}
    flat = When((Not(When((leaf(2, 3),))), AnyOf((When((leaf(2, 4),)), When((leaf(2, 8),))))))
    assert as_test(flat, TABLE, WHOLE) == ((2, 12),)
    assert narrowed([WHOLE], 2, 12) == [(7, 3, 12)]


def test_what_cuts_into_too_many_boxes_is_given_up() -> None:
    """Rather than looked at for minutes."""
    count = 24
    whole: Box = (3,) * count
    table = {leaf(place, 1): (place, 1) for place in range(count)}
    pairs = tuple(When((leaf(n, 1), leaf(n + 1, 1))) for n in range(0, count, 2))
    with pytest.raises(TooMany):
        cut([whole], as_test(When((AnyOf(pairs),)), table, whole))
