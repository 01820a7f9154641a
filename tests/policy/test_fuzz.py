"""Whatever the bytes: a policy, or a PolicyError that says where and what. Nothing else, and soon."""

from __future__ import annotations

import json
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._adapters.yaml_document import read_document
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings, plain
from hybridllm.errors import PolicyError
from policy.policy_text import GOOD
from policy.seeded_mistakes import POLICY

ENVIRON = {"URL": "https://a.example/v1", "EMPTY": ""}
MEANINGFUL = (
    "version backends models routes use when on residency tasks price free kind api base_url eu deny "
    "null true 1 -1 1e5 10s 32K .nan ${URL} ${ $${ *a &a !t << ? | > ' \" # % @ ` --- [ ] { } , "
    "not any metadata time tier bucket split constraints allow deny acme-* 08:00 mon-fri UTC phi budget "
    "volume tokens_per_day gte 500M sustained 90d break_even above capacity overflow from to saturated"
)
SPACING = (": ", "- ", "\n", "\n  ", "\n    ", " ", "\t", "é", "\u2028", "\ufeff", "\0")
WORDS = st.sampled_from([*MEANINGFUL.split(), *SPACING])
TEXTS = st.one_of(st.text(), st.lists(WORDS, max_size=60).map("".join))


def loads_or_says_why(text: str | bytes) -> None:
    try:
        policy, problems = load_policy_text(text, environ=ENVIRON)
    except PolicyError as error:
        problems = error.problems
        assert any(not problem.warning for problem in problems)
    else:
        assert isinstance(policy, Policy)
    for problem in problems:
        assert problem.message
        assert problem.line >= 0
        assert problem.column >= 1
        assert "\n" not in str(problem)


@given(st.one_of(st.binary(), st.binary().map(lambda tail: GOOD.encode() + tail)))
@settings(max_examples=150, deadline=None)
def test_any_bytes_load_or_say_why(data: bytes) -> None:
    """Bytes from anywhere."""
    loads_or_says_why(data)


@given(TEXTS)
@example("\ud800")
@example('a: "\\ud800"')
@example("? ")
@example("a: ${URL")
@settings(max_examples=200, deadline=None)
def test_any_text_loads_or_says_why(text: str) -> None:
    """Text from anywhere, and text made of what means something."""
    loads_or_says_why(text)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 12), TEXTS)
@settings(max_examples=150, deadline=None)
def test_a_policy_with_a_piece_replaced_loads_or_says_why(at: int, length: int, piece: str) -> None:
    """Nearly right is what a person writes."""
    loads_or_says_why(GOOD[:at] + piece + GOOD[at + length :])


LINES = POLICY.splitlines(keepends=True)
PIECES = sorted({piece for line in LINES for piece in re.findall(r"[\w.*-]+|[^\s\w]", line)})


@given(st.integers(0, len(LINES) - 1), st.data())
@settings(max_examples=300, deadline=None)
def test_a_policy_with_words_exchanged_loads_or_says_why(at: int, data: st.DataObject) -> None:
    """Words of the language where others of its words belong; lines left out, doubled, out of place."""
    pieces = re.split(r"([\w.*-]+|[^\s\w])", LINES[at])
    place = data.draw(st.integers(0, len(pieces) - 1))
    pieces[place] = data.draw(st.sampled_from(["", *PIECES]))
    line = "".join(pieces)
    left = data.draw(st.sampled_from([line, "", LINES[at] * 2, LINES[at - 1] + line]))
    loads_or_says_why("".join([*LINES[:at], left, *LINES[at + 1 :]]))


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**17), 10**17),
    st.sampled_from(
        [
            "eu",
            "deny",
            "free",
            "10s",
            "32K",
            "https://a.example/v1",
            "qwen3-8b",
            "x",
            "api",
            "${URL}",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=8),
)
SECTIONS = (
    "version environment default_residency backends models residency tasks routes retries tiers buckets "
    "constraints tests"
)
INNER_KEYS = (
    "kind base_url price timeouts on use when name model like context capabilities regions task fallbacks x "
    "hosted-us qwen3-8b headers not any metadata time zone tier bucket split sticky_by order_by slo ttft_ms "
    "p90 allow deny backends models mode max_output_price gte given expect bandwidth judgment volume"
)
KEYS = st.sampled_from([*SECTIONS.split(), *INNER_KEYS.split()])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(SECTIONS.split(), TREES)))
@settings(max_examples=100, deadline=None)
def test_any_tree_loads_or_says_why(tree: dict[str, object]) -> None:
    """The right keys with the wrong things under them; JSON is YAML."""
    loads_or_says_why(json.dumps(tree))


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_both_parsers_read_the_same(text: str) -> None:
    """Where the C parser is missing, a policy means what it means where it is there."""
    data = text.encode("utf-8", "surrogatepass")
    fast, slow = Findings("f"), Findings("f")
    by_fast, by_slow = read_document(data, fast), read_document(data, slow, pure=True)
    if not fast.failed and not slow.failed:
        assert by_fast is not None
        assert by_slow is not None
        assert plain(by_fast) == plain(by_slow)
