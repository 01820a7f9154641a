"""No field of a body tells a router behind us where to go, or with whose key, however deep it is hidden."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.request.smuggled import smuggled

NAMES = ["api_base", "api_key", "base_url", "extra_headers", "extra_body", "extra_query"]
SPELLINGS = [
    *NAMES,
    "API_KEY",
    "apiKey",
    "api-key",
    "Base-URL",
    "baseUrl",
    "extraHeaders",
    "Api_Base",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize(
    ("around", "where"),
    [
        (lambda inner: inner, "{}"),
        (lambda inner: {"metadata": inner}, "metadata.{}"),
        (lambda inner: {"a": [{"b": [1, inner]}]}, "a.0.b.1.{}"),
        (lambda inner: {"a": ({"b": inner},)}, "a.0.b.{}"),
        (lambda inner: {"properties": inner}, "properties.{}"),
        (lambda inner: {"properties": {"x": {"default": inner}}}, "properties.x.default.{}"),
    ],
)
def test_it_is_found_in_any_spelling_and_at_any_depth(name: str, around: Any, where: str) -> None:
    """And told by its place, without what stands there."""
    assert smuggled(around({name: "https://evil.example"})) == where.format(name)


def test_it_is_found_a_thousand_levels_deep() -> None:
    """Without running out of stack; whether a body so deep can be sent is told elsewhere."""
    body: dict[str, Any] = {"api_key": "x"}
    for _ in range(1_000):
        body = {"a": [body]}
    assert smuggled(body) is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}}, id="plain"),
        pytest.param(
            {"guided_json": {"properties": {"api_key": {"type": "string"}, "base_url": True}}}, id="schema"
        ),
        pytest.param({"guided_json": {"required": ["api_key"]}}, id="a-value-is-no-name"),
        pytest.param({"guided_json": {"$defs": {"extra_headers": {"type": "object"}}}}, id="definition"),
        pytest.param({"note": "api_key"}, id="text"),
        pytest.param({"api_keys_allowed": 1, "my_base_url": 2}, id="other-names"),
        pytest.param({7: {"x": None}}, id="odd-keys"),
    ],
)  # fmt: skip
def test_what_only_looks_like_it_goes_out(body: dict[Any, Any]) -> None:
    """Above all the schema of an answer, whose fields are the caller's business."""
    assert smuggled(body) is None


def test_what_stands_in_a_schema_and_elsewhere_is_looked_at_in_both_places() -> None:
    """One object, twice: a field's name in the schema, a header's in the other."""
    shared = {"extra_headers": {"Host": "evil.example"}}
    for body in ({"properties": shared, "other": shared}, {"other": shared, "properties": shared}):
        assert smuggled(body) == "other.extra_headers"


def test_a_body_that_holds_itself_ends() -> None:
    """It cannot be sent, and is refused where it is said in JSON."""
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    assert smuggled(loop) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(alphabet="abxy_", max_size=4), inner, max_size=3)
        ),
    ),
    st.sampled_from(NAMES),
)
def test_it_is_found_wherever_it_is_put(body: Any, name: str) -> None:
    """Beside anything, inside anything."""
    assert smuggled({"x": body}) is None
    assert smuggled({"x": [body, {name: body}]}) == f"x.1.{name}"
