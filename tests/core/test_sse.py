"""The decoder of event streams: any cut, any line end, and its limits."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import captures
from hybridllm._core.wire.sse import SseDecoder, SseLimitExceeded

Events = list[tuple[bytes, bytes]]


def decoded(*pieces: bytes) -> Events:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def feed_all(decoder: SseDecoder, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


def decoded_by_the_standard(stream: bytes) -> Events:
    """The standard's algorithm, line by line; slow and plain."""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]
    events: Events = []
    name, data = b"", []
    for line in lines:
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


STREAMS = [
    pytest.param(b"data: a\n\n", [(b"", b"a")], id="one"),
    pytest.param(b"data:a\n\n", [(b"", b"a")], id="no-space"),
    pytest.param(b"data:  a \n\n", [(b"", b" a ")], id="only-one-space-goes"),
    pytest.param(b"data: a\r\n\r\n", [(b"", b"a")], id="crlf"),
    pytest.param(b"data: a\r\r", [(b"", b"a")], id="cr"),
    pytest.param(
        b"data: a\r\n\ndata: b\n\rdata: c\r\r\n", [(b"", x) for x in (b"a", b"b", b"c")], id="mixed"
    ),
    pytest.param(b"data: a\ndata: b\n\n", [(b"", b"a\nb")], id="two-lines"),
    pytest.param(b"data: a\n\ndata: b\ndata: c\n\n", [(b"", b"a"), (b"", b"b\nc")], id="then-two"),
    pytest.param(b"data\n\n", [(b"", b"")], id="data-without-colon"),
    pytest.param(b"data\ndata\n\n", [(b"", b"\n")], id="two-empty-lines"),
    pytest.param(b"data: \n\n", [(b"", b"")], id="empty-data"),
    pytest.param(b"\n\n\n", [], id="blank-lines"),
    pytest.param(b": ping\n\n: pong\n\n", [], id="comments"),
    pytest.param(b": x\ndata: a\n: y\n\n", [(b"", b"a")], id="comments-inside"),
    pytest.param(
        b"event: error\ndata: {}\n\ndata: b\n\n",
        [(b"error", b"{}"), (b"", b"b")],
        id="name-is-for-one-event",
    ),
    pytest.param(b"event: error\n\ndata: b\n\n", [(b"", b"b")], id="name-without-data"),
    pytest.param(b"event: a\nevent: b\ndata: c\n\n", [(b"b", b"c")], id="last-name-counts"),
    pytest.param(b"id: 7\nretry: 9\nfoo: bar\ndata: a\n\n", [(b"", b"a")], id="other-fields"),
    pytest.param(b" data: a\n\nDATA: b\n\n", [], id="field-names-are-exact"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")], id="bom"),
    pytest.param(b"\xef\xbb\xbf: hi\n\xef\xbb\xbfdata: a\n\n", [], id="bom-only-at-the-start"),
    pytest.param(b"\xef\xbb\xbf\ndata: a\n\n", [(b"", b"a")], id="bom-on-a-line-of-its-own"),
    pytest.param(b"data: a\n\ndata: b\n", [(b"", b"a")], id="unfinished-event-is-dropped"),
    pytest.param(b"data: a\n\ndata: b", [(b"", b"a")], id="unfinished-line-is-dropped"),
    pytest.param("data: grüße 🦔\n\n".encode(), [(b"", "grüße 🦔".encode())], id="utf-8"),
    pytest.param(b"data: \xff\xfe\x00\n\n", [(b"", b"\xff\xfe\x00")], id="bytes-are-not-judged"),
    pytest.param(b"data: a\rb\n\n", [(b"", b"a")], id="cr-inside-ends-the-line"),
    pytest.param(b"<html>no stream</html>\n", [], id="html"),
    pytest.param(b"", [], id="nothing"),
]


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_events_are_the_standards_however_the_bytes_are_cut(stream: bytes, events: Events) -> None:
    """Whole, byte by byte, and at every single place: the events are the same."""
    assert decoded_by_the_standard(stream) == events
    assert decoded(stream) == events
    assert decoded(*(stream[i : i + 1] for i in range(len(stream)))) == events
    for place in range(len(stream) + 1):
        assert decoded(stream[:place], stream[place:]) == events


PIECES = st.lists(
    st.sampled_from(
        [b"data: ", b"data:", b"data", b"event: error", b"event:", b": note", b"id: 1", b"\xef\xbb\xbf",
         b"{}", b"a", b" ", b":", b"\xf0\x9f\xa6\x94", b"\n", b"\n", b"\r", b"\r\n", b"\n\n", b"\n\n",
         b"data: {}\n\n", b"data: {}\n\n"]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@settings(deadline=None)
@given(stream=PIECES | st.binary(max_size=60), data=st.data())
def test_any_cut_of_any_stream_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    """Also of streams that are none; the plain algorithm of the standard is the witness."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decoded(*pieces) == decoded_by_the_standard(stream)


@pytest.mark.parametrize(
    "name", [name for name, capture in captures().items() if capture.body.startswith(b"data: ")]
)
def test_real_streams_decode_the_same_in_one_piece_and_in_small_ones(name: str) -> None:
    """Each recorded stream, at once, as the server cut it, and in pieces of 7 bytes."""
    capture = captures()[name]
    body = capture.body
    expected = decoded_by_the_standard(body)
    assert len(expected) == body.count(b"data: ")
    assert decoded(body) == expected
    assert decoded(*capture.pieces) == expected
    assert decoded(*(body[i : i + 7] for i in range(0, len(body), 7))) == expected


def test_comments_are_counted_and_not_returned() -> None:
    """Keep-alive comments prove a connection, never an answer."""
    decoder = SseDecoder()
    assert decoder.feed(captures()["auth/chat_stream_keep_alive"].body)
    assert decoder.comments == 3
    assert decoder.feed(b": four\n\n: fi") == []
    assert decoder.comments == 4
    assert decoder.feed(b"ve\n") == []
    assert decoder.comments == 5


@pytest.mark.parametrize(
    ("stream", "pending"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"data: a\n\n", False, id="ended"),
        pytest.param(b"data: a\n", True, id="no-blank-line"),
        pytest.param(b"data: a", True, id="no-line-end"),
        pytest.param(b"data: a\n\ndata: {", True, id="second-cut"),
        pytest.param(b"data: a\n\nevent: error\n", True, id="name-only"),
        pytest.param(b"data: a\n\n: pin", False, id="cut-comment"),
        pytest.param(b"data: a\r\n\r", False, id="cr-awaits-no-lf"),
    ],
)
def test_an_event_that_was_cut_off_is_pending(stream: bytes, pending: bool) -> None:
    """At the end of a stream it is told apart from a clean end."""
    decoder = SseDecoder()
    decoder.feed(stream)
    assert decoder.pending is pending


LIMITS = {"line_bytes_max": 20, "event_bytes_max": 30, "stream_bytes_max": 60}


@pytest.mark.parametrize(
    ("stream", "what"),
    [
        pytest.param(b"data: " + b"a" * 14 + b"\n\n", None, id="line-at-limit"),
        pytest.param(b"data: " + b"a" * 15 + b"\n\n", "line", id="line-over"),
        pytest.param(b"data: " + b"a" * 15, "line", id="unfinished-line-over"),
        pytest.param(b": " + b"a" * 19 + b"\n", "line", id="comment-over"),
        pytest.param((b"data: " + b"a" * 14 + b"\n") * 2 + b"\n", None, id="event-at-limit"),
        pytest.param((b"data: " + b"a" * 14 + b"\n") * 2 + b"data\n", "event", id="event-over"),
        pytest.param(b"data: abc\n\n" * 5 + b"\n" * 5, None, id="stream-at-limit"),
        pytest.param(b"data: abc\n\n" * 5 + b"\n" * 6, "stream", id="stream-over"),
        pytest.param(b"\n" * 61, "stream", id="blank-lines-over"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_stream_beyond_a_limit_is_refused(stream: bytes, what: str | None, size: int) -> None:
    """However it is cut; what is at the limit passes."""
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    if what is None:
        feed_all(SseDecoder(**LIMITS), pieces)
        return
    with pytest.raises(SseLimitExceeded) as caught:
        feed_all(SseDecoder(**LIMITS), pieces)
    assert caught.value.what == what
    assert str(LIMITS[f"{what}_bytes_max"]) in str(caught.value)


def test_an_endless_line_is_held_no_further_than_its_limit() -> None:
    """200 MiB on one line are refused after the first MiB."""
    pieces = iter([b"a" * 65_536] * 3_200)
    with pytest.raises(SseLimitExceeded, match="line"):
        feed_all(SseDecoder(), pieces)
    assert len(list(pieces)) == 3_200 - 17
