"""Tests of a policy: what each key of `given` does, and what each key of `expect` demands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policy.case_policy import reading, result_of

# Each with the key in question first: without it the same expectation fails.
AT_HOME = {"residency": "phi"}
GIVEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("operation", {"operation": "embeddings"}, {"route": "vectors", "model": "bge"}),
    ("task", {"task": "draw"}, {"route": "drawn"}),
    ("residency", {"residency": "phi"}, {"backend": "own", "reason": "fallback"}),
    ("tenant", {"tenant": "acme-eu"}, {"route": "of-acme"}),
    ("feature", {"feature": "chat"}, {"route": "of-chat"}),
    ("tags", {"tags": ["x", "beta"]}, {"route": "of-tags"}),
    ("metadata", {"metadata": {"plan": "pro", "seats": 250}}, {"route": "of-pro"}),
    ("environment", {"environment": "staging"}, {"route": "of-staging", "backend": "lab"}),
    ("stream", {"stream": True}, {"route": "of-streams"}),
    ("model", {"model": "large"}, {"route": "(pinned)", "model": "large"}),
    (
        "vector_space",
        {"vector_space": "ada", "operation": "embeddings"},
        {"candidates": ["us/ada"], "never": ["own"]},
    ),
    ("needs", {"needs": ["vision"]}, {"model": "large", "reason": "fallback"}),
    ("needs", {"needs": "tools"}, {"candidates": ["own/large", "us/large"]}),
    ("input_tokens", {"input_tokens": "9K"}, {"candidates": ["own/large", "us/large"]}),
    (
        "max_tokens",
        {"max_tokens": "30K", "input_tokens": 100},
        {"candidates": ["own/large", "us/large"]},
    ),
    (
        "max_cost_usd",
        {"max_cost_usd": 0.0001, "input_tokens": 1000},
        {"candidates": ["own/large"]},
    ),
    ("carried", {"carried": "phi", "session": "s"}, {"backend": "own", "never": ["us", "eu"]}),
    ("session", {"session": "s0", "task": "draw"}, {"model": "large"}),
    ("chance", {"chance": 0.7, "task": "draw"}, {"model": "large"}),
    ("down", {"down": "us"}, {"backend": "eu", "reason": "failover"}),
    ("down", {"down": ["us", "eu"]}, {"backend": "own", "reason": "fallback"}),
    ("in_flight", {"in_flight": {"us": 3}}, {"backend": "eu", "reason": "primary"}),
    (
        "ttft_ms",
        {"ttft_ms": {"us": {"p90": 900}}, "stream": True},
        {"candidates": ["own/large", "us/large"]},
    ),
    (
        "total_ms",
        {"total_ms": {"us/small": {"p50": 2001, "p90": 9000}}, "task": "quick"},
        {"backend": "eu"},
    ),
    ("now", {"now": "2026-12-01T23:30+01:00"}, {"route": "of-nights"}),
    (
        "load",
        {"load": {"own": {"waiting": 1}}, "task": "spill"},
        {"backend": "us", "reason": "overflow"},
    ),
    (
        "load",
        {"load": {"*": {"saturated": True}}, "task": "spill"},
        {"candidates": ["us/large", "own/large"]},
    ),
    ("load", {"load": {"own": {"cold": "15s"}}, **AT_HOME}, {"error": "warming_up"}),
    ("volume", {"volume": {"tokens_per_day": "600M", "sustained": "120d"}}, {"route": "of-volume"}),
    ("break_even", {"break_even": "above"}, {"route": "of-break-even"}),
]


@pytest.mark.parametrize(
    ("key", "given", "expect"), GIVEN, ids=[f"{g[0]}-{i}" for i, g in enumerate(GIVEN)]
)
def test_a_key_of_given_makes_the_difference(
    key: str, given: dict[str, Any], expect: dict[str, Any]
) -> None:
    """With it the case passes, without it the same case fails, and says so."""
    assert result_of(given, expect).passed, result_of(given, expect)
    without = result_of({name: value for name, value in given.items() if name != key}, expect)
    assert not without.passed
    assert without.difference()


def test_every_key_of_given_is_tried() -> None:
    """A key that is added to the schema is added above; what is spent is tried with budgets."""
    from hybridllm._core.policy.schema_tests import GivenSpec

    assert {key for key, _, _ in GIVEN} | {"spent"} == set(GivenSpec.model_fields)


def test_the_page_on_policy_tests_tells_every_key() -> None:
    """Whoever writes a case finds it there."""
    from hybridllm._core.policy.schema_tests import ExpectSpec, GivenSpec

    page = (Path(__file__).parents[2] / "docs" / "policy-tests.md").read_text(encoding="utf-8")
    _, given, expect, *_ = re.split(r"^## (?:given|expect|Coverage)$", page, flags=re.MULTILINE)
    for section, spec in ((given, GivenSpec), (expect, ExpectSpec)):
        first_cells = " ".join(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))
        assert set(re.findall(r"`(\w+)`", first_cells)) == set(spec.model_fields)


NOBODY_LEFT = {"residency": "phi", "task": "summarize"}
# given, expect, and what is told of it if it fails
EXPECTED: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    ("route", {}, {"route": "default"}, None),
    ("route", {}, {"route": "quick"}, "route: expected quick, got default"),
    ("route", {"residency": "eu", "task": "nope"}, {"route": "default", "rule": "unknown task 'nope'"},
     "route: expected default, got none"),
    ("backend", AT_HOME, {"backend": "own"}, None),
    ("backend", AT_HOME, {"backend": "us"}, "backend: expected us, got own"),
    ("model", AT_HOME, {"model": "large"}, None),
    ("model", AT_HOME, {"model": "small"}, "model: expected small, got large"),
    ("reason", {}, {"reason": "primary"}, None),
    ("reason", {}, {"reason": "failover"}, "reason: expected failover, got primary"),
    ("reason", {"down": ["us"]}, {"reason": "primary"}, "reason: expected primary, got failover"),
    ("error", NOBODY_LEFT, {"error": "policy_denied"}, None),
    ("error", {"down": ["us", "eu", "own"]}, {"error": "route_exhausted"}, None),
    ("error", {**AT_HOME, "load": {"own": {"cold": "9s"}}}, {"error": "warming_up"}, None),
    ("error", {**AT_HOME, "load": {"own": {"cold": "9s"}}}, {"error": "route_exhausted"},
     "error: expected route_exhausted, got warming_up"),
    ("error", {}, {"error": "policy_denied"}, "error: expected policy_denied, got no error"),
    ("error", NOBODY_LEFT, {"error": "route_exhausted"},
     "error: expected route_exhausted, got policy_denied (residency 'phi')"),
    ("error", {**AT_HOME, "down": ["own"]}, {"error": "policy_denied"},
     "error: expected policy_denied, got route_exhausted"),
    ("rule", NOBODY_LEFT, {"rule": "residency 'phi'"}, None),
    ("rule", NOBODY_LEFT, {"rule": "residency 'eu'", "route": "default"},
     "rule: expected residency 'eu', got residency 'phi'"),
    ("rule", {}, {"rule": "residency 'phi'"}, "rule: expected residency 'phi', got no denial"),
    ("candidates", {}, {"candidates": ["us/small", "eu/small", "own/large", "us/large"]}, None),
    ("candidates", {}, {"candidates": ["us/small", "eu/small"]},
     "candidates: expected us/small, eu/small, got us/small, eu/small, own/large, us/large"),
    ("candidates", AT_HOME, {"candidates": "own/large"}, None),
    ("never", AT_HOME, {"never": ["us", "eu"]}, None),
    ("never", AT_HOME, {"never": ["us", "own"]}, "never: expected us, own, got own/large"),
    ("escalates_to", {"feature": "chat"}, {"escalates_to": "small"}, None),
    ("escalates_to", {}, {"escalates_to": "large"}, "escalates_to: expected large, got nobody"),
    # A denial that nobody spoke of
    ("error", NOBODY_LEFT, {"route": "default"},
     "error: expected no error, got policy_denied (residency 'phi')"),
    ("error", NOBODY_LEFT, {"backend": "own"},
     "backend: expected own, got nobody; error: expected no error, got policy_denied (residency 'phi')"),
    ("error", NOBODY_LEFT, {"candidates": "own/large"},
     "error: expected no error, got policy_denied (residency 'phi'); "
     "candidates: expected own/large, got nobody"),
    ("error", NOBODY_LEFT, {"never": ["us"]}, None),
    # Nobody answers, and yet the route and the candidates are what they are
    ("error", {**AT_HOME, "down": "own"}, {"route": "default", "candidates": "own/large"}, None),
    ("error", {**AT_HOME, "down": "own"}, {"reason": "fallback"},
     "reason: expected fallback, got nobody; error: expected no error, got route_exhausted"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "given", "expect", "difference"), EXPECTED)
def test_a_key_of_expect_demands_what_it_says(
    key: str, given: dict[str, Any], expect: dict[str, Any], difference: str | None
) -> None:
    """What holds passes; what does not is told with what was expected and what came."""
    result = result_of(given, expect)
    assert result.difference() == (difference or ""), result
    assert result.passed is (difference is None)
    assert key in expect or "error" in [check.key for check in result.checks] or result.passed


def test_every_key_of_expect_is_tried() -> None:
    """Passing and failing; a key that is added to the schema is added above."""
    from hybridllm._core.policy.schema_tests import ExpectSpec

    for failing in (False, True):
        tried = {key for key, _, _, told in EXPECTED if (told is not None) is failing}
        assert tried == set(ExpectSpec.model_fields)


def test_the_tags_that_a_session_keeps_are_those_that_the_policy_taints_it_with() -> None:
    """`eu` has no `taint`: a session that has carried it is as free as any."""
    assert result_of({"carried": "eu", "session": "s"}, {"backend": "us"}).passed
    assert result_of({"carried": ["eu", "phi"], "session": "s"}, {"backend": "own"}).passed


def test_a_task_may_stand_where_openai_has_the_model() -> None:
    """As in a call: `model="classify"`."""
    assert result_of({"model": "draw"}, {"route": "drawn"}).passed


def test_what_a_model_measures_goes_before_what_its_backend_does() -> None:
    """Percentile by percentile; the others of the backend stay."""
    slow_but_for_one = {"us": {"p90": 900}, "us/large": {"p90": 300}}
    given = {"stream": True, "ttft_ms": slow_but_for_one}
    assert result_of(given, {"candidates": ["us/large", "own/large"]}).passed
    given["ttft_ms"] = {"us": {"p90": 900}, "us/large": {"p50": 300}}
    assert result_of(given, {"candidates": ["own/large", "us/large"]}).passed


def test_the_name_of_a_case_is_one_line() -> None:
    """However it was written; without one it has its number."""
    read = reading(
        {"name": "a\n  b", "expect": {"route": "default"}}, {"expect": {"route": "default"}}
    )
    assert [result.case.name for result in read.results] == ["a b", "test 2"]


def test_a_failed_case_reads_like_this() -> None:
    """Its place, every expectation with what came, and the explanation."""
    lines = str(result_of({"residency": "phi"}, {"route": "default", "backend": "us"})).splitlines()
    assert lines[:3] == [
        "p.yaml:48: test 1: FAILED",
        "  route: expected default = got default",
        "  backend: expected us ≠ got own",
    ]
    explained = "\n".join(lines[3:])
    for words in ("residency phi", "own/large", "region 'us' is not in [eu] (residency 'phi')"):
        assert words in explained
    assert str(result_of({}, {"backend": "us"})) == "p.yaml:48: test 1: passed"


def test_a_result_is_told_to_programs_too() -> None:
    """Ready for JSON; the explanation only where it is needed."""
    told = result_of({}, {"backend": "eu"}).to_dict()
    assert (told["file"], told["line"], told["passed"]) == ("p.yaml", 48, False)
    assert told["checks"] == [
        {"key": "backend", "expected": "eu", "actual": "us", "holds": False},
    ]
    assert told["explanation"]["route"] == "default"
    assert "explanation" not in result_of({}, {"backend": "us"}).to_dict()


def test_a_case_runs_in_the_environment_of_the_file_whatever_the_loader_says() -> None:
    """A policy that is loaded for staging is not refused for what its tests say of production."""
    from hybridllm._adapters.policy_files import load_policy_text
    from policy.case_policy import TEXT

    tests = (
        "tests: [{expect: {route: default}}, {given: {environment: qa}, expect: {route: default}}]"
    )
    policy, _ = load_policy_text(TEXT + tests, environment="staging", environ={})
    assert policy.environment == "staging"


def test_a_policy_without_tests_has_no_results() -> None:
    """Nothing is run, and nothing is wrong."""
    read = reading()
    assert read.policy is not None
    assert read.results == ()
