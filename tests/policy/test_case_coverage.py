"""Which routes, overflows and constraints the tests of a policy touch."""

from __future__ import annotations

from typing import Any

import pytest

from hybridllm._core.cases.coverage import Coverage, coverage_of
from policy.case_policy import reading

EASY = {"never": "lab"}  # holds for every case below, whoever answers or denies


def coverage(*given: dict[str, Any]) -> Coverage:
    """Return what tests of these requests touch."""
    read = reading(*({"given": each, "expect": EASY} for each in given))
    assert read.policy is not None, [str(problem) for problem in read.problems]
    return coverage_of(read.policy, read.results)


def touched(*given: dict[str, Any]) -> set[str]:
    return {rule.name for rule in coverage(*given).rules if rule.cases}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        pytest.param({}, {"default"}, id="the-route-that-decides"),
        pytest.param({"tenant": "acme-1", "feature": "chat"}, {"of-acme"}, id="the-first-only"),
        pytest.param(
            {"task": "summarize"},
            {"default", "shadow", "no-own-for-summaries"},
            id="what-is-observed-too",
        ),
        pytest.param(
            {"task": "summarize", "tenant": "acme-1"},
            {"of-acme", "shadow", "no-own-for-summaries"},
            id="what-is-observed-before-the-one-that-decides",
        ),
        pytest.param({"model": "small"}, set(), id="a-pinned-model-passes-by-the-routes"),
        pytest.param(
            {"model": "small", "task": "summarize"}, {"no-own-for-summaries"}, id="not-constraints"
        ),
        pytest.param(
            {"task": "summarize", "residency": "phi"},
            {"default", "shadow", "no-own-for-summaries"},
            id="a-denial-by-what-they-leave",
        ),
        pytest.param({"down": ["us", "eu", "own"]}, {"default"}, id="nobody-answers"),
    ],
)
def test_a_case_touches_what_looks_at_it(given: dict[str, Any], names: set[str]) -> None:
    """The route that decides, the observed that would, and the constraints that fit."""
    assert touched(given) == names


@pytest.mark.parametrize(
    ("given", "cases"),
    [
        pytest.param({}, 0, id="idle"),
        pytest.param({"load": {"own": {"waiting": 9}}}, 1, id="a-queue"),
        pytest.param({"load": {"own": {"out": True}}}, 1, id="an-outage"),
        pytest.param({"down": ["own"]}, 0, id="a-failover-is-no-overflow"),
        pytest.param(
            {"load": {"own": {"waiting": 9}}, "residency": "phi"}, 0, id="who-may-not-leave"
        ),
    ],
)
def test_a_case_touches_the_overflow_by_which_its_request_leaves(
    given: dict[str, Any], cases: int
) -> None:
    """An overflow is a rule of its own: that its route decides says nothing of it."""
    rules = coverage({"task": "spill"} | given).rules
    assert [(one.kind, one.cases) for one in rules if one.name == "leaves"] == [
        ("route", 1),
        ("overflow", cases),
    ]


def test_a_request_that_is_denied_for_its_name_touches_nothing() -> None:
    """No route was looked at, and no constraint, though its tenant fits one."""
    read = reading(
        {"given": {"tenant": "nobody", "residency": "x"}, "expect": {"error": "policy_denied"}}
    )
    assert read.policy is not None
    assert coverage_of(read.policy, read.results).percent == 0


def test_coverage_counts_cases_and_lists_what_is_left_in_the_order_of_the_file() -> None:
    """Routes first, then constraints; each with its line."""
    found = coverage({}, {}, {"tenant": "nobody"}, {"tenant": "acme-1"})
    assert [(rule.name, rule.cases) for rule in found.rules if rule.cases] == [
        ("of-acme", 1),
        ("default", 3),
        ("never-met", 1),
    ]
    assert [(rule.kind, rule.line) for rule in found.rules[-2:]] == [
        ("constraint", 46),
        ("constraint", 47),
    ]
    assert [rule.name for rule in found.uncovered][:2] == ["shadow", "of-chat"]
    assert found.rules[0].observe
    assert found.percent == pytest.approx(100 * 3 / 18)
    assert found.to_dict()["percent"] == 16.7
    assert found.to_dict()["rules"][0] == {
        "kind": "route",
        "name": "shadow",
        "line": 27,
        "observe": True,
        "cases": 0,
    }


def test_a_shortfall_names_what_no_test_touches() -> None:
    """With its line, so that it can be found."""
    told = coverage({}, {"tenant": "acme-1"}).shortfall(90)
    assert told.startswith(
        "11.11 % of routes, overflows and constraints are covered, and 90 % are wanted"
    )
    assert "route 'of-chat' (line 29)" in told
    assert "constraint 'never-met' (line 47)" in told
