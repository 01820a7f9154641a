"""Tests of a policy from the tests of an application: `hybridllm.check_cases`."""

from __future__ import annotations

from pathlib import Path

import pytest

import hybridllm
from hybridllm import PolicyError
from policy.case_policy import TEXT


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A policy without tests; they are written beside it."""
    path = tmp_path / "own.yaml"
    path.write_text(TEXT)
    return path


def beside(policy_file: Path, *cases: str) -> None:
    lines = [f"  - {case}\n" for case in cases]
    policy_file.with_name("own.test.yaml").write_text("tests:\n" + "".join(lines))


def test_one_line_is_a_test_of_its_own(policy_file: Path) -> None:
    """Nothing is raised if all is well."""
    beside(policy_file, "{expect: {route: default}}", "{expect: {backend: us}}")
    hybridllm.check_cases(policy_file).assert_passed()


def test_what_fails_is_told_with_its_explanation(policy_file: Path) -> None:
    """Each case with its place, what was expected and why it came otherwise."""
    beside(
        policy_file,
        "{expect: {route: quick}}",
        "{expect: {backend: us}}",
        "{expect: {model: large}}",
    )
    report = hybridllm.check_cases(policy_file)
    assert not report.passed
    with pytest.raises(AssertionError) as failed:
        report.assert_passed()
    tests = policy_file.with_name("own.test.yaml")
    for words in (
        f"{tests}:2: test 1: FAILED",
        "expected quick ≠ got default",
        f"{tests}:4: test 3",
    ):
        assert words in str(failed.value)
    assert f"{tests}:3" not in str(failed.value)
    assert str(report).startswith(f"{policy_file}: 1 of 3 tests passed\n{tests}:2: test 1: FAILED")


@pytest.mark.parametrize(
    ("percent", "enough"),
    [(0, True), (5, True), (100 / 18, True), (5.6, False), (100, False)],
)
def test_enough_must_be_covered(policy_file: Path, percent: float, enough: bool) -> None:
    """One of eighteen routes, overflows and constraints is 5.56 percent."""
    beside(policy_file, "{expect: {route: default}}")
    report = hybridllm.check_cases(policy_file)
    if enough:
        report.assert_passed(min_coverage=percent)
    else:
        with pytest.raises(AssertionError, match=r"own.yaml: 5.556 % of routes, overflows"):
            report.assert_passed(min_coverage=percent)


def test_a_policy_without_tests_passes_unless_something_must_be_covered(policy_file: Path) -> None:
    """Nothing failed; nothing is covered either."""
    report = hybridllm.check_cases(policy_file)
    report.assert_passed()
    with pytest.raises(AssertionError, match="0 % of routes"):
        report.assert_passed(min_coverage=1)


def test_a_policy_that_does_not_load_is_an_error_of_its_own(policy_file: Path) -> None:
    """A misspelt name in a test is no test that fails."""
    beside(policy_file, "{expect: {route: defualt}}")
    with pytest.raises(PolicyError, match="unknown route 'defualt'"):
        hybridllm.check_cases(policy_file)


def test_each_result_can_be_a_case_of_a_parametrized_test(policy_file: Path) -> None:
    """By its name, with its place and its words."""
    beside(policy_file, "{name: all is well, expect: {route: default}}")
    (result,) = hybridllm.check_cases(policy_file).results
    assert result.case.name == "all is well"
    assert result.passed, str(result)
    assert len(repr(result)) < 1_500  # pytest shows it where a test fails; the policy is not in it


def test_check_tells_the_results_of_a_policy_that_passes(policy_file: Path) -> None:
    """They are part of its report; all of them passed, or it would not load."""
    beside(policy_file, "{expect: {route: default}}")
    assert [result.passed for result in hybridllm.check(policy_file).results] == [True]


def test_a_report_is_told_to_programs_too(policy_file: Path) -> None:
    """Ready for JSON."""
    beside(policy_file, "{expect: {route: default}}", "{expect: {route: quick}}")
    told = hybridllm.check_cases(policy_file).to_dict()
    assert (told["file"], told["policy"], told["passed"]) == (str(policy_file), "own", False)
    assert [test["passed"] for test in told["tests"]] == [True, False]
    assert told["coverage"]["percent"] == 5.6
