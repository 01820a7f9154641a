"""How one attempt ended, in the terms that breaker, retry and failover decide by.

Owns the words; `classify.py` finds the right one. An attempt is classified once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum


class FailureKind(StrEnum):
    """Why an attempt failed, in one word; the receipt and `error.type` of the span show it.

    Where a backend answered with an HTTP status, the status itself is shown instead.
    """

    ADDRESS_REFUSED = "address_refused"  # its name has an address that the policy does not allow it
    CONNECT = "connect"  # DNS, TCP; nothing was sent
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    RESET = "reset"  # the connection broke after something was sent
    STALE_CONNECTION = "stale_connection"  # a kept-alive connection was closed before any byte came
    ATTEMPT_TIMEOUT = "attempt_timeout"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105 - no secret
    IDLE_TIMEOUT = "idle_timeout"
    STATUS = "status"  # a status that is not 200; see `status_code`
    INVALID_RESPONSE = "invalid_response"  # 200, but not an answer
    STREAM_INTERRUPTED = "stream_interrupted"  # ended without a known finish_reason
    REDIRECT = "redirect"  # never followed
    LOCAL = "local"  # ours: a pool, a bug; says nothing about the backend


class BreakerEffect(Enum):
    """What an attempt tells the breaker. ABANDONED says nothing and hands the permit back."""

    SUCCESS = "success"
    FAILURE = "failure"
    THROTTLED = "throttled"  # 429: nothing about health; but a probe has not succeeded
    ABANDONED = "abandoned"


class Gate(StrEnum):
    """Why a candidate, or a whole backend, is left alone for a while: what one answer said plainly."""

    RATE = "rate"  # too many requests for now; `Retry-After`
    QUOTA = "quota"  # the money or the quota is spent
    CREDENTIAL = "credential"  # the key is wrong, missing, or may not do this
    MODEL = "model"  # it does not serve this model


class Next(Enum):
    """What may be done after a failure."""

    STOP = "stop"  # it would fail the same way anywhere: tell the caller
    ELSEWHERE = "elsewhere"  # another candidate, never this one again
    RETRY = "retry"  # another candidate at once; this one again only after a wait
    SAME_ONCE = "same_once"  # this one again at once, one time; then elsewhere


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, classified.

    Attributes:
        label: For people and spans: the status (`503`) or the kind (`connect`).
        message: What the backend said, redacted and cut; empty if it said nothing. For exceptions only,
            so not in the repr: it may still echo the prompt (see `redact.py`).
        retry_after_s: How long the backend asks us to stay away; None: it did not say.
        cool_off_s: How long we leave the candidate (or, with `cool_off_backend`, the whole backend) alone.
        gate: Why we do.
        maybe_billed: True if the backend may have worked, and charged, for it.
    """

    kind: FailureKind
    next: Next
    breaker: BreakerEffect
    label: str
    message: str = field(default="", repr=False)
    status_code: int | None = None
    code: str | None = None
    param: str | None = None
    error_type: str | None = None
    retry_after_s: float | None = None
    cool_off_s: float | None = None
    cool_off_backend: bool = False
    gate: Gate | None = None
    maybe_billed: bool = False

    @property
    def timed_out(self) -> bool:
        """Whether a time limit passed, so that the attempt was slow besides having failed."""
        return self.kind in _TIMEOUTS

    @property
    def overload(self) -> bool:
        """Whether the backend says that it has too much to do."""
        return self.status_code in _OVERLOADED and self.gate is not Gate.QUOTA


_TIMEOUTS = frozenset(
    {
        FailureKind.ATTEMPT_TIMEOUT,
        FailureKind.FIRST_TOKEN_TIMEOUT,
        FailureKind.IDLE_TIMEOUT,
    }
)
_OVERLOADED = frozenset({429, 503, 529})
