"""A fact of a request, cut into classes of values that no condition of a policy tells apart.

Facts have any number of values; conditions name a few of them. So every fact falls into finitely many
classes, and one value of each stands for all of it. Values are proposed here; which conditions hold for
them is asked of `decide/match.py`, which production asks too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from math import ceil, floor
from typing import Any, NamedTuple

from hybridllm._core.decide.match import Subject, holds
from hybridllm._core.decide.snapshot import EPOCH
from hybridllm._core.policy.conditions import METADATA, Hours, Leaf, Number, Text, When, when_text
from hybridllm._core.proof.globs import is_glob, texts_for
from hybridllm._core.proof.hours import instants_for
from hybridllm._core.request.facts import Facts

SETS_MAX = 512

NONE = "none"
OTHER = "any other"


class Entangled(Exception):
    """Values that conditions on a fact tell apart cannot be found; the message says of which fact."""


class Axis(NamedTuple):
    """A fact, class by class. A set of its classes is a number with a bit for each.

    Attributes:
        fact: As conditions call it.
        values: One of each class.
        labels: What the values of a class are called, each class by its own.
    """

    fact: str
    values: tuple[Any, ...]
    labels: tuple[tuple[str, ...], ...]

    @property
    def whole(self) -> int:
        """All classes."""
        return (1 << len(self.values)) - 1


Bits = dict[Leaf, int]
"""In which classes of its fact a condition holds."""


def cut(fact: str, leaves: Sequence[Leaf], *, first: str | None = None) -> tuple[Axis, Bits]:
    """Return a fact's classes, and in which of them each condition on it holds.

    Args:
        fact: What it is called.
        leaves: All conditions on it.
        first: A value that stands for its own class, whoever else is in it.

    Raises:
        Entangled: If there is no telling.
    """
    if fact == "tags":
        return _cut_sets(leaves)
    proposed = _proposed(fact, leaves)
    if first is not None:
        proposed = [(first, first), *proposed]
    subjects = ((value, label, _subject(fact, value)) for value, label in proposed)
    axis, bits = _classes(fact, leaves, subjects)
    return (_told_by_windows(axis, bits) if fact == "time" else axis), bits


def _classes(
    fact: str, leaves: Sequence[Leaf], proposed: Iterable[tuple[Any, str, Subject]]
) -> tuple[Axis, Bits]:
    """Keep one value of each class; the others only give it their names."""
    alone = [When((leaf,)) for leaf in leaves]
    values: list[Any] = []
    labels: list[list[str]] = []
    places: dict[tuple[bool, ...], int] = {}
    for value, label, subject in proposed:
        truths = tuple([holds(when, subject) for when in alone])
        place = places.setdefault(truths, len(places))
        if place == len(values):
            values.append(value)
            labels.append([])
        if label not in labels[place]:
            labels[place].append(label)
    bits = {
        leaf: sum(1 << place for truths, place in places.items() if truths[number])
        for number, leaf in enumerate(leaves)
    }
    return Axis(fact, tuple(values), tuple(map(tuple, labels))), bits


def _told_by_windows(axis: Axis, bits: Bits) -> Axis:
    """Name classes of points in time after the windows that are open then."""
    labels = []
    for place in range(len(axis.values)):
        open_then = [when_text(When((leaf,))) for leaf, where in bits.items() if where >> place & 1]
        labels.append((" and ".join(one.removeprefix("time ") for one in open_then) or OTHER,))
    return Axis(axis.fact, axis.values, tuple(labels))


def text_labels(texts: Iterable[str], patterns: Iterable[str]) -> list[tuple[str, str]]:
    """Return texts, each with the patterns that it stands for, in words."""
    patterns = sorted(patterns)
    names = {pattern for pattern in patterns if not is_glob(pattern)}
    globs = [pattern for pattern in patterns if is_glob(pattern)]
    told = []
    for text in texts:
        fitting = [glob for glob in globs if fnmatchcase(text, glob)]
        told.append((text, text if text in names else " and ".join(fitting) or OTHER))
    return told


def texts_of_patterns(fact: str, patterns: Iterable[str]) -> tuple[str, ...]:
    """Return texts for every way to fit some of the patterns.

    Raises:
        Entangled: If there is no telling.
    """
    texts = texts_for(sorted(patterns))
    if texts is None:
        raise Entangled(f"the patterns for {fact} are too many and too entangled")
    return texts


def _proposed(fact: str, leaves: Sequence[Leaf]) -> list[tuple[Any, str]]:
    if fact == "time":
        windows = [leaf for leaf in leaves if isinstance(leaf, Hours)]
        return [(at, "") for at in instants_for(windows)]
    if fact == "input_tokens":
        sizes = _sizes(leaves)
        ends = [f"to {size - 1:,}" for size in sizes[1:]] + ["or more"]
        return [(size, f"{size:,} {end}") for size, end in zip(sizes, ends, strict=True)]
    patterns = {one for leaf in leaves if isinstance(leaf, Text) for one in leaf.patterns}
    numbers = [leaf for leaf in leaves if isinstance(leaf, Number)]
    texts = texts_of_patterns(fact, patterns)
    if numbers and any(is_glob(pattern) for pattern in patterns):
        raise Entangled(f"{fact} is compared with patterns here and as a number there")
    absent = [(None, NONE)] if fact != "environment" else []
    return absent + text_labels(texts, patterns) + _amounts(numbers)


def _sizes(leaves: Iterable[Leaf]) -> list[int]:
    """Return the least whole number of each stretch between bounds, from 0."""
    found = {0}
    for leaf in leaves:
        if isinstance(leaf, Number):
            found |= {ceil(at) for at in (leaf.gte, leaf.lt) if at is not None}
            found |= {floor(at) + 1 for at in (leaf.gt, leaf.lte) if at is not None}
    return sorted(size for size in found if size >= 0)


def _amounts(leaves: Iterable[Number]) -> list[tuple[str, str]]:
    """Return each bound, and numbers between and beyond them, in two spellings: one may be a name."""
    bounds = sorted(
        {at for one in leaves for at in (one.gte, one.gt, one.lte, one.lt) if at is not None}
    )
    if not bounds:
        return []
    told = [(bounds[0] - 1, f"below {bounds[0]:f}"), (bounds[-1] + 1, f"above {bounds[-1]:f}")]
    told += [(at, f"{at:f}") for at in bounds]
    told += [((low + high) / 2, f"between {low:f} and {high:f}") for low, high in pairwise(bounds)]
    spelt = [(f"{amount.normalize():f}", label) for amount, label in sorted(told)]
    return [
        (way, label)
        for text, label in spelt
        for way in (text, f"{text}0" if "." in text else f"{text}.0")
    ]


def _cut_sets(leaves: Sequence[Leaf]) -> tuple[Axis, Bits]:
    """Cut a fact that is a set of texts: of each way in which the members fit together, one set."""
    patterns = {one for leaf in leaves if isinstance(leaf, Text) for one in leaf.patterns}
    alone = [When((leaf,)) for leaf in leaves]
    members: dict[int, tuple[str, str]] = {}
    for text, label in text_labels(texts_of_patterns("tags", patterns), patterns):
        subject = _subject("tags", frozenset({text}))
        truths = sum(1 << number for number, when in enumerate(alone) if holds(when, subject))
        if truths:
            members.setdefault(truths, (text, label))
    sets: dict[int, frozenset[str]] = {0: frozenset()}
    for truths, (text, _) in members.items():
        for seen, texts in tuple(sets.items()):
            sets.setdefault(seen | truths, texts | {text})
        if len(sets) > SETS_MAX:
            raise Entangled("conditions on tags can be met in too many combinations")
    called = dict(members.values())
    proposed = [
        (
            texts,
            " and ".join(sorted(called[text] for text in texts)) or NONE,
            _subject("tags", texts),
        )
        for texts in sets.values()
    ]
    return _classes("tags", leaves, proposed)


def _subject(fact: str, value: Any) -> Subject:
    if fact == "time":
        return Subject(Facts(), (), None, value)
    return Subject(Facts(**fields_of(fact, value)), (), None, EPOCH)


def fields_of(fact: str, value: Any) -> Mapping[str, Any]:
    """Return a fact as fields of `Facts`; time is none of them, and metadata are more than one."""
    if fact.startswith(METADATA):
        return {"metadata": {} if value is None else {fact.removeprefix(METADATA): value}}
    if fact == "input_tokens":
        return {"input_tokens_estimate": value, "input_tokens_total": value}
    return {fact: value}
