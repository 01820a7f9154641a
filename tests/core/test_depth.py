"""Nesting is told without parsing, and exactly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import captures
from hybridllm._core.wire.depth import nesting_exceeds


def deepest(text: bytes) -> int:
    """Byte by byte: how deep a JSON text, or the beginning of one, is nested at its deepest."""
    depth = most = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            if escaped:
                escaped = False
            elif byte == ord("\\"):
                escaped = True
            elif byte == ord('"'):
                in_string = False
        elif byte == ord('"'):
            in_string = True
        elif byte in b"[{":
            depth += 1
            most = max(most, depth)
        elif byte in b"]}":
            depth -= 1
    return most


@pytest.mark.parametrize(
    ("text", "exceeds"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"null", False, id="scalar"),
        pytest.param(b"[" * 64 + b"]" * 64, False, id="at-limit"),
        pytest.param(b"[" * 65 + b"]" * 65, True, id="over"),
        pytest.param(b'{"a":' * 64 + b"1" + b"}" * 64, False, id="objects-at-limit"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, True, id="objects-over"),
        pytest.param(b'[{"a":' * 33 + b"1" + b"}]" * 33, True, id="mixed-over"),
        pytest.param(b"[" * 100_000, True, id="never-closed"),
        pytest.param(b"[" + b"[]," * 100_000 + b"[]]", False, id="wide"),
        pytest.param(b"[" + b"[]," * 40_000 + b"[" * 64 + b"]" * 65, True, id="deep-at-the-end"),
        pytest.param(b'["' + b"[" * 1_000 + b'"]', False, id="brackets-in-a-string"),
        pytest.param(b'["\\"' + b"[" * 1_000 + b'"]', False, id="escaped-quote"),
        pytest.param(b'["\\\\",' + b"[" * 65, True, id="escaped-backslash-ends-the-string"),
        pytest.param(b'["\\\\\\"' + b"[" * 1_000 + b'"]', False, id="backslash-and-quote"),
        pytest.param(b'["' + b"x" * 70_000 + b'"' + b",[" * 64, True, id="string-over-a-block"),
        pytest.param(b'["' + b"[" * 200_000, False, id="string-never-closed"),
        pytest.param(b'{"' + b'","' * 70_000 + b"[" * 65, False, id="many-quotes"),
    ],
)
def test_depth_counts_what_is_open_at_once(text: bytes, exceeds: bool) -> None:
    """Not how many brackets there are, and none that stand in strings."""
    assert nesting_exceeds(text) is exceeds
    assert (deepest(text) > 64) is exceeds


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.text('a[]{}"\\é', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner)
    ),
    max_leaves=30,
)


@settings(deadline=None)
@given(value=JSON_VALUES, limit=st.integers(0, 6), data=st.data())
def test_any_json_and_any_beginning_of_it_is_told_exactly(
    value: object, limit: int, data: st.DataObject
) -> None:
    """A walk over the bytes is the witness."""
    text = json.dumps(value, ensure_ascii=False).encode()
    text = text[: data.draw(st.integers(0, len(text)))]
    assert nesting_exceeds(text, limit) is (deepest(text) > limit)


@settings(deadline=None)
@given(text=st.binary(max_size=80) | st.text('[]{}"\\', max_size=80).map(str.encode))
def test_any_bytes_are_answered(text: bytes) -> None:
    """What is no JSON is for the parser to refuse."""
    assert nesting_exceeds(text, 3) in {True, False}


@pytest.mark.parametrize(
    ("unit", "exceeds"),
    [
        pytest.param(b"[", True, id="opening"),
        pytest.param(b"[]", False, id="shallow"),
        pytest.param(b"[" * 64 + b"]" * 64, False, id="at-limit-again-and-again"),
        pytest.param(b'"', False, id="quotes"),
        pytest.param(b'","', False, id="empty-strings"),
        pytest.param(b'\\"', False, id="escaped-quotes"),
        pytest.param(b"\\\\", False, id="backslashes"),
    ],
)
def test_hostile_megabytes_are_answered(unit: bytes, exceeds: bool) -> None:
    """Whatever is dearest, without recursion and block by block."""
    assert nesting_exceeds(b"[]" * 65 + unit * ((2 << 20) // len(unit))) is exceeds


def test_real_answers_are_shallow() -> None:
    """No recorded answer comes near the limit."""
    assert not [c.name for c in captures().values() if nesting_exceeds(c.body, 12)]
