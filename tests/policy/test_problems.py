"""Every problem of a policy is told at once, at its place, in words that say what would be right."""

from __future__ import annotations

import pytest

from hybridllm.errors import PolicyError
from policy.policy_text import GOOD, changed, place_of_mark, problems_of
from policy.wrong_policies import WRONG
from policy.wrong_rules import WRONG_RULES

ALL = [*WRONG, *WRONG_RULES]


@pytest.mark.parametrize(("old", "new", "path", "message"), ALL)
def test_a_problem_is_told_at_its_place(old: str, new: str, path: str, message: str) -> None:
    """One mistake: file, line, column, path, the value, what is allowed."""
    text, place = place_of_mark(changed(old, new))
    told = [problem for problem in problems_of(text) if problem.path == path]
    assert told, [str(problem) for problem in problems_of(text)]
    assert any(message in problem.message for problem in told), told[0].message
    if "«" in new:
        assert (told[0].line, told[0].column) == place


@pytest.mark.parametrize(
    "section", ["backends", "models", "residency", "tasks", "routes", "retries"]
)
@pytest.mark.parametrize("shape", ["x", "3", "[x]", "[]", "{}", "", "{x: y}", "[[x]]", "true"])
def test_a_section_of_another_shape_is_told_as_such(section: str, shape: str) -> None:
    """And nothing is told of the names that it might have declared, had it been right."""
    before, _, rest = f"\nretries: {{}}\n{GOOD}".partition(f"\n{section}:")
    body = rest.split("\n")
    after = next(
        (i for i, line in enumerate(body[1:], 1) if line and line[0] not in " -"), len(body)
    )
    text = f"{before}\n{section}: {shape}\n" + "\n".join(body[after:])
    problems = problems_of(text)
    assert problems or (shape, section) in {
        ("{}", "tasks"),
        ("{}", "retries"),
    }, text
    if shape not in ("{}", "{x: y}", ""):
        assert {problem.path.partition("[")[0].partition(".")[0] for problem in problems} == {
            section
        }


def test_a_missing_key_is_told_where_its_mapping_begins() -> None:
    """There is no place for what is not there: the key of the mapping that lacks it is shown."""
    text, place = place_of_mark(changed("  own-eu:\n    kind: vllm\n", "  «own-eu:\n"))
    (problem,) = problems_of(text)
    assert (problem.line, problem.column) == place


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("residency:\n", "residencies:\n"),
        ("residency:\n  public", "residency: [public]\nx:\n  public"),
        ("models:\n", "model:\n"),
        ("backends:\n", "backend:\n"),
        ("routes:\n", "buckets: {bandwith: {use: qwen3-8b}}\nroutes:\n"),
    ],
)
def test_names_are_not_unknown_where_their_section_is_misspelt(old: str, new: str) -> None:
    """One mistake is told, not everything that follows from it."""
    text = changed(old, new).replace("fallbacks: [qwen3-32b]", "fallbacks: [{bucket: bandwidth}]")
    told = [problem.message for problem in problems_of(text)]
    if "buckets" not in new:
        told = [message for message in told if "bucket 'bandwidth'" not in message]
    assert told
    assert not any(message.startswith(("unknown residency", "unknown b")) for message in told), told
    assert not any("has no entry" in message for message in told), told


def test_no_place_is_told_twice() -> None:
    """What is wrong in two ways is told once: a name that is none is not also told as unknown."""
    for old, new, *_ in ALL:
        problems = problems_of(changed(old, new).replace("«", ""))
        places = [(problem.line, problem.column) for problem in problems]
        assert len(set(places)) == len(places), [str(problem) for problem in problems]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    """YAML, schema and names: three runs' worth of mending in one."""
    text = GOOD
    for old, new in (
        ("version: 1", "version: 3"),
        ("kind: vllm", "kind: &k vllm"),
        ("base_url: https://vllm.internal/v1", "base_url: http://vllm.internal/v1"),
        ("[tools, json_schema]", "[tool]"),
        ("hosted-eu: qwen3-8b", "hosted-fr: qwen3-8b"),
        ("total: 10s", "total: 10"),
        ("fallbacks: [qwen3-32b]", "fallbacks: [qwen3-33b]"),
        ("own-eu, hosted-us]", "own-eu, '${NOWHERE}']"),
    ):
        text = text.replace(old, new)
    problems = problems_of(text)
    assert [problem.path for problem in problems] == [
        "version",
        "backends.own-eu.kind",
        "backends.own-eu.base_url",
        "models.qwen3-8b.on.hosted-fr",
        "models.qwen3-32b.capabilities[0]",
        "tasks.classify.timeouts.total",
        "routes[0].fallbacks[0]",
        "routes[1].use[0].on[1]",
    ]
    assert not any(problem.warning for problem in problems)


def test_the_error_reads_as_a_list_of_places() -> None:
    """Its text is what a terminal shows; editors turn file:line:column into links."""
    with pytest.raises(PolicyError) as caught:
        raise PolicyError("p.yaml", problems_of(GOOD.replace("kind: vllm", "kind: vlm")))
    assert str(caught.value) == (
        "p.yaml: 1 problem\n"
        "  p.yaml:8:11: backends.own-eu.kind: 'vlm' is not allowed here; allowed: api, vllm; "
        "did you mean 'vllm'?"
    )
