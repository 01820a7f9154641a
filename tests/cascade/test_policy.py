"""Cascades in a policy file: what may be written, what is refused, what is doubtful, what is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.worlds import cascaded
from hybridllm import PolicyError, Router
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.cascade.rule import DEFAULT_PHRASES, Cascade

KEYS = {"KEY": "sk-test-0123456789abcdef"}


def loaded(escalate_if: str, **options: str) -> Cascade:
    policy, _ = load_policy_text(cascaded(escalate_if, **options), environ=KEYS)
    cascade = policy.routes[0].cascade
    assert cascade is not None
    return cascade


def problems(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy_text(text, environ=KEYS)
    return "\n".join(map(str, caught.value.problems))


def warnings(text: str) -> str:
    return "\n".join(map(str, load_policy_text(text, environ=KEYS)[1]))


def test_every_check_is_read() -> None:
    """As the file has it; phrases folded."""
    found = loaded(
        '{phrases: ["No idea", "no", "Weiß nicht"], min_chars: 50, low_logprob: -1.5, schema_invalid: true, '
        "python: cascade.own.doubts}"
    )
    assert found.phrases == ("no idea", "no", "weiss nicht")
    assert (found.min_chars, found.low_logprob, found.schema_invalid) == (50, -1.5, True)
    assert found.function is not None
    assert len(found.checks) == 5


def test_without_a_list_of_checks_the_phrases_of_small_models_are_looked_for() -> None:
    """And nothing else: a short answer may be a good one."""
    text = cascaded().replace(", escalate_if: {phrases: default}", "")
    policy, _ = load_policy_text(text, environ=KEYS)
    cascade = policy.routes[0].cascade
    assert cascade is not None
    assert cascade.phrases == DEFAULT_PHRASES
    assert cascade.min_chars is None


@pytest.mark.parametrize(
    ("escalate_if", "words"),
    [
        pytest.param("{phrases: [no idea, true]}", "holds true, which is no text", id="boolean"),
        pytest.param("{phrases: [~]}", "holds null, which is no text", id="null"),
        pytest.param("{phrases: [5]}", "holds 5, which is no text", id="number"),
        pytest.param("{phrases: true}", "is not a list of phrases", id="a-flag"),
        pytest.param("{phrases: [x]}", "holds a phrase of 1 characters", id="a-letter"),
        pytest.param("{phrases: []}", "phrases", id="none"),
        pytest.param("{}", "names no check", id="empty"),
        pytest.param("[phrases]", "must be a mapping", id="a-list"),
        pytest.param("{low_logprob: 0.5}", "out of range", id="certain"),
        pytest.param("{low_logprob: often}", "is not a mean log-probability", id="no-number"),
        pytest.param("{min_char: 50}", "did you mean 'min_chars'", id="misspelt"),
        pytest.param("{python: doubts}", "is not the dotted name of a function", id="no-dots"),
        pytest.param("{python: no_such.place}", "no module 'no_such' here", id="no-module"),
        pytest.param("{python: cascade.own.missing}", "has no 'missing'", id="no-function"),
        pytest.param("{python: cascade.own.NUMBER}", "is no function but int", id="no-callable"),
        pytest.param("{python: cascade.own.awaits}", "is a coroutine function", id="async"),
    ],
)
def test_what_is_no_check_is_refused_in_words(escalate_if: str, words: str) -> None:
    """A boolean among the phrases above all: YAML makes one of `true`, and it would never be found."""
    assert words in problems(cascaded(escalate_if))


def test_a_script_is_no_module_of_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends its process when it is imported ends no router that looks at a policy."""
    (tmp_path / "a_script_of_checks.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = problems(cascaded("{python: a_script_of_checks.doubts}"))
    assert "its module raised SystemExit" in found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("then: big", "then: bigg", "unknown model 'bigg'", id="unknown"),
        pytest.param("then: big", "then: small", "is `first` as well", id="twice"),
        pytest.param(
            "{model: big, on: [b]}, third", "third", "is never asked on route", id="not-there"
        ),
    ],
)
def test_models_that_do_not_fit_the_route_are_refused(old: str, new: str, words: str) -> None:
    """A cascade adds nobody to a route."""
    assert words in problems(cascaded().replace(old, new))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(cascaded().replace("10, output_per_1m: 20", "1, output_per_1m: 2"),
                     "'big' is not dearer than 'small'", id="not-dearer"),
        pytest.param(cascaded("{low_logprob: -1}").replace("[tools, json_schema, logprobs]", "[tools]", 1),
                     "does not list logprobs", id="no-logprobs"),
        pytest.param(cascaded("{schema_invalid: true}").replace("[tools, json_schema, logprobs]", "[]", 1),
                     "neither json_schema nor tools", id="no-schema"),
        pytest.param(cascaded(route="\n    slo: {ttft_ms: {p90: 800}}"),
                     "first token comes late", id="streams"),
        pytest.param(cascaded().replace("first: small, then: big", "first: big, then: small"),
                     "is asked first, so that no answer is checked", id="order"),
    ],
)  # fmt: skip
def test_what_makes_little_sense_is_doubted(text: str, words: str) -> None:
    """It loads all the same."""
    assert words in warnings(text)


def test_explain_says_whose_answer_is_checked() -> None:
    """In words, in JSON and in the flowchart; a pinned model's is not."""
    router = Router.from_text(cascaded("{phrases: default, min_chars: 50}"), environ=KEYS)
    explanation = router.explain(task="t")
    assert "cascade: an answer of small is checked" in str(explanation)
    assert explanation.to_dict()["cascade"]["then"] == "big"
    assert "cascade" in explanation.to_mermaid()
    assert router.explain(task="t", model="small").to_dict()["cascade"] is None


def test_a_policys_own_tests_can_expect_an_escalation() -> None:
    """It is a part of what the policy promises."""
    case = "tests:\n  - {given: {task: t}, expect: {model: small, escalates_to: %s}}"
    load_policy_text(cascaded(top=case % "big"), environ=KEYS)
    assert "escalates_to: expected third, got big" in problems(cascaded(top=case % "third"))
    assert "unknown model 'bigg'" in problems(cascaded(top=case % "bigg"))
    down = "tests:\n  - {given: {task: t, down: [a]}, expect: {escalates_to: big}}"
    assert "got nobody" in problems(cascaded(top=down))
