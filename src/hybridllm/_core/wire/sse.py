"""Bytes of a `text/event-stream` in, its events out.

Owns the framing and its limits. Knows nothing of JSON, of `[DONE]` or of what an event means.
The rule a newcomer would break first: `feed` may be handed any cut of the stream, in the middle of
a line end or of a character, and the events are the same. The fast path only sees whole events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

LINE_BYTES_MAX = 1 << 20
EVENT_BYTES_MAX = 4 << 20
STREAM_BYTES_MAX = 32 << 20

_BOM = b"\xef\xbb\xbf"
_COLON = ord(":")


class SseLimitExceeded(Exception):
    """A stream is larger than anything a backend has reason to send.

    Attributes:
        what: `line`, `event` or `stream`.
        limit: The limit in bytes.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"a {what} of the event stream is longer than {limit} bytes")
        self.what = what
        self.limit = limit


class SseDecoder:
    """Decodes one stream.

    Attributes:
        comments: How many comment lines have come; they keep a connection alive and mean nothing.
    """

    __slots__ = (
        "_after_cr",
        "_at_rest",
        "_data",
        "_data_bytes",
        "_event_max",
        "_line",
        "_line_max",
        "_name",
        "_plain_max",
        "_started",
        "_stream_bytes",
        "_stream_max",
        "comments",
    )

    def __init__(
        self,
        *,
        line_bytes_max: int = LINE_BYTES_MAX,
        event_bytes_max: int = EVENT_BYTES_MAX,
        stream_bytes_max: int = STREAM_BYTES_MAX,
    ) -> None:
        self._line_max = line_bytes_max
        self._event_max = event_bytes_max
        self._stream_max = stream_bytes_max
        self._plain_max = min(line_bytes_max, event_bytes_max)  # what is shorter breaks neither
        self._stream_bytes = 0
        self._line = bytearray()  # of the line that has not ended
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._started = False  # the first line is through, so that no BOM can come any more
        self._after_cr = False  # a LF that comes next belongs to the CR before it
        self._at_rest = True  # between two events, nothing held back
        self.comments = 0

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended.

        At the end of a stream it was cut off, and is not an event: the standard drops it.
        """
        return bool(self._data or self._name or (self._line and not self._line.startswith(b":")))

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return the events that `data` completes, as (name, data); the default name is `b""`.

        Raises:
            SseLimitExceeded: The stream is not to be read on; events of this piece are lost.
        """
        size = len(data)
        self._stream_bytes += size
        if self._stream_bytes > self._stream_max:
            raise SseLimitExceeded("stream", self._stream_max)
        if self._at_rest and size <= self._plain_max and data[-2:] == b"\n\n":
            events = _plain_events(data)
            if events is not None:
                self._started = True
                return events
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Any cut: finish the event at hand, take whole events at once, keep the rest."""
        if self._after_cr or b"\r" in data:
            data = self._with_lf_only(data)
        events: list[tuple[bytes, bytes]] = []
        begin = 0
        if not self._at_rest:
            begin = data.find(b"\n\n") + 2
            self._take_lines(data if begin == 1 else data[:begin], events)
            if begin == 1:
                return events
        end = data.rfind(b"\n\n", begin) + 2
        if end > begin:
            whole = data[begin:end]
            plain = _plain_events(whole) if len(whole) <= self._plain_max else None
            if plain is None:
                self._take_lines(whole, events)
            else:
                self._started = True
                events += plain
            begin = end
        if begin < len(data):
            self._take_lines(data[begin:], events)
        return events

    def _with_lf_only(self, data: bytes) -> bytes:
        """The same lines ended by LF. A CR ends its line at once; a LF that follows is dropped."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take_lines(self, data: bytes, events: list[tuple[bytes, bytes]]) -> None:
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            if len(line) > self._line_max:
                raise SseLimitExceeded("line", self._line_max)
            if line:
                if (
                    line[0] == _COLON
                ):  # here, because there may be a hundred thousand of them a second
                    self.comments += 1
                else:
                    self._take_field(line)
            elif self._data:
                events.append((self._name, b"\n".join(self._data)))
                self._name = b""
                self._data = []
                self._data_bytes = 0
            else:
                self._name = b""  # a name without data is no event
            self._started = True
        self._line += rest
        if len(self._line) > self._line_max:
            raise SseLimitExceeded("line", self._line_max)
        self._at_rest = not (self._line or self._data or self._name)

    def _take_field(self, line: bytes) -> None:
        if not self._started and line.startswith(_BOM):
            line = line[len(_BOM) :]
        field, _, value = line.partition(b":")
        if not field:
            # Empty lines and comments were handled before; but for those behind a BOM.
            self.comments += line.startswith(b":")
            return
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._event_max:
                raise SseLimitExceeded("event", self._event_max)
            self._data.append(value)
        elif field == b"event":
            self._name = value
        # `id` and `retry` steer a browser's reconnection; unknown fields are ignored.


def _plain_events(data: bytes) -> list[tuple[bytes, bytes]] | None:
    r"""Events of `data`, if it holds nothing but `data: ...\n\n`; it ends where an event ends.

    None if there is a CR, a comment, another field, or an event of several lines: then go by lines.
    """
    # `find`: in 3.11 `b"\r" in data` tries its operand as an integer first, three times the time.
    if data[:6] != b"data: " or data.find(b"\r") >= 0:
        return None
    if data.find(b"\n") == len(data) - 2:  # one event: the usual piece of a live stream
        return [(b"", data[6:-2])]
    events = data[6:-2].split(b"\n\ndata: ")
    if b"".join(events).find(b"\n") >= 0:
        return None
    return [(b"", event) for event in events]
