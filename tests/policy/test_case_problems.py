"""Tests of a policy that are wrong, or fail: each is told at its line, in its own file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import hybridllm
from hybridllm import PolicyError, Problem, Router
from hybridllm._adapters.policy_files import load_policy, load_policy_text, load_tested
from policy.case_policy import TEXT, reading
from policy.policy_text import place_of_mark

KNOWN_BACKENDS = "known: eu, lab, own, us"
# One case; « stands where its problem is to be told.
WRONG = [
    ("{given: {task: «clasify}, expect: {route: default}}", "given.task",
     "unknown task 'clasify'; known: classify, draw, quick, spill, summarize; did you mean 'classify'?"),
    ("{given: {residency: «ph}, expect: {backend: own}}", "given.residency",
     "unknown residency tag 'ph'; known: eu, phi, public; did you mean 'phi'?"),
    ("{given: {model: «larg}, expect: {never: us}}", "given.model",
     "unknown model 'larg'; known: ada, bge, large, small; did you mean 'large'?"),
    ("{given: {vector_space: «bgee, operation: embeddings}, expect: {model: bge}}", "given.vector_space",
     "unknown vector space 'bgee'; known: ada, bge; did you mean 'bge'?"),
    ("{given: {session: s, carried: [eu, «ph]}, expect: {error: policy_denied}}", "given.carried[1]",
     "unknown residency tag 'ph'"),
    ("{given: {down: «own2}, expect: {backend: us}}", "given.down[0]",
     f"unknown backend 'own2'; {KNOWN_BACKENDS}; did you mean 'own'?"),
    ("{given: {down: [us, «ue]}, expect: {error: route_exhausted}}", "given.down[1]",
     f"unknown backend 'ue'; {KNOWN_BACKENDS}"),
    ("{given: {in_flight: {us: 1, «ow: 2}}, expect: {backend: us}}", "given.in_flight.ow",
     f"unknown backend 'ow'; {KNOWN_BACKENDS}"),
    ("{given: {ttft_ms: {«usa: {p90: 1}}}, expect: {backend: us}}", "given.ttft_ms.usa",
     f"unknown backend 'usa'; {KNOWN_BACKENDS}"),
    ("{given: {total_ms: {«us/bge: {p90: 1}}}, expect: {backend: us}}", "given.total_ms['us/bge']",
     "unknown candidate 'us/bge'; known: eu/small, lab/large, own/bge"),
    ("{given: {load: {«onw: {waiting: 1}}}, expect: {backend: us}}", "given.load.onw",
     f"unknown backend 'onw'; {KNOWN_BACKENDS}; did you mean 'own'?"),
    ("{given: {volume: {tokens_per_day: 1M, of: «'model:smal'}}, expect: {model: bge}}",
     "given.volume[0].of",
     "unknown model 'smal'; known: ada, bge, large, small; did you mean 'small'?"),
    ("{given: {volume: {tokens_per_day: 1M, of: «'route:quik'}}, expect: {model: bge}}",
     "given.volume[0].of",
     "unknown route 'quik'"),
    ("{expect: {route: «defualt}}", "expect.route", "unknown route 'defualt'; known: (pinned), default"),
    ("{expect: {backend: «vllm}}", "expect.backend", f"unknown backend 'vllm'; {KNOWN_BACKENDS}"),
    ("{expect: {model: «smal}}", "expect.model",
     "unknown model 'smal'; known: ada, bge, large, small; did you mean 'small'?"),
    ("{expect: {candidates: [us/small, «us/smal]}}", "expect.candidates[1]",
     "unknown candidate 'us/smal'"),
    ("{expect: {never: [us, «u]}}", "expect.never[1]", f"unknown backend 'u'; {KNOWN_BACKENDS}"),
    # Shapes
    ("«{given: {task: classify}}", "expect", "key 'expect' is missing: What must come of it"),
    ("{«expect: {}}", "expect", "this case expects nothing; write one of route, backend, model"),
    ("{«expect: {backend: us, error: policy_denied}}", "expect",
     "expects an answer (backend) and an error (error)"),
    ("{«expect: {reason: primary, model: small, rule: x}}", "expect",
     "expects an answer (model, reason) and an error (rule)"),
    ("{«expect: {error: route_exhausted, rule: x}}", "expect",
     "expects a rule that denies, and an exhausted route"),
    ("{«expect: {error: policy_denied, candidates: us/small}}", "expect",
     "expects a denial, which has no candidates"),
    ("{expect: {candidates: «[]}}", "expect.candidates", "must not be empty"),
    ("{expect: {reason: «retry}}", "expect.reason",
     "'retry' is not allowed here; allowed: primary, failover, fallback"),
    ("{expect: {error: «denied}}", "expect.error",
     "'denied' is not allowed here; allowed: policy_denied, budget_exceeded, route_exhausted, warming_up"),
    ("{given: {«taks: classify}, expect: {route: default}}", "given.taks",
     "unknown key 'taks'; allowed: operation, task,"),
    ("{given: {load: {own: {«wating: 1}}}, expect: {route: default}}", "given.load.own.wating",
     "did you mean 'waiting'?"),
    ("{given: {load: {«'own us': {waiting: 1}}}, expect: {route: default}}", "given.load['own us']",
     "'own us' is not a backend's name, or * for every backend of your own"),
    ("{given: {load: {own: {waiting: «some}}}, expect: {route: default}}", "given.load.own.waiting",
     "'some' is not a whole number"),
    ("{given: {load: {own: {kv_cache_pct: «101}}}, expect: {route: default}}", "given.load.own.kv_cache_pct",
     "101 is out of range: from 0 to 100"),
    ("{given: {load: {own: {cold: «15}}}, expect: {route: default}}", "given.load.own.cold",
     "15 is not a duration with its unit"),
    ("{given: {load: {own: {out: «yes}}}, expect: {route: default}}", "given.load.own.out",
     "'yes' is neither true nor false"),
    ("{given: {volume: «{}}, expect: {route: default}}", "given.volume[0]",
     "names no rate; write {tokens_per_day: 600M}"),
    ("{given: {volume: {«tokens_a_day: 1}}, expect: {route: default}}", "given.volume[0].tokens_a_day",
     "did you mean 'tokens_per_day'?"),
    ("{given: {volume: «{tokens_per_hour: 1, sustained: 3d}}, expect: {route: default}}", "given.volume[0]",
     "is sustained, which fits a rate per day and not tokens_per_hour"),
    ("{given: {break_even: «over}, expect: {route: default}}", "given.break_even",
     "'over' is not allowed here; allowed: above, below"),
    ("{«expect: {error: warming_up, rule: x}}", "expect",
     "expects a rule that denies, and a backend that sleeps; write one of them"),
    ("{given: {stream: «true, operation: embeddings}, expect: {route: default}}", "given.stream",
     "true does not fit embeddings, which cannot be streamed"),
    ("{given: {now: «2026-12-01}, expect: {route: default}}", "given.now",
     "is not a time with its zone; write 2026-12-01T09:00Z"),
    ("{given: {chance: «2}, expect: {route: default}}", "given.chance", "out of range: from 0 to 1"),
    ("{given: {needs: [«sight]}, expect: {route: default}}", "given.needs[0]",
     "'sight' is not allowed here; allowed: tools, json_schema, vision"),
    ("{given: {ttft_ms: {us: {«p80: 1}}}, expect: {route: default}}", "given.ttft_ms.us.p80",
     "unknown key 'p80'; allowed: p50, p90, p95, p99"),
    # A test that fails
    ("«{name: home, given: {residency: phi}, expect: {backend: us}}", "",
     "the policy fails its test 'home': backend: expected us, got own"),
    ("«{given: {task: summarize, residency: phi}, expect: {route: default}}", "",
     "the policy fails its test 'test 2': error: expected no error, got policy_denied (residency 'phi')"),
]  # fmt: skip
FINE = "{expect: {route: default}}"


def refused(load: Callable[[], object]) -> tuple[Problem, ...]:
    """Return why a policy does not load; nothing if it does."""
    try:
        load()
    except PolicyError as error:
        return tuple(problem for problem in error.problems if not problem.warning)
    return ()


@pytest.mark.parametrize(("case", "path", "message"), WRONG)
def test_a_wrong_test_in_the_file_is_told_at_its_place(case: str, path: str, message: str) -> None:
    """Line and column, the value, what is allowed, the nearest name."""
    text, place = place_of_mark(f"{TEXT}tests:\n  - {FINE}\n  - {case}\n")
    (problem,) = refused(lambda: load_policy_text(text, source="p.yaml", environ={}))
    assert problem.path == f"tests[1]{path and '.'}{path}"
    assert message in problem.message
    assert (problem.file, problem.line, problem.column) == ("p.yaml", *place)


@pytest.mark.parametrize(("case", "path", "message"), WRONG)
def test_a_wrong_test_in_the_file_beside_is_told_there(case: str, path: str, message: str) -> None:
    """In the same words, with the other file's name and line."""
    tests, place = place_of_mark(f"# Of p.yaml\ntests:\n  - {FINE}\n  - {case}\n")
    (problem,) = refused(
        lambda: load_policy_text(
            TEXT, source="p.yaml", environ={}, tests=tests.encode(), tests_source="p.test.yaml"
        )
    )
    assert problem.path == f"tests[1]{path and '.'}{path}"
    assert message in problem.message
    assert (problem.file, problem.line, problem.column) == ("p.test.yaml", *place)


@pytest.mark.parametrize(
    ("case"),
    [
        "{given: {task: clasify}, expect: {error: policy_denied}}",
        "{given: {task: clasify}, expect: {rule: unknown task 'clasify'}}",
        "{given: {residency: secret}, expect: {error: policy_denied}}",
        "{given: {model: gpt}, expect: {error: policy_denied}}",
        "{given: {vector_space: x, operation: embeddings}, expect: {error: policy_denied}}",
    ],
)
def test_a_request_may_bring_an_unknown_name_if_that_is_to_be_denied(case: str) -> None:
    """Just that is worth a test."""
    text = f"{TEXT}tests: [{case}]"
    assert refused(lambda: load_policy_text(text, environ={})) == ()


BESIDE = [
    ("", 1, "an empty value must be a mapping with the one key tests"),
    ("- a", 1, "a list must be a mapping with the one key tests"),
    ("tests: []", 1, "must not be empty"),
    ("{}", 1, "key 'tests' is missing"),
    ("tests: [{expect: {route: default}}]\nroutes: []", 2,
     "unknown key 'routes'; a file of tests has the one key tests"),
    ("test: [{expect: {route: default}}]", 1, "did you mean 'tests'?"),
    ("tests: [}", 1, "not valid YAML"),
    ("tests: [{expect: {route: '${NOWHERE}'}}]", 1, "environment variable 'NOWHERE' is not set"),
    ("tests: [{name: sk-abcdefgh12345678, expect: {route: default}}]", 1,
     "(not shown) looks like an API key"),
    ("\x00", 1, "control character U+0000 is not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("tests", "line", "message"), BESIDE)
def test_a_file_beside_that_is_no_file_of_tests_refuses_the_policy(
    tests: str, line: int, message: str
) -> None:
    """Half-written or misspelt, it is not passed over in silence."""
    problems = [one for one in reading(beside=tests).problems if not one.warning]
    assert [(one.file, one.line) for one in problems] == [("p.test.yaml", line)] * len(problems)
    assert any(message in one.message for one in problems), [str(one) for one in problems]
    assert reading(beside=tests).policy is None


def test_problems_of_both_files_are_told_at_once() -> None:
    """Those of the policy first; a policy that is wrong itself is not tested."""
    read = reading(
        text=TEXT.replace("region: us", "region: []"), beside="tests: [{expect: {rout: x}}]"
    )
    assert [(one.file, one.path) for one in read.problems if not one.warning] == [
        ("p.yaml", "backends.us.region"),
        ("p.test.yaml", "tests[0].expect.rout"),
    ]
    assert read.results == ()


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A policy with two tests in it and one beside it."""
    path = tmp_path / "own.yaml"
    path.write_text(f"{TEXT}tests:\n  - {FINE}\n  - {FINE}\n")
    (tmp_path / "own.test.yaml").write_text(f"tests:\n  - {FINE}\n")
    return path


def test_tests_of_the_file_come_before_those_beside_it(policy_file: Path) -> None:
    """Each knows where it stands."""
    _, _, results = load_tested(policy_file, environ={})
    beside = str(policy_file.with_name("own.test.yaml"))
    assert [(result.case.file, result.case.line) for result in results] == [
        (str(policy_file), 49), (str(policy_file), 50), (beside, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(hybridllm.check, id="check"),
        pytest.param(load_policy, id="load_policy"),
        pytest.param(Router.from_file, id="Router.from_file"),
    ],
)
def test_a_policy_that_fails_a_test_is_refused_by_whoever_loads_it(
    load: Callable[[Path], object], policy_file: Path
) -> None:
    """With one problem for each case that fails, at its line; mended, it loads."""
    beside = policy_file.with_name("own.test.yaml")
    beside.write_text(f"tests:\n  - {FINE}\n  - {{name: why, expect: {{model: large}}}}\n")
    (problem,) = refused(lambda: load(policy_file))
    assert str(problem) == (
        f"{beside}:3:5: tests[1]: the policy fails its test 'why': model: expected large, got small; "
        "`hybridllm test` shows why"
    )
    beside.write_text(f"tests: [{FINE}]")
    assert refused(lambda: load(policy_file)) == ()


def test_a_file_beside_that_cannot_be_read_refuses_the_policy(policy_file: Path) -> None:
    """A folder of that name, say: nobody knows what its tests would have said."""
    beside = policy_file.with_name("own.test.yaml")
    beside.unlink()
    beside.mkdir()
    (problem,) = refused(lambda: load_policy(policy_file))
    assert (problem.file, problem.message) == (str(beside), "cannot be read: Is a directory")


def test_a_text_carries_its_tests(policy_file: Path) -> None:
    """`Router.from_text` runs them too."""
    case = "{name: why, expect: {model: large}}"
    (problem,) = refused(lambda: Router.from_text(f"{TEXT}tests: [{case}]"))
    assert "fails its test 'why'" in problem.message


def test_the_file_beside_may_use_variables() -> None:
    """As the policy itself does."""
    tests = b"tests: [{expect: {backend: '${FIRST}'}}]"
    load_policy_text(TEXT, environ={"FIRST": "us"}, tests=tests)
    (problem,) = refused(lambda: load_policy_text(TEXT, environ={"FIRST": "eu"}, tests=tests))
    assert "backend: expected eu, got us" in problem.message


def test_many_tests_cost_little() -> None:
    """500 of them load within a second or so: a decision each."""
    cases = [
        {"name": f"c{i}", "given": {"tenant": f"t{i}"}, "expect": {"route": "default"}}
        for i in range(500)
    ]
    read = reading(beside=json.dumps({"tests": cases}))
    assert [result.passed for result in read.results] == [True] * 500
