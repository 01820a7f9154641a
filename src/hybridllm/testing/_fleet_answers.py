"""What a backend of a simulated fleet says: real JSON, made once and sent many times.

A stream comes in a few pieces however long it is; its usage says the tokens that it would have had.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._reply import Reply
from hybridllm.testing._tokens import prompt_tokens

if TYPE_CHECKING:
    from random import Random

_PIECES = 2
_WORDS = "Simulated: nobody has thought about it. "
_AT_ONCE_S = 0.01  # until a server that will not answer has said so
_REFUSED_S = 0.001
_BREAKS = {
    FaultKind.REFUSE: FailureKind.CONNECT,
    FaultKind.RESET_BEFORE_HEAD: FailureKind.RESET,
    FaultKind.RESET_MID_HEAD: FailureKind.RESET,
    FaultKind.FIN_BEFORE_HEAD: FailureKind.RESET,
    FaultKind.GARBAGE: FailureKind.INVALID_RESPONSE,
}
_CUT_FAILURES = {"fin": FailureKind.RESET, "rst": FailureKind.RESET}


@dataclass(frozen=True, slots=True)
class Service:
    """How a backend of a simulated fleet answers while it is well.

    Time to the first token is lognormal, from there on tokens come evenly.

    Attributes:
        first_token_s: Median.
        spread: Sigma of its logarithm; 0.39 puts the 99th percentile at 2.5 times the median.
        answer_tokens: Length of an answer, unless the request allows fewer.
        tokens_per_s: After the first; infinite: all at once.
        slots: How many requests it works on at once, the others wait; None: all of them.
        queue_max: How many may wait; one more gets a 503. None: no limit.
    """

    first_token_s: float = 0.4
    spread: float = 0.39
    answer_tokens: int = 64
    tokens_per_s: float = 200.0
    slots: int | None = None
    queue_max: int | None = None

    def draw_first_token_s(self, chance: Random) -> float:
        """Return how long one request waits for its first token."""
        return chance.lognormvariate(math.log(self.first_token_s), self.spread)


@dataclass(frozen=True, slots=True)
class Said:
    """What is said to one request, before chance has its word.

    Attributes:
        pieces: The body; a stream has several.
        talking_s: From the first token to the last one.
    """

    headers: tuple[tuple[str, str], ...]
    pieces: tuple[bytes, ...]
    talking_s: float

    def reply(self, *, first_token_s: float, slowness: float) -> Reply:
        """Return it with its times."""
        talking_s = self.talking_s * slowness
        if len(self.pieces) == 1:
            return Reply(200, self.headers, self.pieces, first_token_s + talking_s)
        apart_s = talking_s / (len(self.pieces) - 1)
        return Reply(200, self.headers, self.pieces, first_token_s, apart_s)


@lru_cache(maxsize=1_024)
def said(request: bytes, answer_tokens: int, tokens_per_s: float, dimensions: int) -> Said:
    """Return what a backend that is well says to a request's JSON.

    Remembered: simulated traffic asks the same few things again and again.
    """
    body: Mapping[str, Any] = json.loads(request)
    model = str(body.get("model"))
    if "input" in body:
        given = body["input"]
        several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
        size = int(body.get("dimensions") or dimensions or 8)
        reply = Reply.embeddings([[0.1] * size] * (len(given) if several else 1), model=model)
        return Said(reply.headers, reply.chunks, 0.0)
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or answer_tokens
    tokens_out = max(1, min(int(limit), answer_tokens))
    usage = (prompt_tokens(body.get("messages") or ()), tokens_out)
    if body.get("stream"):
        reply = Reply.chat_stream([_WORDS] * _PIECES, usage=usage, model=model)
        events = reply.chunks
        # The role comes with the first token, the end with the last.
        pieces = (b"".join(events[:2]), *events[2:_PIECES], b"".join(events[_PIECES:]))
    else:
        reply = Reply.chat(_WORDS, usage=usage, model=model)
        pieces = reply.chunks
    return Said(reply.headers, pieces, (tokens_out - 1) / tokens_per_s)


def struck(fault: Fault, reply: Reply, *, connect_timeout_s: float) -> Reply:
    """Return what becomes of an answer under a fault."""
    match fault.kind:
        case FaultKind.BLACKHOLE:
            return Reply.fail(FailureKind.CONNECT_TIMEOUT).after(connect_timeout_s)
        case FaultKind.HANG:
            return Reply.hang()
        case FaultKind.SLOW:
            return reply.after(fault.seconds)
        case FaultKind.CUT:
            return _cut(fault, reply)
        case FaultKind.NONE:
            return reply
        case _:
            refused = fault.kind is FaultKind.REFUSE
            return _at_once(fault, reply).after(_REFUSED_S if refused else _AT_ONCE_S)


def _at_once(fault: Fault, reply: Reply) -> Reply:
    match fault.kind:
        case FaultKind.HANG_AFTER_HEAD:
            return Reply(200, reply.headers, hangs=True)
        case FaultKind.STATUS:
            return Reply.status(fault.status_code, fault.payload, headers=dict(fault.headers))
        case FaultKind.BODY:
            return Reply.raw(fault.payload or b"", headers=dict(fault.headers))
        case _:
            return Reply.fail(_BREAKS[fault.kind])


def _cut(fault: Fault, reply: Reply) -> Reply:
    """A stream is cut after its first piece, or before it if no token may come; the rest in its middle."""
    streamed = len(reply.chunks) > 1
    if not streamed:
        body = reply.chunks[0] if reply.chunks else b""
        if fault.how == "abort":
            return replace(reply, chunks=(body.replace(b'"stop"', b'"abort"'),))
        reply = replace(reply, chunks=(body[: len(body) // 2],))
    else:
        sent = (
            reply.chunks[:1] if fault.size > 0 else (reply.chunks[0].split(b"\n\n")[0] + b"\n\n",)
        )
        if fault.how == "abort":
            sent = (*sent, reply.chunks[-1].replace(b'"stop"', b'"abort"'))
        elif fault.how == "done_without_finish":
            sent = (*sent, b"data: [DONE]\n\n")
        elif fault.how == "partial_event":
            sent = (*sent, reply.chunks[-1][:30])
        reply = replace(reply, chunks=sent)
    if fault.how in _CUT_FAILURES:
        return replace(reply, failure=_CUT_FAILURES[fault.how])
    return replace(reply, hangs=fault.how == "stall")
