"""What a policy file may be as YAML: hostile files are refused early, scalars mean what YAML 1.2 says."""

from __future__ import annotations

import time
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from hybridllm._adapters.yaml_document import BYTES_MAX, DEPTH_MAX, NODES_MAX, read_document
from hybridllm._core.policy.document import Findings, plain
from policy.policy_text import GOOD, place_of_mark, problems_of

BOTH_PARSERS = pytest.mark.parametrize("pure", [False, True], ids=["c-parser", "python-parser"])

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + previous] * 9)}]\n"
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE = [
    pytest.param(ALIAS_BOMB, "anchor &a is not allowed", id="alias-bomb"),
    pytest.param("a: &a [*a]\n", "alias *a is not allowed", id="recursive-alias"),
    pytest.param("a: {b: 1}\nc:\n  <<: {d: 1}\n", "merge key '<<' is not allowed", id="merge-key"),
    pytest.param(
        "a: !!python/object/apply:os.system [ls]\n", "tag 'tag:yaml.org,2002:python", id="tag"
    ),
    pytest.param("a: !!str 1\n", "tag 'tag:yaml.org,2002:str' is not allowed", id="core-tag"),
    pytest.param("a: !Ref x\n", "tag '!Ref' is not allowed", id="local-tag"),
    pytest.param("a: ! x\n", "tag '!' is not allowed", id="non-specific-tag"),
    pytest.param(
        "%TAG ! tag:x,2000:\n---\na: 1\n", "directives are not allowed", id="tag-directive"
    ),
    pytest.param("%YAML 1.1\n---\na: 1\n", "directives are not allowed", id="yaml-1.1"),
    pytest.param("a: " + "[" * 2_000 + "]" * 2_000, "nested more than 32 levels", id="flow-depth"),
    pytest.param(
        "".join(" " * i + "a:\n" for i in range(500)),
        "nested more than 32 levels",
        id="block-depth",
    ),
    pytest.param("? " * 500 + "a", "nested more than 32 levels", id="key-depth"),
    pytest.param(
        f"a: {'9' * 5_000}\n", "a value of 5000 characters; at most 4096", id="5000-digits"
    ),
    pytest.param(f"a: {'9' * 4_000}\n", "has too many digits", id="4000-digits"),
    pytest.param(f"a: 0x{'f' * 4_000}\n", "has too many digits", id="4000-hex-digits"),
    pytest.param("a: 1e999999999\n", "too large an exponent", id="exponent"),
    pytest.param("a: .nan\n", "'.nan' is not a finite number", id="nan"),
    pytest.param("a: -.INF\n", "'-.INF' is not a finite number", id="infinity"),
    pytest.param("#" * (BYTES_MAX + 1), "larger than 524288 bytes", id="too-large"),
    pytest.param("[" + "a," * 40_000 + "]", "more than 6000 keys and values", id="too-many-values"),
    pytest.param(
        "a: {a: 1, a: 2}\n", "key 'a' stands here twice; first in line 1", id="duplicate-key"
    ),
    pytest.param("a: b\0c\n", "control character U+0000 is not allowed", id="nul"),
    pytest.param('a: "b\\0c"\n', "control character U+0000 is not allowed", id="escaped-nul"),
    pytest.param("a: b\x1b[2Jc\n", "control character U+001B is not allowed", id="escape-sequence"),
    pytest.param("a: 1\n---\na: 2\n", "a second document begins here", id="two-documents"),
    pytest.param("a: 1\n".encode("utf-16"), "the file is not UTF-8 text", id="utf-16"),
    pytest.param("a: 1\n".encode("utf-16-le"), "control character U+0000", id="utf-16-no-mark"),
    pytest.param(b"a: \xff\n", "the file is not UTF-8 text", id="latin-1"),
    pytest.param(
        "1: x\n", "key '1' is not a string; put it in quotation marks", id="number-as-key"
    ),
    pytest.param("true: x\n", "key 'true' is not a string", id="boolean-as-key"),
    pytest.param("~: x\n", "key '~' is not a string", id="null-as-key"),
    pytest.param("? [a, b]\n: x\n", "a key must be a word", id="list-as-key"),
    pytest.param("a: [1\n", "not valid YAML", id="unclosed"),
    pytest.param("a: b: c\n", "not valid YAML", id="two-colons"),
    pytest.param("\t- a\n", "not valid YAML", id="tab"),
    pytest.param("[" + "{a: " * 30_000, "nested more than 32 levels", id="flow-mappings"),
    pytest.param("a: '" + "x" * 500_000, "not valid YAML", id="endless-string"),
]


def read(text: str | bytes, *, pure: bool) -> tuple[Any, Findings]:
    findings = Findings("p.yaml")
    data = text if isinstance(text, bytes) else text.encode()
    root = read_document(data, findings, pure=pure)
    return None if root is None else plain(root), findings


@BOTH_PARSERS
@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_what_a_policy_never_needs_is_refused(text: str | bytes, message: str, pure: bool) -> None:
    """Each is told by its own words, with a place, by either parser."""
    _, findings = read(text, pure=pure)
    assert any(message in problem.message for problem in findings.in_order()), findings.in_order()


@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_a_hostile_file_costs_little(text: str | bytes, message: str) -> None:
    """Refused in less than 100 ms of CPU and 50 MiB, however large it would grow."""
    problems_of(GOOD)  # what is made once per process is made
    best_s = float("inf")
    for _ in range(3):  # whatever else the machine does
        started_s = time.process_time()
        assert problems_of(text)
        best_s = min(best_s, time.process_time() - started_s)
    assert best_s < 0.1
    tracemalloc.start()
    try:
        assert any(message in problem.message for problem in problems_of(text))
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("''", ""),
        ("010", 10),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-06-01", "2026-06-01"),
        ("1e5", Decimal("1e5")),
        ("0.18", Decimal("0.18")),
        (".5", Decimal("0.5")),
        ("1.", Decimal(1)),
        ("-1.50", Decimal("-1.50")),
        ("0.1000000000000000055", "digits"),
        ("123456789012345678", 123456789012345678),
        ("1234567890123456789", "digits"),
        ("'10'", "10"),
        ("10s", "10s"),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(written: str, value: object, pure: bool) -> None:
    """Norway stays Norway, ten stays ten, and a price never passes through a binary float."""
    document, findings = read(f"a: {written}\n", pure=pure)
    if findings.failed:
        assert str(value) in findings.in_order()[0].message
    else:
        assert document == {"a": value}
        assert type(document["a"]) is type(value)


@BOTH_PARSERS
def test_a_key_named_on_is_a_key(pure: bool) -> None:
    """`on:` is how a policy names backends; YAML 1.1 would read it as true."""
    assert read("on: {no: 1, y: 2}\n", pure=pure)[0] == {"on": {"no": 1, "y": 2}}


@BOTH_PARSERS
def test_a_byte_order_mark_moves_nothing(pure: bool) -> None:
    """Some editors write one; places are still counted from the first character seen."""
    document, findings = read(b"\xef\xbb\xbfa: 1\nb: .nan\n", pure=pure)
    assert document["a"] == 1
    assert (findings.in_order()[0].line, findings.in_order()[0].column) == (2, 4)


@BOTH_PARSERS
@pytest.mark.parametrize(
    "marked",
    [
        "a: 1\nb:\n  - x\n  - «!t y\n",
        "ü: 'ä ö'\né: {ñ: 1, «ñ: 2}\n",
        "a: [1, 2, «.inf]\n",
        "a: |\n  text\nb: {c: «*d}\n",
        "a: 1\n«<<: {b: 1}\n",
        "a: 1\n«--- \nb: 1\n",
        "a: x«\x07\n",
    ],
)
def test_places_count_lines_and_characters_from_one(marked: str, pure: bool) -> None:
    """A place is what an editor shows: characters, not bytes."""
    text, place = place_of_mark(marked)
    _, findings = read(text, pure=pure)
    assert [(problem.line, problem.column) for problem in findings.in_order()] == [place]


@BOTH_PARSERS
def test_limits_are_reached_before_they_are_passed(pure: bool) -> None:
    """The largest allowed file reads; one more of anything does not."""
    depth = "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)
    assert not read(f"a: {depth}", pure=pure)[1].failed
    assert read(f"a: [{depth}]", pure=pure)[1].failed
    values = "x," * (NODES_MAX - 1)
    assert not read(f"[{values}]", pure=pure)[1].failed
    assert read(f"[{values} x]", pure=pure)[1].failed


def test_a_file_of_problems_is_not_told_for_ever() -> None:
    """A hundred problems are enough for one run."""
    problems = problems_of("\n".join(f"k{i}: *a" for i in range(5_000)))
    assert len(problems) < 220
    assert any("more than 100 problems" in problem.message for problem in problems)


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "x", "- a\n"])
def test_a_file_that_is_no_mapping_says_what_a_policy_is(text: str) -> None:
    """An empty file is told like any other wrong shape."""
    (problem,) = problems_of(text)
    assert "must be a mapping with the keys version, environment" in problem.message
