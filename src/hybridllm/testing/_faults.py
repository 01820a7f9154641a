"""What can go wrong with a backend, as values.

Owns the names of the faults; `_exchange.py` puts them on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypedDict, Unpack, get_args


class FaultKind(StrEnum):
    """One word per fault."""

    NONE = "none"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    HANG = "hang"
    HANG_AFTER_HEAD = "hang_after_head"
    STATUS = "status"
    RESET_BEFORE_HEAD = "reset_before_head"
    RESET_MID_HEAD = "reset_mid_head"
    FIN_BEFORE_HEAD = "fin_before_head"
    STALE_KEEP_ALIVE = "stale_keep_alive"
    CLOSE_IDLE = "close_idle"
    GARBAGE = "garbage"
    BODY = "body"
    SLOW = "slow"
    TRICKLE = "trickle"
    CUT = "cut"
    FINISH_REASON = "finish_reason"
    USAGE = "usage"
    OVERSIZE_LINE = "oversize_line"
    GZIP = "gzip"


Cut = Literal[
    "fin",
    "rst",
    "eof",
    "partial_event",
    "done_without_finish",
    "error_event",
    "flat_error",
    "named_error_event",
    "abort",
    "stall",
    "pings",
    "bad_json",
    "bad_utf8",
    "list",
    "null",
]
"""How a stream ends, or goes wrong, after some tokens; see `Fault.cut_after`."""

BEFORE_THE_ROLE = -1  # as the number of tokens after which a stream is cut


class Limits(TypedDict, total=False):
    """Which requests a fault strikes; every constructor of `Fault` takes these.

    Attributes:
        probability: The share of requests, from 0 to 1; the backend's seed decides which.
        times: Only so many requests, the first ones.
        path: Only requests whose path ends so: `/chat/completions`. Default: every request.
    """

    probability: float
    times: int
    path: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a backend to fail. Made with the class methods.

    Attributes:
        kind: Which one.
        status_code: Of the answer, where the fault is an answer.
        headers: Added to the answer's head.
        payload: Bytes that are sent as they are; None where the backend writes them.
        seconds: A wait, or the time between two pieces.
        size: A number of tokens, or of bytes.
        how: The manner of a cut, or the word of a finish reason.
        probability: The share of requests that it strikes.
        times: How many requests it strikes at most; None is no limit.
        path: How the path of a request must end to be struck; None is any.
    """

    kind: FaultKind
    status_code: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    payload: bytes | None = None
    seconds: float = 0.0
    size: int = 0
    how: str = ""
    probability: float = 1.0
    times: int | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must be from 0 to 1: {self.probability}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be 1 or more: {self.times}")
        if self.needs_listener_closed and (self.probability < 1 or self.times or self.path):
            raise ValueError(
                f"{self.kind} closes the port, so it cannot strike single requests; "
                "reset_before_head can"
            )

    @property
    def needs_listener_closed(self) -> bool:
        """True if nobody must be able to connect."""
        return self.kind in {FaultKind.REFUSE, FaultKind.BLACKHOLE}

    @property
    def cuts_to_pieces(self) -> bool:
        """True if the answer is sent in pieces of `size` bytes."""
        return self.kind in {FaultKind.TRICKLE, FaultKind.BODY} and self.size > 0

    # Nobody answers

    @classmethod
    def refuse(cls) -> Fault:
        """The port is closed, idle connections too; requests in progress end in order."""
        return cls(FaultKind.REFUSE)

    @classmethod
    def blackhole(cls) -> Fault:
        """Connecting hangs: packets are lost on the way. Idle connections are closed. Linux only."""
        return cls(FaultKind.BLACKHOLE)

    @classmethod
    def hang(cls, **limits: Unpack[Limits]) -> Fault:
        """The request is taken, and never answered."""
        return cls(FaultKind.HANG, **limits)

    @classmethod
    def hang_after_head(cls, **limits: Unpack[Limits]) -> Fault:
        """The head comes, the body never."""
        return cls(FaultKind.HANG_AFTER_HEAD, **limits)

    @classmethod
    def slow(cls, latency_s: float, **limits: Unpack[Limits]) -> Fault:
        """The answer comes `latency_s` later."""
        return cls(FaultKind.SLOW, seconds=latency_s, **limits)

    @classmethod
    def trickle(
        cls, interval_s: float = 0.1, *, piece_bytes: int = 1, **limits: Unpack[Limits]
    ) -> Fault:
        """The answer comes in pieces of a byte or so, its head too. An interval of 0 only cuts."""
        if piece_bytes < 1:
            raise ValueError(f"a piece has 1 byte or more: {piece_bytes}")
        return cls(FaultKind.TRICKLE, seconds=interval_s, size=piece_bytes, **limits)

    # The connection breaks

    @classmethod
    def reset_before_head(cls, **limits: Unpack[Limits]) -> Fault:
        """RST once the request was read."""
        return cls(FaultKind.RESET_BEFORE_HEAD, **limits)

    @classmethod
    def reset_mid_head(cls, **limits: Unpack[Limits]) -> Fault:
        """RST in the middle of the head."""
        return cls(FaultKind.RESET_MID_HEAD, **limits)

    @classmethod
    def reset_mid_body(cls, **limits: Unpack[Limits]) -> Fault:
        """RST in the middle of the body; of a stream, after its first token."""
        return cls(FaultKind.CUT, size=1, how="rst", **limits)

    @classmethod
    def fin_before_head(cls, **limits: Unpack[Limits]) -> Fault:
        """The connection is closed in order once the request was read, without a byte."""
        return cls(FaultKind.FIN_BEFORE_HEAD, **limits)

    @classmethod
    def fin_mid_body(cls, **limits: Unpack[Limits]) -> Fault:
        """The connection is closed in order in the middle of the body, before its declared end."""
        return cls(FaultKind.CUT, size=1, how="fin", **limits)

    @classmethod
    def stale_keep_alive(
        cls, how: Literal["fin", "rst"] = "rst", **limits: Unpack[Limits]
    ) -> Fault:
        """Kept-alive connections are dead: a second request on one closes it unanswered."""
        return cls(FaultKind.STALE_KEEP_ALIVE, how=how, **limits)

    @classmethod
    def close_idle(cls, **limits: Unpack[Limits]) -> Fault:
        """A good answer; then the connection is closed at once, without `connection: close`."""
        return cls(FaultKind.CLOSE_IDLE, **limits)

    # An answer, but a wrong one

    @classmethod
    def status(
        cls,
        code: int,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
        **limits: Unpack[Limits],
    ) -> Fault:
        """An answer with this status.

        Args:
            code: HTTP status.
            body: Bytes or text as they are, anything else as JSON; None is an error object in the
                shape of the backend's kind.
            headers: Added to the head.
            retry_after: Value of `retry-after`, of any kind.
            **limits: See `Limits`.
        """
        fields = list((headers or {}).items())
        if retry_after is not None:
            fields.append(("retry-after", str(retry_after)))
        if not isinstance(body, bytes | str | None):
            body = json.dumps(body)
        return cls(
            FaultKind.STATUS,
            status_code=code,
            headers=tuple(fields),
            payload=body.encode() if isinstance(body, str) else body,
            **limits,
        )

    @classmethod
    def redirect(cls, to: str, *, code: int = 307, **limits: Unpack[Limits]) -> Fault:
        """A redirect to another address."""
        return cls(
            FaultKind.STATUS, status_code=code, headers=(("location", to),), payload=b"", **limits
        )

    @classmethod
    def garbage(cls, payload: bytes = bytes(range(256)), **limits: Unpack[Limits]) -> Fault:
        """Bytes that are not HTTP, then the end of the connection."""
        return cls(FaultKind.GARBAGE, payload=payload, **limits)

    @classmethod
    def body(
        cls,
        payload: bytes,
        *,
        content_type: str = "application/json",
        piece_bytes: int = 0,
        **limits: Unpack[Limits],
    ) -> Fault:
        """200 with exactly this body; `piece_bytes` sends it in pieces of so many bytes."""
        headers = (("content-type", content_type),)
        return cls(FaultKind.BODY, payload=payload, headers=headers, size=piece_bytes, **limits)

    @classmethod
    def html(cls, **limits: Unpack[Limits]) -> Fault:
        """200 with a web page, as from a proxy in between."""
        page = b"<!doctype html><html><body><h1>It works!</h1></body></html>"
        return cls.body(page, content_type="text/html; charset=utf-8", **limits)

    @classmethod
    def empty(cls, **limits: Unpack[Limits]) -> Fault:
        """200 with an empty body."""
        return cls.body(b"", **limits)

    @classmethod
    def truncated_json(cls, **limits: Unpack[Limits]) -> Fault:
        """200 with half of the JSON, and a content-length that fits; a stream ends within an event."""
        return cls(FaultKind.CUT, size=1, how="partial_event", **limits)

    @classmethod
    def oversize_line(cls, size: int = 2 * 1024 * 1024, **limits: Unpack[Limits]) -> Fault:
        """A text of `size` bytes: in one line of the stream, or in the answer."""
        return cls(FaultKind.OVERSIZE_LINE, size=size, **limits)

    @classmethod
    def gzip(cls, *, decoded_bytes: int | None = None, **limits: Unpack[Limits]) -> Fault:
        """The body is compressed, though nobody asked; `decoded_bytes` makes it a bomb of that size."""
        return cls(FaultKind.GZIP, size=decoded_bytes or 0, **limits)

    @classmethod
    def usage(cls, value: Any, **limits: Unpack[Limits]) -> Fault:
        """The answer reports this as its `usage`; text is taken as JSON: `'{"prompt_tokens": 1e999}'`."""
        payload = value if isinstance(value, str) else json.dumps(value)
        return cls(FaultKind.USAGE, payload=payload.encode(), **limits)

    @classmethod
    def no_usage(cls, **limits: Unpack[Limits]) -> Fault:
        """The answer reports no usage, asked or not."""
        return cls(FaultKind.USAGE, payload=None, **limits)

    @classmethod
    def finish_reason(cls, value: str, **limits: Unpack[Limits]) -> Fault:
        """The answer ends with this reason: `content_filter`, `abort`, or a word nobody knows."""
        return cls(FaultKind.FINISH_REASON, how=value, **limits)

    # Streams

    @classmethod
    def cut_after(cls, tokens: int, how: Cut = "fin", **limits: Unpack[Limits]) -> Fault:
        """After so many tokens (or as many as there are) the stream goes wrong, before it can finish.

        - `fin`, `rst`: the connection ends, in order or not, without the stream's end; 10 ms after
          the last token, so that a client in the same event loop has read it.
        - `eof`: the stream ends in order, without a finish reason or `[DONE]`.
        - `partial_event`: likewise, but within an event.
        - `done_without_finish`: `[DONE]`, without a finish reason.
        - `error_event`, `named_error_event`, `flat_error`: an error, as vLLM sends it now, with
          `event: error` before it, or as older versions sent it; then `[DONE]`.
        - `abort`: a finish reason `abort`, usage and `[DONE]`, as from vLLM being stopped.
        - `stall`, `pings`: nothing more, or only comments.
        - `bad_json`, `bad_utf8`, `list`, `null`: an event that is no chunk; then all goes on well.

        An answer that is not streamed goes wrong alike: its JSON is cut in the middle (`fin`, `rst`,
        `stall`, `pings`), ends there with a content-length that fits (`eof`,
        `partial_event`, `bad_json`), is no object
        (`list`, `null`, `bad_utf8`), has no finish reason (`done_without_finish`), the reason `abort`,
        or is an error with status 500.
        """
        if how not in get_args(Cut):
            raise ValueError(f"unknown cut {how!r}; known: {', '.join(get_args(Cut))}")
        if tokens < 0:
            raise ValueError(f"a stream cannot be cut after {tokens} tokens")
        return cls(FaultKind.CUT, size=tokens, how=how, **limits)

    @classmethod
    def error_before_first_token(
        cls,
        how: Literal["error_event", "named_error_event", "flat_error"] = "error_event",
        **limits: Unpack[Limits],
    ) -> Fault:
        """The stream's first event is an error; an answer that is not streamed is one, with status 500."""
        return cls(FaultKind.CUT, size=BEFORE_THE_ROLE, how=how, **limits)

    @classmethod
    def role_then_hang(cls, **limits: Unpack[Limits]) -> Fault:
        """The role comes, a token never. An answer that is not streamed hangs in its middle."""
        return cls(FaultKind.CUT, size=0, how="stall", **limits)

    @classmethod
    def pings_before_first_token(cls, **limits: Unpack[Limits]) -> Fault:
        """The stream brings comments, and never an event. An answer that is not streamed hangs."""
        return cls(FaultKind.CUT, size=BEFORE_THE_ROLE, how="pings", **limits)
