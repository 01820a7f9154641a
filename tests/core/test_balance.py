"""Of equal backends the one with least to wait for goes first; nobody is added or lost."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.plans import kept
from hybridllm._core.decide.balance import by_load
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.resilience.pace import Pace

THREE = kept("a/m", "b/m", "c/m")


def paces(**seconds: float) -> dict[str, Pace]:
    return {f"{name}/m": Pace(value, 0.0) for name, value in seconds.items()}


def order(entries: Any = THREE, **snapshot: Any) -> str:
    """`cab`: the names of the backends, in the order in which they are asked."""
    found = by_load(entries, Snapshot(**snapshot))
    assert sorted(map(id, found)) == sorted(map(id, entries))
    return "".join(one.candidate.backend.name for one in found)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        pytest.param({}, "abc", id="nothing-known"),
        pytest.param({"paces": paces(a=0.05, b=0.02, c=0.1)}, "abc", id="all-fast"),
        pytest.param({"paces": paces(a=0.2, b=0.1, c=0.1)}, "bca", id="twice-as-slow"),
        pytest.param({"paces": paces(a=0.139, b=0.1, c=0.101)}, "abc", id="within-a-step"),
        pytest.param({"paces": paces(a=0.142, b=0.1, c=0.1)}, "bca", id="over-a-step"),
        pytest.param({"paces": paces(a=4.0, b=2.0, c=1.0)}, "cba", id="by-pace"),
        pytest.param({"paces": paces(a=4.0, c=1.0)}, "bca", id="unmeasured-like-the-fastest"),
        pytest.param({"paces": paces(a=1.0), "now_s": 100.0}, "abc", id="faded"),
        pytest.param({"paces": paces(a=1.0, b=0.5), "now_s": 2.0}, "bca", id="not-yet-faded"),
        pytest.param({"in_flight": {"a": 1}}, "bca", id="busy"),
        pytest.param({"in_flight": {"a": 2, "b": 1}}, "cba", id="by-load"),
        pytest.param({"in_flight": {"a": 1, "b": 1, "c": 1}}, "abc", id="equally-busy"),
        pytest.param({"in_flight": {"z": 9}, "two_of": 0.9}, "abc", id="others-are-busy"),
        pytest.param(
            {"in_flight": {"a": 1}, "paces": paces(a=0.1, b=0.3, c=0.9)}, "abc", id="both"
        ),
        pytest.param(
            {"in_flight": {"a": 3}, "paces": paces(a=0.1, b=0.3, c=0.9)}, "bac", id="both-turned"
        ),
        pytest.param({"returning": {"a/m": 0.5}}, "bca", id="just-back"),
        pytest.param({"returning": {"a/m": 0.5}, "in_flight": {"b": 2, "c": 1}}, "acb", id="part"),
    ],
)
def test_the_order(snapshot: dict[str, Any], expected: str) -> None:
    """Pace times requests under way; of equals the first in the file."""
    assert order(**snapshot) == expected


def test_idle_it_is_the_order_of_the_file() -> None:
    """The very tuple: nothing is computed. One alone is not compared with anybody."""
    assert by_load(THREE, Snapshot()) is THREE
    assert by_load(THREE[:1], Snapshot({"a": 1})) == THREE[:1]
    assert by_load((), Snapshot({"a": 1})) == ()


@pytest.mark.parametrize("two_of", [None, 0.0, 0.3, 0.999])
def test_twenty_at_once_over_two_equal_backends_are_ten_each(two_of: float | None) -> None:
    """In flight is counted when one is chosen, so the next choice sees it."""
    two, in_flight = kept("a/m", "b/m"), Counter[str]()
    for _ in range(20):
        in_flight[order(two, in_flight=dict(in_flight), two_of=two_of)[0]] += 1
    assert in_flight == {"a": 10, "b": 10}


def test_each_pair_is_compared_as_often_as_any_other() -> None:
    """Under load two of them are drawn; of six ordered pairs each has a sixth of the draws."""
    seen = Counter()
    for number in range(600):
        # The waits are all different, so that the order tells which two were compared.
        found = order(in_flight={"a": 1, "b": 2, "c": 3}, two_of=number / 600)
        seen[found] += 1
    # `a` wins with `b` and with `c`; `b` wins against `c` alone; the others follow in their order.
    assert seen == {"abc": 400, "bac": 200}
    assert order(in_flight={"a": 1, "b": 2, "c": 3}, two_of=1.0) in {"abc", "bac"}


def test_of_two_drawn_that_are_alike_the_first_in_the_file_goes_first() -> None:
    """Whichever was drawn first."""
    busy = {"a": 1, "b": 1, "c": 1}
    seen = Counter(order(in_flight=busy, two_of=number / 60)[0] for number in range(60))
    assert seen == {"a": 40, "b": 20}


def test_the_worst_of_many_is_never_asked_first_under_load() -> None:
    """Two choices are enough to leave a slow one alone."""
    for number in range(60):
        found = order(
            in_flight={"a": 1, "b": 1, "c": 1},
            paces=paces(a=30.0, b=0.2, c=0.2),
            two_of=number / 60,
        )
        assert found[0] != "a"


def test_with_nobody_under_way_all_are_compared() -> None:
    """However the draw falls."""
    for number in range(12):
        assert order(paces=paces(a=2.0, b=2.0, c=0.5), two_of=number / 12) == "cab"


def test_one_that_is_back_gets_its_share_step_by_step() -> None:
    """A hundred at once: a tenth of an equal share at first, half at half weight, all in the end."""
    draw = random.Random(4).random
    shares = []
    for weight in (0.1, 0.5, 0.999_999):
        in_flight = Counter[str]()
        for _ in range(120):
            found = order(in_flight=dict(in_flight), returning={"b/m": weight}, two_of=draw())
            in_flight[found[0]] += 1
        shares.append(in_flight["b"])
    assert shares[0] <= 8
    assert 14 <= shares[1] <= 32
    assert 34 <= shares[2] <= 46


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50)),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 600)),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 1)),
    st.one_of(st.none(), st.floats(0, 1)),
    st.floats(0, 1e4),
)
def test_nobody_is_added_or_lost(
    names: list[str],
    in_flight: dict[str, int],
    seconds: dict[str, float],
    returning: dict[str, float],
    two_of: float | None,
    now_s: float,
) -> None:
    entries = kept(*(f"{name}/m" for name in names))
    found = order(
        entries,
        in_flight=in_flight,
        paces=paces(**seconds),
        returning={f"{name}/m": weight for name, weight in returning.items()},
        two_of=two_of,
        now_s=now_s,
    )
    assert sorted(found) == sorted(names)
