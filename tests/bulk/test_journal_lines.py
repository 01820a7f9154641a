"""The lines of a journal, and what they add up to: read back as written, wherever the file was cut."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.bulk.journal_lines import (
    Entry,
    Kind,
    done_line,
    failed_line,
    header_line,
    read_done,
    read_entry,
    read_header,
    sent_line,
)
from hybridllm._core.bulk.journal_state import JournalState, Phase, Standing
from hybridllm._core.bulk.paid import NOTHING_PAID, Paid, paid_from, paid_json

DIGEST = bytes(range(16))
PAID = Paid("r" * 32, "eu", "m", Decimal("0.00000000000000000012"), False, 10, 5)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def test_every_line_is_json() -> None:
    """Anybody's tools can look into a journal."""
    lines = [
        header_line("chat"),
        sent_line(7, DIGEST),
        done_line(7, b'{"id":"x"}', PAID),
        failed_line(8, "RouteExhausted", NOTHING_PAID),
    ]
    said = [json.loads(line) for line in lines]
    assert said[0]["operation"] == "chat"
    assert said[1] == {"sent": 7, "hash": DIGEST.hex(), "crc": said[1]["crc"]}
    assert said[2]["answer"] == {"id": "x"}
    assert said[2]["paid"]["cost_usd"] == "0.00000000000000000012"
    assert said[3]["error"] == "RouteExhausted"
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)


@given(st.integers(0, 10**12), TEXTS, TEXTS)
def test_a_line_is_read_as_it_was_written(index: int, text: str, name: str) -> None:
    """Whatever stands in an answer or a name, also what looks like a line."""
    answer = json.dumps({"text": text, "like": ',"answer":{},"crc":"00000000"}\n'}).encode()
    paid = Paid("r", name, f'{name},"answer":', Decimal(1) / 3, True, 1, 2)
    line = done_line(index, answer, paid)
    assert read_entry(line) == Entry(Kind.DONE, index)
    assert read_done(line) == (answer, paid)
    assert read_entry(sent_line(index, DIGEST)) == Entry(Kind.SENT, index, DIGEST)
    assert read_entry(failed_line(index, "E", paid)) == Entry(Kind.FAILED, index, paid=paid)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_byte_that_changed_is_noticed(place: int, change: int) -> None:
    """Anywhere in a line."""
    line = bytearray(done_line(3, b'{"id":"x","text":"hello"}', PAID))
    line[place % (len(line) - 1)] ^= change
    with pytest.raises(ValueError, match="line"):
        read_done(bytes(line))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n", id="newline"),
        pytest.param(b"\x00" * 64 + b"\n", id="zeros"),
        pytest.param(b'{"sent":1}\n', id="no-checksum"),
        pytest.param(header_line("chat"), id="a-header-in-the-middle"),
        pytest.param(sent_line(1, b"short"), id="a-short-digest"),
        pytest.param(sent_line(1, DIGEST)[:-1] + sent_line(2, DIGEST), id="two-in-one"),
    ],
)
def test_what_is_no_line_is_refused(line: bytes) -> None:
    """By an error that says so."""
    with pytest.raises(ValueError, match="line"):
        read_entry(line)


@pytest.mark.parametrize(
    "line", [b"", b"[]\n", b"null\n", b'{"journal":"hybridllm.bulk"}\n', sent_line(0, DIGEST)]
)
def test_what_is_no_header_is_refused(line: bytes) -> None:
    """Before anything of the file is changed."""
    with pytest.raises(ValueError, match="journal"):
        read_header(line)


@pytest.mark.parametrize(
    "told", [[], {"cost": 1}, {"cost_usd": "much"}, {"cost_usd": [1]}, {"cost_usd": "1e"}]
)
def test_money_that_cannot_be_read_is_no_money(told: object) -> None:
    """Rather an error than a wrong sum."""
    with pytest.raises(ValueError, match="cannot be read"):
        paid_from(told)


@given(st.decimals(min_value=0, allow_nan=False, allow_infinity=False, places=20))
def test_money_is_kept_to_the_last_digit(cost: Decimal) -> None:
    """As a text without an exponent."""
    paid = Paid(cost_usd=cost)
    assert "E" not in json.dumps(paid_json(paid))
    assert paid_from(json.loads(json.dumps(paid_json(paid)))) == paid


# State


def state_of(*lines: bytes) -> JournalState:
    state, offset = JournalState(), 100
    for line in lines:
        state.add(read_entry(line), offset=offset, length=len(line))
        offset += len(line)
    return state


SENT, DONE, FAILED = sent_line(0, DIGEST), done_line(0, b"{}", PAID), failed_line(0, "E", PAID)


@pytest.mark.parametrize(
    ("lines", "phase", "unknown_before"),
    [
        pytest.param([], Phase.NEW, False, id="nothing"),
        pytest.param([SENT], Phase.SENT, False, id="sent"),
        pytest.param([SENT, DONE], Phase.DONE, False, id="answered"),
        pytest.param([SENT, FAILED], Phase.FAILED, False, id="failed"),
        pytest.param([FAILED], Phase.FAILED, False, id="never-sent"),
        pytest.param([SENT, SENT], Phase.SENT, True, id="killed-twice"),
        pytest.param([SENT, SENT, DONE], Phase.DONE, True, id="answered-the-second-time"),
        pytest.param([SENT, FAILED, SENT, DONE], Phase.DONE, False, id="failed-then-answered"),
        pytest.param([SENT, SENT, FAILED, SENT], Phase.SENT, True, id="never-forgotten"),
    ],
)
def test_where_an_item_stands(lines: list[bytes], phase: Phase, unknown_before: bool) -> None:
    """By its last line; that a try had no ending is remembered for ever."""
    standing = state_of(*lines).of(0)
    assert (standing.phase, standing.unknown_before) == (phase, unknown_before)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param([DONE], "was never sent", id="answered-unsent"),
        pytest.param([SENT, FAILED, DONE], "was never sent", id="answered-after-failing"),
        pytest.param([SENT, DONE, DONE], "has an answer already", id="answered-twice"),
        pytest.param([SENT, DONE, SENT], "has an answer already", id="sent-after-its-answer"),
        pytest.param([SENT, DONE, FAILED], "has an answer already", id="failed-after-its-answer"),
        pytest.param([SENT, sent_line(2, DIGEST)], "item 2 comes before item 1", id="a-gap"),
        pytest.param([sent_line(10**14, DIGEST)], "comes before item 0", id="far-away"),
    ],
)
def test_what_cannot_follow_is_refused(lines: list[bytes], words: str) -> None:
    """A gap would cost memory for every item that is not there."""
    with pytest.raises(ValueError, match=words):
        state_of(*lines)


def test_an_answer_is_found_at_its_place() -> None:
    """Offset and length of its line, and the digest of its request."""
    standing = state_of(SENT, DONE).of(0)
    assert standing == Standing(Phase.DONE, DIGEST, False, 100 + len(SENT), len(DONE))


def test_a_state_counts_items_and_what_failures_cost() -> None:
    """Each item once, wherever it stands."""
    state = state_of(SENT, FAILED, sent_line(1, DIGEST), failed_line(1, "E", Paid()), SENT)
    assert (len(state), state.done, state.unknown, state.failed) == (2, 0, 1, 1)
    assert state.failed_usd == PAID.cost_usd
    assert state.failed_cost_complete is False
