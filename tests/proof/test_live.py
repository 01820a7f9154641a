"""Conditions on volume and break-even in the proof: each may hold or not, and none follows from another."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm._core.proof.diff import diff_of
from hybridllm._core.proof.fold import matrix_of
from hybridllm._core.proof.taken import shares_of
from proof.policies import policy, warnings

HIGH = {"volume": {"tokens_per_day": {"gte": "500M"}, "sustained": "90d"}}
LOW = {"volume": {"tokens_per_day": {"gte": "50M"}}}
ABOVE = {"break_even": "above"}
PRICE = {"input_per_1m": 1, "output_per_1m": 1}
US = {"kind": "api", "base_url": "https://us.test/v1", "region": "us", "operator": "third_party"}
OWN = {"kind": "vllm", "base_url": "https://own.test/v1", "region": "eu", "operator": "self"}
BACKENDS = {
    "us": US | {"price": PRICE},
    "own": OWN | {"price": "free", "capacity": {"usd_per_month": 1_500}},
}


def routes(*whens: dict[str, Any]) -> list[dict[str, Any]]:
    """Routes r0, r1, ... with these conditions, and a last one."""
    made = [
        {"name": f"r{number}", "when": when, "use": ["large"]} for number, when in enumerate(whens)
    ]
    return [*made, {"name": "last", "use": ["small"]}]


def sections(*whens: dict[str, Any]) -> dict[str, Any]:
    """Of a policy with one API and own machines, on which both models are."""
    on = {"us": "x", "own": "x"}
    return {
        "backends": BACKENDS,
        "models": {"small": {"on": on}, "large": {"on": on}},
        "routes": routes(*whens),
    }


@pytest.mark.parametrize(
    "whens",
    [
        pytest.param((HIGH, LOW), id="a-lower-threshold-after-a-higher"),
        pytest.param((LOW, HIGH), id="a-higher-threshold-after-a-lower"),
        pytest.param((ABOVE, {"break_even": "below"}), id="both-sides-of-break-even"),
        pytest.param((HIGH | ABOVE, HIGH, ABOVE), id="two-together-and-each-alone"),
        pytest.param(({"not": HIGH},), id="one-that-does-not-hold"),
    ],
)
def test_no_live_condition_makes_another_impossible(whens: tuple[dict[str, Any], ...]) -> None:
    """With hysteresis and dwell, a lower threshold may have ended while a higher has not."""
    made = policy(**sections(*whens))
    assert warnings(**sections(*whens)) == ()
    assert all(one.boxes for one in shares_of(made).taken)
    names = (*(f"r{number}" for number in range(len(whens))), "last")
    matrix = matrix_of(made)
    assert matrix.exact
    assert matrix.row("phi").cell("own").routes == (*names, "(pinned)")
    assert matrix.row("phi").cell("us").ways == ()


@pytest.mark.parametrize(
    ("whens", "why"),
    [
        pytest.param((HIGH, HIGH | ABOVE), "'r0' (line", id="taken-by-an-earlier-route"),
        pytest.param((HIGH, {"not": HIGH}), "earlier routes together take", id="taken-by-both"),
        pytest.param(
            ({"any": [HIGH, {"not": HIGH}]},), "'r0' (line", id="a-condition-that-always-holds"
        ),
        pytest.param((ABOVE | {"not": ABOVE},), "exclude each other", id="against-itself"),
    ],
)
def test_a_route_that_no_volume_ever_reaches_is_told(
    whens: tuple[dict[str, Any], ...], why: str
) -> None:
    """The same condition is the same, wherever it stands."""
    (warning,) = warnings(**sections(*whens))
    assert "is never reached" in warning.message
    assert why in warning.message


def test_changes_are_told_by_the_live_conditions_under_which_they_happen() -> None:
    """In words; requests for which it makes no difference whether one holds are told without it."""
    old, new = policy(**sections()), policy(**sections(HIGH | {"task": "classify"}, ABOVE))
    changes = {one.new.route: one.requests for one in diff_of(old, new).changes if not one.model}
    assert changes == {
        "r0": ("task classify, while tokens_per_day gte 500000000, sustained 90d",),
        "r1": (
            "task other than classify, while break-even is above",
            "task classify, while not tokens_per_day gte 500000000, sustained 90d, "
            "while break-even is above",
        ),
    }


def test_forty_live_conditions_are_followed() -> None:
    """Each is a fact of its own, so that their combinations are never counted out."""
    whens = [{"volume": {"tokens_per_day": {"gte": f"{n}M"}}} for n in range(1, 41)]
    shares = shares_of(policy(**sections(*whens)))
    assert not shares.notes
    assert all(one.exact and one.boxes for one in shares.taken)
