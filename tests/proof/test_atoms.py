"""Facts cut into classes: a condition holds for a whole class or for none of it, and no class is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest

from hybridllm._core.decide.match import Subject, holds
from hybridllm._core.decide.snapshot import EPOCH
from hybridllm._core.policy.compiled import Capability
from hybridllm._core.policy.conditions import Flag, Hours, Leaf, Number, Text, When
from hybridllm._core.proof.asks import asks_of
from hybridllm._core.proof.atoms import Axis, Entangled, cut, fields_of
from hybridllm._core.proof.space import space_of
from hybridllm._core.request.facts import Facts
from proof.policies import policy


def names(fact: str, *patterns: str) -> Text:
    return Text(fact, frozenset(patterns))


def number(fact: str, **bounds: str) -> Number:
    return Number(fact, **{name: Decimal(at) for name, at in bounds.items()})


def truths(fact: str, value: object, leaves: list[Leaf]) -> tuple[bool, ...]:
    facts = Facts() if fact == "time" else Facts(**fields_of(fact, value))
    now = value if isinstance(value, datetime) else EPOCH
    return tuple(holds(When((leaf,)), Subject(facts, (), None, now)) for leaf in leaves)


CUTS = [
    pytest.param(
        "tenant", [names("tenant", "acme-*", "bolt"), names("tenant", "*-eu")], 4, id="texts"
    ),
    pytest.param("session", [names("session", "*")], 2, id="any-text-or-none"),
    pytest.param(
        "input_tokens",
        [number("input_tokens", gte="8192"), number("input_tokens", gt="0", lte="9000.5")],
        4,
        id="sizes",
    ),
    pytest.param(
        "metadata.seats",
        [number("metadata.seats", gt="1", lt="2"), number("metadata.seats", gte="2")],
        3,
        id="amounts-between-whole-numbers",
    ),
    pytest.param(
        "metadata.plan",
        [names("metadata.plan", "10", "pro"), number("metadata.plan", gte="10")],
        4,
        id="a-number-that-is-a-name-and-one-that-is-spelt-otherwise",
    ),
    pytest.param(
        "tags", [names("tags", "a"), names("tags", "b*"), names("tags", "c")], 8, id="sets"
    ),
    pytest.param(
        "time",
        [Hours(480, 1080, frozenset(range(5)), ZoneInfo("Europe/Berlin"), "Europe/Berlin")],
        2,
        id="hours",
    ),
]


@pytest.mark.parametrize(("fact", "leaves", "classes"), CUTS)
def test_a_fact_falls_into_classes(fact: str, leaves: list[Leaf], classes: int) -> None:
    """One value of each; the bits of a condition are the classes for which it really holds."""
    axis, bits = cut(fact, leaves)
    assert len(axis.values) == len(axis.labels) == classes
    assert axis.whole == (1 << classes) - 1
    for place, value in enumerate(axis.values):
        expected = truths(fact, value, leaves)
        assert tuple(bool(bits[leaf] >> place & 1) for leaf in leaves) == expected


VALUES = {
    "tenant": [None, "acme-1", "acme-eu", "x-eu", "bolt", "x", "acme-", "-eu"],
    "session": [None, "x"],
    "input_tokens": [0, 1, 8191, 8192, 9000, 9001, 10**7],
    "metadata.seats": [None, "1", "1.5", "2", "x", "-3", "1e0", "1.0000001"],
    "metadata.plan": [None, "10", "10.0", "pro", "11", "x", "9", "1e1"],
    "tags": [frozenset(), frozenset("a"), frozenset({"b1", "b2"}), frozenset({"a", "c", "x"})],
    "time": [
        datetime(2026, 11, day, hour, tzinfo=UTC) for day in range(1, 9) for hour in range(24)
    ],
}


@pytest.mark.parametrize(("fact", "leaves", "classes"), CUTS)
def test_no_value_is_in_none_of_the_classes(fact: str, leaves: list[Leaf], classes: int) -> None:
    """Whatever else a request may bring, a value of the proof stands for it."""
    axis, _ = cut(fact, leaves)
    known = {truths(fact, value, leaves) for value in axis.values}
    assert len(known) == classes
    assert {truths(fact, value, leaves) for value in VALUES[fact]} <= known


def test_classes_are_called_by_what_policies_name() -> None:
    """Names, patterns, sizes and windows; the rest is other."""
    axis, _ = cut("tenant", [names("tenant", "acme-*", "bolt")])
    assert sorted(axis.labels) == [("bolt", "acme-*"), ("none", "any other")]
    sizes, _ = cut("input_tokens", [number("input_tokens", gte="8192", lt="16384")])
    assert sizes.labels == (("0 to 8,191", "16,384 or more"), ("8,192 to 16,383",))
    hours, _ = cut("time", [Hours(480, 1080, frozenset(range(7)), ZoneInfo("UTC"), "UTC")])
    assert sorted(hours.labels) == [("any other",), ("from 08:00, to 18:00, zone UTC",)]


@pytest.mark.parametrize(
    ("fact", "leaves"),
    [
        pytest.param(
            "metadata.k", [names("metadata.k", "1*"), number("metadata.k", gte="5")], id="both-ways"
        ),
        pytest.param("tags", [names("tags", f"t{n}") for n in range(12)], id="sets-of-sets"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(fact: str, leaves: list[Leaf]) -> None:
    """Values that are not found might be those that matter."""
    with pytest.raises(Entangled):
        cut(fact, leaves)


def asked(axis: Axis) -> set[tuple[frozenset[str], bool]]:
    return {(ask.needs, ask.stream) for ask in axis.values if ask.least}


def test_the_smallest_sets_of_capabilities_stand_for_all() -> None:
    """Of those that conditions tell apart; each capability by itself is looked at anyway."""
    made = policy()
    axis, _ = asks_of([made], [])
    embeddings = frozenset({Capability.EMBEDDINGS})
    assert asked(axis) == {(frozenset(), False), (embeddings, False)}
    assert {need for ask in axis.values for need in ask.needs} == set(Capability)
    tools, sight = names("capability", "tools", "audio"), names("capability", "vision")
    axis, bits = asks_of([made], [tools, sight, Flag("stream", value=True)])
    least = {needs for needs, stream in asked(axis) if not stream}
    pairs = ({"tools", "vision"}, {"audio", "vision"})
    assert least == {*map(frozenset, ((), {"tools"}, {"audio"}, {"vision"}, *pairs)), embeddings}
    for place, ask in enumerate(axis.values):
        assert bool(bits[sight] >> place & 1) == (Capability.VISION in ask.needs)


def test_a_request_is_made_of_the_first_classes_of_a_box() -> None:
    """It lies in the box, by the very conditions of the policy."""
    rng = Random(5)
    made = policy(
        routes=[
            {
                "name": "r",
                "when": {
                    "task": "classify",
                    "tenant": ["acme-*", "bolt"],
                    "metadata": {"plan": "pro", "seats": {"gte": 10}},
                    "input_tokens": {"gte": "8K"},
                    "stream": True,
                    "tags": ["a", "b"],
                    "time": {"from": "08:00", "to": "18:00"},
                },
                "use": ["large"],
            },
            {"name": "default", "use": ["small"]},
        ]
    )
    space = space_of(made)
    (view,) = space.views
    for _ in range(100):
        box = tuple(
            classes & rng.getrandbits(classes.bit_length()) or classes for classes in view.whole
        )
        facts, snapshot = space.request(box, view)
        task = made.tasks.get(facts.task or "")
        subject = Subject(facts, (facts.residency or "public",), task, snapshot.now_utc)
        for leaf, (place, classes) in view.table.items():
            first = box[place] & -box[place]
            assert holds(When((leaf,)), subject) == bool(classes & first), leaf
