"""`hybridllm test`: each case with its place, what differs and why, and what no case touches."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli.conftest import run_in_terminal, run_process

GOOD = """\
tests:
  - name: Small things are done cheaply
    given: {task: classify}
    expect: {route: cheap, model: small, backend: us}
  - name: health data stays at home
    given: {task: classify, residency: phi}
    expect: {backend: own, reason: fallback}
"""
BAD = """\
  - name: health data is denied
    given: {task: review, residency: phi}
    expect: {route: default, error: policy_denied}
"""


@pytest.fixture
def tested_file(policy_file: Path) -> Path:
    """The policy, and two tests beside it that pass."""
    beside(policy_file).write_text(GOOD)
    return policy_file


def beside(policy: Path) -> Path:
    return policy.with_name(f"{policy.stem}.test.yaml")


def test_cases_that_pass_are_a_line_each(hybridllm, tested_file: Path) -> None:
    """A mark, file:line, the name; then what they touch, and the sum."""
    result = hybridllm("test", tested_file)

    assert result.exit_code == 0
    first, second, *rest = result.stdout.splitlines()
    tests = re.escape(str(beside(tested_file)))
    assert re.fullmatch(rf"ok +{tests}:2 +Small things are done cheaply", first)
    assert re.fullmatch(rf"ok +{tests}:5 +health data stays at home", second)
    told = "\n".join(rest)
    assert re.search(r"route +cheap +44 +2$", told, re.MULTILINE)
    assert re.search(r"route +default +48 +none$", told, re.MULTILINE)
    assert rest[-1] == (
        f"{tested_file}: 2 tests passed; 1 of 2 routes and constraints covered (50 %)"
    )
    assert result.stderr == ""


def test_a_case_that_fails_is_shown_with_its_difference_and_its_reason(
    hybridllm, tested_file: Path
) -> None:
    """What was expected, what came, and the explanation; code 1."""
    beside(tested_file).write_text(GOOD + BAD)

    result = hybridllm("test", tested_file)

    assert result.exit_code == 1
    for words in (
        rf"FAILED +{re.escape(str(beside(tested_file)))}:8 +health data is denied",
        r" route: default, as expected",
        r" error: expected policy_denied, got no error",
        r"own/large",
        r"us/large +region 'us' is not in \[eu\] \(residency 'phi'\)",
        r"1 of 3 tests failed; 2 of 2 routes and constraints covered \(100 %\)",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"


def test_json_holds_the_same(hybridllm, tested_file: Path) -> None:
    """One object: each policy, each case with its checks, coverage; a failed case with its explanation."""
    beside(tested_file).write_text(GOOD + BAD)

    result = hybridllm("test", tested_file, "--json")

    assert result.exit_code == 1
    told = json.loads(result.stdout)
    (policy,) = told["policies"]
    assert told["ok"] is policy["ok"] is policy["passed"] is False
    assert [case["passed"] for case in policy["tests"]] == [True, True, False]
    failed = policy["tests"][2]
    assert (failed["file"], failed["line"]) == (str(beside(tested_file)), 8)
    assert failed["checks"][1] == {
        "key": "error",
        "expected": "policy_denied",
        "actual": "no error",
        "holds": False,
    }
    assert failed["explanation"]["candidates"][0]["candidate"] == "own/large"
    assert policy["coverage"]["percent"] == 100


@pytest.mark.parametrize(("percent", "code"), [(0, 0), (50, 0), (50.1, 1), (100, 1)], ids=str)
def test_too_little_coverage_fails(hybridllm, tested_file: Path, percent: float, code: int) -> None:
    """And says what no test touches, with its line."""
    result = hybridllm("test", tested_file, "--min-coverage", percent)

    assert result.exit_code == code
    wanted = f"50 % of routes and constraints are covered, and {percent:g} % are wanted"
    assert (wanted in result.stdout) is bool(code)
    assert ("no test touches route 'default' (line 48)" in result.stdout) is bool(code)


def test_text_selects_cases_and_coverage_counts_all_of_them(hybridllm, tested_file: Path) -> None:
    """In any case; a failure of another test is not theirs."""
    beside(tested_file).write_text(GOOD + BAD)

    result = hybridllm("test", tested_file, "-k", "small THINGS", "--min-coverage", 100)

    assert result.exit_code == 0
    assert "health data" not in result.stdout
    assert "1 test passed" in result.stdout


def test_text_that_selects_nothing_is_wrong_usage(hybridllm, tested_file: Path) -> None:
    """Or a typing mistake would pass in CI."""
    result = hybridllm("test", tested_file, "-k", "smal thing")

    assert result.exit_code == 2
    assert "no test has 'smal thing' in its name" in " ".join(result.stderr.split())


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--min-coverage", 1), 1)])
def test_a_policy_without_tests_says_so(
    hybridllm, policy_file: Path, options: tuple[object, ...], code: int
) -> None:
    """It fails only if something must be covered."""
    result = hybridllm("test", policy_file, *options)

    assert result.exit_code == code
    assert "has no tests; write them under `tests` in it, or in policy.test.yaml" in result.stdout


def test_a_policy_that_does_not_load_is_told_and_the_others_are_tested(
    hybridllm, tested_file: Path
) -> None:
    """Each problem with its place; code 1."""
    broken = tested_file.with_name("broken.yaml")
    broken.write_text(tested_file.read_text().replace("kind: vllm", "kind: vlm"))

    result = hybridllm("test", broken, tested_file)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"{broken}:20:11: ")
    assert "ok  " in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "2 policy files: 2 tests passed, 1 policy file with problems"
    )
    told = json.loads(hybridllm("test", broken, tested_file, "--json").stdout)
    assert [policy["ok"] for policy in told["policies"]] == [False, True]
    assert told["policies"][0]["error"]["problems"][0]["line"] == 20


def test_a_name_that_a_test_gets_wrong_is_a_problem_of_its_file(
    hybridllm, tested_file: Path
) -> None:
    """With its place and the nearest name: it would test nothing."""
    beside(tested_file).write_text(GOOD.replace("residency: phi", "residency: ph"))

    result = hybridllm("test", tested_file)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"{beside(tested_file)}:6:40: tests[1].given.residency: ")
    assert "did you mean 'phi'?" in result.stderr


def test_a_folder_stands_for_the_policies_in_it(hybridllm, tested_file: Path) -> None:
    """Not for the files of tests; one of those stands for its policy."""
    other = tested_file.with_name("another.yml")
    other.write_text(tested_file.read_text())
    folder = str(tested_file.parent)

    by_folder = json.loads(hybridllm("test", folder, "--json").stdout)
    by_tests = json.loads(hybridllm("test", beside(tested_file), tested_file, "--json").stdout)

    assert [one["file"] for one in by_folder["policies"]] == [str(other), str(tested_file)]
    assert [one["file"] for one in by_tests["policies"]] == [str(tested_file)]


def test_without_a_policy_the_folder_policies_is_tested(
    hybridllm, tested_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is none, that is told."""
    monkeypatch.chdir(tested_file.parent)
    assert "there is no file policies" in " ".join(hybridllm("test").stderr.split())
    folder = tested_file.parent / "policies"
    folder.mkdir()
    assert "no policy file in the folder" in " ".join(hybridllm("test").stderr.split())
    for file in (tested_file, beside(tested_file)):
        file.rename(folder / file.name)

    result = hybridllm("test")

    assert result.exit_code == 0
    assert "policies/policy.test.yaml:2  Small things" in result.stdout


def test_results_are_written_for_ci(hybridllm, tested_file: Path) -> None:
    """As JUnit XML: a suite per policy, a failure with its words, a policy that does not load as an error."""
    beside(tested_file).write_text(GOOD + BAD)
    broken = tested_file.with_name("broken.yaml")
    broken.write_text("version: 1")
    junit = tested_file.with_name("junit.xml")

    result = hybridllm("test", tested_file, broken, "--junit", junit, "--min-coverage", 100)

    assert result.exit_code == 1
    good, wrong = ElementTree.fromstring(junit.read_text())
    assert {key: good.get(key) for key in ("name", "tests", "failures", "errors")} == {
        "name": str(tested_file),
        "tests": "3",
        "failures": "1",
        "errors": "0",
    }
    case = good[2]
    assert (case.get("name"), case.get("line")) == ("health data is denied", "8")
    assert case[0].get("message") == "error: expected policy_denied, got no error"
    assert "own/large" in str(case[0].text)
    assert (wrong.get("errors"), wrong[0][0].tag) == ("1", "error")


def test_a_file_for_ci_that_cannot_be_written_is_wrong_usage(hybridllm, tested_file: Path) -> None:
    """The message says which, and why."""
    result = hybridllm("test", tested_file, "--junit", tested_file.parent)

    assert result.exit_code == 2
    assert "cannot be written: Is a directory" in " ".join(result.stderr.split())


def test_the_shipped_policies_pass_their_tests_and_leave_no_route_untouched() -> None:
    """As the real command, in a process of its own, which loads neither openai nor aiohttp."""
    done = run_process("test", "api-first", "regulated", "--min-coverage", 100)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 policy files: " in done.stdout
    loaded = run_process(
        code="import sys; sys.argv[1:] = ['test', 'api-first']\n"
        "from hybridllm.cli.app import run\n"
        "try: run()\n"
        "finally: print(sorted({'openai', 'aiohttp', 'rich'} & sys.modules.keys()))"
    )
    assert loaded.stdout.splitlines()[-1] == "[]"


def test_marks_are_coloured_in_a_terminal(tested_file: Path) -> None:
    """And nowhere else."""
    code, told = run_in_terminal("test", tested_file)
    assert code == 0
    assert "\x1b[32mok" in told


def test_tests_beside_a_yml_file_are_run_and_a_dead_link_is_no_silence(
    hybridllm, policy_file: Path
) -> None:
    """`NAME.test.yml` beside `NAME.yml`; one that cannot be read is an error, not "no tests"."""
    policy = policy_file.with_name("y.yml")
    policy.write_text(policy_file.read_text(encoding="utf-8"), encoding="utf-8")
    beside = policy_file.with_name("y.test.yml")
    beside.write_text("tests: [{expect: {error: policy_denied}}]", encoding="utf-8")
    for asked in (policy, beside):
        told = hybridllm("test", str(asked))
        assert told.exit_code == 1
        assert "y.test.yml:1" in told.stdout
    assert hybridllm("check", str(policy)).exit_code == 1
    beside.unlink()
    beside.symlink_to(policy.with_name("nowhere.yaml"))
    told = hybridllm("check", str(policy))
    assert told.exit_code == 1
    assert "y.test.yml" in told.stderr
    assert "cannot be read" in told.stderr
