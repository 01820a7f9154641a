"""How long a prompt is, about: right for English, not too low for anything else, and never expensive."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.request.tokens import VALUES_MAX, text_tokens, value_tokens
from hybridllm.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 1),
        ("abc", 1),
        ("abcd", 2),
        ("a" * 4_000, 1_001),
        ("世", 2),
        ("世界" * 300, 601),
        ("🙂", 2),
        ("\ud800", 2),  # half of a pair, as broken JSON brings it
    ],
)
def test_the_length_of_a_text(text: str, tokens: int) -> None:
    """Four characters of ASCII, or three bytes of anything else, are a token."""
    assert text_tokens(text) == tokens


@given(st.text(), st.text())
def test_more_text_is_never_shorter(one: str, other: str) -> None:
    """And two texts together are about as long as both."""
    together = text_tokens(one + other)
    assert together >= max(text_tokens(one), text_tokens(other)) // 2
    assert together <= 2 * (text_tokens(one) + text_tokens(other))


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ({}, 0),
        ([1, 2, 3], 3),
        ({"type": "object", "properties": {"city": {"type": "string"}}}, 8),
        (("a", "b"), 2),
        (None, 1),
        (object(), 1),
    ],
)
def test_the_length_of_a_value(value: Any, least: int) -> None:
    """Every key and every value counts; what cannot be counted is one."""
    assert least <= value_tokens(value) <= 3 * least + 1


def test_a_deep_value_does_not_exhaust_the_stack() -> None:
    """Nor a very wide one the clock."""
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert value_tokens(deep) == 1
    began = time.perf_counter()
    with pytest.raises(InvalidRequest, match="more than"):
        value_tokens([0] * (VALUES_MAX + 1))
    assert time.perf_counter() - began < 1.0


def test_a_value_that_holds_itself_is_refused() -> None:
    """It could not be sent either."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match="itself"):
        value_tokens(endless)
