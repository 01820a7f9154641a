"""The checks themselves: what an answer says and was asked for in, a reason or nothing out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade import own
from hybridllm._adapters.json_schemas import misfit
from hybridllm._core.cascade.check import doubt
from hybridllm._core.cascade.rule import DEFAULT_PHRASES, Cascade, folded
from hybridllm._core.cascade.said import Asked, Choice, said_in

JSON = Asked(wants_json=True)


def why(asked: Asked, *said: Choice, **checks: Any) -> str | None:
    return doubt(Cascade("small", "big", misfit=misfit, **checks), asked, said)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        pytest.param("I'm not sure about this.", False, id="plain"),
        pytest.param("Well, I\u2019M NOT  SURE.", False, id="case-apostrophe-space"),
        pytest.param("i don\u02bct\nknow", False, id="another-apostrophe-and-a-line"),
        pytest.param("Could you clarify?", False, id="question"),
        pytest.param("I am sure.", True, id="sure"),
        pytest.param("", True, id="empty"),
    ],
)
def test_phrases_are_found_however_they_are_set(text: str, *, passes: bool) -> None:
    """Case, apostrophes and white space do not count."""
    assert (why(Asked(), Choice(text), phrases=DEFAULT_PHRASES) is None) is passes


@pytest.mark.parametrize(
    ("asked", "choice", "passes"),
    [
        pytest.param(Asked(), Choice("x" * 49), False, id="short"),
        pytest.param(Asked(), Choice("x" * 50), True, id="long-enough"),
        pytest.param(Asked(), Choice(" " * 60), False, id="blank"),
        pytest.param(JSON, Choice('{"a":1}'), True, id="json"),
        pytest.param(Asked(), Choice("", [["f", "{}"]]), True, id="tool-call"),
    ],
)
def test_only_prose_can_be_too_short(asked: Asked, choice: Choice, *, passes: bool) -> None:
    """An answer in JSON, or a call of a tool, is as long as it is."""
    assert (why(asked, choice, min_chars=50) is None) is passes


@pytest.mark.parametrize(
    "logprob", [pytest.param(10**400, id="huge"), float("nan"), float("-inf"), "-1", None, [-1.0]]
)
def test_a_log_probability_that_is_none_is_not_counted(logprob: Any) -> None:
    """A backend may write anything there."""
    token = SimpleNamespace(logprob=logprob)
    message = SimpleNamespace(content="yes", tool_calls=None)
    choice = SimpleNamespace(message=message, logprobs=SimpleNamespace(content=[token]))
    (said,) = said_in(SimpleNamespace(choices=[choice]))
    assert said.logprobs == []


@pytest.mark.parametrize(
    ("logprobs", "passes"),
    [([-1.0, -2.0], True), ([-1.0, -2.2], False), ([], True)],
    ids=["at-the-limit", "below", "not-told"],
)
def test_the_mean_log_probability_decides(logprobs: list[float], *, passes: bool) -> None:
    """What is not told is no reason against an answer."""
    assert (why(Asked(), Choice("x", [], logprobs), low_logprob=-1.5) is None) is passes


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "kind": {"enum": ["a", "b"]},
        "friends": {"type": "array", "items": {"$ref": "#/$defs/Friend"}, "maxItems": 2},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
    "$defs": {"Friend": {"type": "object", "required": ["id"], "properties": {"id": {"const": 1}}}},
}


@pytest.mark.parametrize(
    ("value", "broken"),
    [
        ({"name": "x", "age": 3, "kind": "a", "friends": [{"id": 1}]}, None),
        ({"name": "x", "age": None}, None),
        ({"name": "x", "age": 3.0}, None),
        ({"name": "x"}, "required"),
        ({"name": "", "age": 1}, "minLength"),
        ({"name": 1, "age": 1}, "type"),
        ({"name": "x", "age": -1}, "anyOf"),
        ({"name": "x", "age": True}, "anyOf"),
        ({"name": "x", "age": 1, "kind": "c"}, "enum"),
        ({"name": "x", "age": 1, "friends": [{"id": 2}]}, "const"),
        ({"name": "x", "age": 1, "friends": [{"id": 1}] * 3}, "maxItems"),
        ({"name": "x", "age": 1, "friends": [{"id": True}]}, "const"),
        ({"name": "x", "age": 1, "more": 1}, "additionalProperties"),
        ([], "type"),
        (5, "type"),
    ],
)
def test_a_value_is_judged_by_its_schema(value: Any, broken: str | None) -> None:
    """The reason names the keyword, and nothing of the value."""
    found = misfit(value, PERSON)
    assert found == (None if broken is None else f"does not fit its schema ({broken})")


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (5, {"exclusiveMinimum": 5}, False),
        (5, {"exclusiveMaximum": 5}, False),
        (5, {"minimum": 5, "maximum": 5}, True),
        ("x", {"allOf": [{"type": "string"}, {"maxLength": 0}]}, False),
        ("x", {"type": ["string", "null"]}, True),
        (1, {"type": "unheard of", "pattern": "("}, True),
        (1, {"$ref": "https://elsewhere"}, True),
        ([[[]]], {"$ref": "#"}, True),
        (1, {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, True),
        (1, False, False),
        (float("nan"), {"type": "integer"}, False),
        pytest.param(10**400, {"type": "integer"}, True, id="beyond-floats"),
    ],
)
def test_keywords_beyond_the_usual(value: Any, schema: Any, *, fits: bool) -> None:
    """What is not understood refuses nobody, and a schema that leads back to itself ends."""
    assert (misfit(value, schema) is None) is fits


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
_words = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "anyOf",
        "$ref",
        "minimum",
        "allOf",
        "const",
    ]
)


@given(value=_values, schema=st.dictionaries(_words, _values, max_size=4))
def test_no_schema_and_no_value_make_it_fail(value: Any, schema: Any) -> None:
    """A schema is the caller's: it may be anything."""
    found = misfit(value, schema)
    assert found is None or found.startswith("does not fit its schema")


@pytest.mark.parametrize(
    ("asked", "choice", "reason"),
    [
        pytest.param(JSON, Choice("{"), "it is no JSON", id="no-json"),
        pytest.param(JSON, Choice('{"a": 1}'), None, id="any-json"),
        pytest.param(JSON, Choice("[" * 100_000), "it is no JSON", id="deep"),
        pytest.param(Asked(), Choice("{"), None, id="prose"),
        pytest.param(
            Asked(tools={"f": {"required": ["x"]}}),
            Choice("", [["f", "{}"]]),
            "the arguments of a tool does not fit its schema (required)",
            id="tool",
        ),
        pytest.param(
            Asked(), Choice("", [["g", "{"]]), "the arguments of a tool is no JSON", id="cut"
        ),
    ],
)
def test_json_is_looked_at_where_it_was_asked_for(
    asked: Asked, choice: Choice, reason: str | None
) -> None:
    """Prose that happens to begin with a brace is prose."""
    assert why(asked, choice, schema_invalid=True) == reason


def test_of_several_choices_each_must_pass() -> None:
    """The caller may take any of them."""
    assert why(Asked(), Choice("fine"), Choice("I don't know"), phrases=DEFAULT_PHRASES) is not None


def test_an_applications_own_check_sees_text_object_and_task() -> None:
    """And says True or False."""
    own.SEEN.clear()
    checks: dict[str, Any] = {"python": "own.doubts", "function": own.doubts}
    asked = Asked("extract", wants_json=True)
    assert why(asked, Choice('{"a": "perhaps"}'), **checks) == "own.doubts says so"
    assert why(Asked("chat"), Choice("{}", [["f", "{}"]]), **checks) is None
    first, second = own.SEEN
    assert (first.text, first.parsed, first.task) == (
        '{"a": "perhaps"}',
        {"a": "perhaps"},
        "extract",
    )
    assert (second.parsed, second.tool_calls) == (None, (("f", "{}"),))
    assert "perhaps" not in repr(first)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (own.raises, "own failed (RuntimeError)"),
        (own.says_text, "own returned str, not True or False"),
        (own.returns_coroutine, "own returned coroutine, not True or False"),
    ],
)
def test_a_check_that_goes_wrong_is_a_reason_without_content(function: Any, reason: str) -> None:
    """Nobody has said that the answer is good; what the check said may hold the answer."""
    assert why(Asked(), Choice("secret words"), python="own", function=function) == reason


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    """A phrase of a policy is folded once, the answer once."""
    assert folded(folded(text)) == folded(text)
