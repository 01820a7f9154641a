"""How one attempt ended: the only place that reads a status, an error body or a wire error.

Owns the table of what is retried, what goes elsewhere, what the breaker hears and how long a backend
is left alone. An attempt is classified once. The order of questions matters: quota before status,
because DashScope says `Arrearage` with a 400 and Anthropic a spend limit with a 400 or a 429.

`x-should-retry` is not read: a 400 would fail the same way again, whatever a header says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from hybridllm._core.resilience import error_codes
from hybridllm._core.resilience.error_body import ErrorBody, read_error
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Gate, Next
from hybridllm._core.resilience.redact import redact, safe_message
from hybridllm._core.resilience.retry_after import RETRY_AFTER_MAX_S, gate_s, retry_after_s

CREDENTIAL_COOL_OFF_S: Final = 60.0  # per backend: its key is wrong, revoked, or not allowed here
MISSING_COOL_OFF_S: Final = 60.0  # per candidate: no such model, no such endpoint
QUOTA_COOL_OFF_S: Final = 300.0  # per backend: money does not come back within a minute
RATE_COOL_OFF_S: Final = 1.0  # per candidate: a 429 that names no time

_STATUS, _REDIRECT = FailureKind.STATUS, FailureKind.REDIRECT
_FAILED, _ABANDONED = BreakerEffect.FAILURE, BreakerEffect.ABANDONED
_THROTTLED = BreakerEffect.THROTTLED

_GATED_BY_RETRY_AFTER = frozenset({429, 503, 529})
_WORK_MAY_BE_DONE = frozenset({408, 502, 504, 520, 524})  # the answer was lost, not the work
_MISDIRECTED = frozenset({407, 421})  # ours to configure; the request itself is not at fault
# 409 is a lock and 425 a replay guard: nothing is wrong with the backend. 424 is its own upstream.
_RETRY_NEUTRAL = frozenset({409, 425})
_RETRY_FAILED = frozenset({408, 424})
# The backend lacks what was asked for, so that another may have it; nothing was computed, nothing is
# broken, and the same one would say the same again.
_NOT_IMPLEMENTED = frozenset({501, 505})

_WIRE: Final[Mapping[FailureKind, Failure]] = {
    kind: Failure(kind, then, effect, str(kind), maybe_billed=billed)
    for kind, then, effect, billed in (
        (FailureKind.ADDRESS_REFUSED, Next.ELSEWHERE, _FAILED, False),
        (FailureKind.CONNECT, Next.RETRY, _FAILED, False),
        (FailureKind.CONNECT_TIMEOUT, Next.RETRY, _FAILED, False),
        (FailureKind.TLS, Next.ELSEWHERE, _FAILED, False),
        (FailureKind.RESET, Next.RETRY, _FAILED, True),
        (FailureKind.STALE_CONNECTION, Next.SAME_ONCE, _ABANDONED, False),
        (FailureKind.ATTEMPT_TIMEOUT, Next.ELSEWHERE, _FAILED, True),
        (FailureKind.FIRST_TOKEN_TIMEOUT, Next.ELSEWHERE, _FAILED, True),
        (FailureKind.IDLE_TIMEOUT, Next.ELSEWHERE, _FAILED, True),
        (FailureKind.INVALID_RESPONSE, Next.ELSEWHERE, _FAILED, True),
        (FailureKind.STREAM_INTERRUPTED, Next.ELSEWHERE, _FAILED, True),
        (FailureKind.REDIRECT, Next.ELSEWHERE, _FAILED, False),
        (FailureKind.LOCAL, Next.ELSEWHERE, _ABANDONED, False),
    )
}


def classify_wire(kind: FailureKind, detail: str = "", *, secrets: Collection[str] = ()) -> Failure:
    """Return the failure of an attempt that got no whole answer: a broken exchange or a timeout.

    Args:
        kind: Any but STATUS, which needs `classify_status`.
        detail: In words of ours, without header or body; it is redacted all the same.
        secrets: Key values that may have been sent.
    """
    if not detail:
        return _WIRE[kind]
    if secrets:
        return replace(_WIRE[kind], message=redact(detail, secrets))
    return _worded(kind, detail)


@lru_cache(maxsize=1_024)
def _worded(kind: FailureKind, detail: str) -> Failure:
    """The few things that go wrong, said once: redacting costs more than the rest of a failover."""
    return replace(_WIRE[kind], message=redact(detail))


def invalid_response(detail: str) -> Failure:
    """Return the failure of a 200 that is no answer. `detail` says what was wrong, never what it held."""
    return classify_wire(FailureKind.INVALID_RESPONSE, detail)


def interrupted(detail: str) -> Failure:
    """Return the failure of a stream that ended without a known finish_reason for every choice."""
    return classify_wire(FailureKind.STREAM_INTERRUPTED, detail)


def classify_status(
    status: int,
    *,
    headers: Mapping[str, str],
    body: bytes,
    now_utc: datetime,
    jitter: float,
    secrets: Collection[str] = (),
    output_tokens_max: int | None = None,
) -> Failure:
    """Return the failure that an answer with a status other than 200 stands for.

    Args:
        status: HTTP status, not 200.
        headers: Of the answer, in any case; only the Retry-After family is read.
        body: What there is of it; its first 64 KiB are enough.
        now_utc: Aware; for a Retry-After that is a date.
        jitter: In [0, 1].
        secrets: Key values that were sent, so that a body that echoes one does not show it.
        output_tokens_max: What the caller asked for, if anything; tells two 400s of vLLM apart.
    """
    if not 300 <= status <= 599:
        return replace(
            invalid_response(f"status {status} is neither an answer nor an error"),
            label=str(status),
            status_code=status,
        )
    if status < 400:
        return Failure(_REDIRECT, Next.ELSEWHERE, _FAILED, str(status), status_code=status)
    asked_s = retry_after_s(headers, now_utc=now_utc)
    failure = _by_status(status, read_error(body), asked_s, jitter, secrets, output_tokens_max)
    return replace(failure, maybe_billed=True) if status in _WORK_MAY_BE_DONE else failure


def classify_error_body(
    error: ErrorBody,
    *,
    jitter: float,
    secrets: Collection[str] = (),
    output_tokens_max: int | None = None,
) -> Failure:
    """Return the failure that an error inside a 200 (a body, or an event of a stream) stands for.

    It is treated as the HTTP status that it names, in digits or in words; as a 500 if it names none.
    """
    status = error_codes.status_of(error)
    failure = _by_status(status, error, None, jitter, secrets, output_tokens_max)
    return replace(failure, maybe_billed=True)


def _by_status(
    status: int,
    error: ErrorBody,
    asked_s: float | None,
    jitter: float,
    secrets: Collection[str],
    output_tokens_max: int | None,
) -> Failure:
    said = Failure(
        _STATUS,
        Next.STOP,
        _ABANDONED,
        str(status),
        message=safe_message(error, secrets),
        status_code=status,
        code=_name(error.code or next(iter(error.details), None), secrets),
        param=_name(error.param, secrets),
        error_type=_name(error.type, secrets),
        retry_after_s=None if asked_s is None else min(asked_s, RETRY_AFTER_MAX_S),
    )
    if status == 402 or (status in {400, 403, 429} and error_codes.is_quota(error)):
        return _backend_off(said, QUOTA_COOL_OFF_S, _ABANDONED, Gate.QUOTA)
    if status in _NOT_IMPLEMENTED:
        return replace(said, next=Next.ELSEWHERE)
    if status == 429 or status in _RETRY_NEUTRAL:
        effect = _THROTTLED if status == 429 else _ABANDONED
        throttled = replace(said, next=Next.RETRY, breaker=effect)
        return _come_back_later(throttled, status, asked_s, jitter)
    if status >= 500 or status in _RETRY_FAILED:
        failed = replace(said, next=Next.RETRY, breaker=_FAILED)
        return _come_back_later(failed, status, asked_s, jitter)
    return _by_client_error(said, status, error, output_tokens_max)


def _come_back_later(
    failure: Failure, status: int, asked_s: float | None, jitter: float
) -> Failure:
    """Gate the candidate for as long as it asks, if it is one that may ask."""
    if asked_s is None and status == 429:
        asked_s = RATE_COOL_OFF_S
    if asked_s is None or status not in _GATED_BY_RETRY_AFTER:
        return failure
    gated = replace(failure, cool_off_s=gate_s(asked_s, jitter=jitter), gate=Gate.RATE)
    if asked_s > RETRY_AFTER_MAX_S:  # as good as a quota: nobody waits for it
        return replace(gated, next=Next.ELSEWHERE, gate=Gate.QUOTA)
    return gated


def _by_client_error(
    said: Failure, status: int, error: ErrorBody, output_tokens_max: int | None
) -> Failure:
    """The rest of the 4xx: most are the request's own fault and fail the same way anywhere."""
    if error_codes.is_filtered(error):
        return said
    if status == 403 and error_codes.is_model_missing(error):
        return _candidate_off(said)
    if status == 403 and error.from_proxy:
        # A firewall's page: what the prompt looks like may have caused it, so one caller must not be
        # able to take the backend from all the others. If everybody gets it, the breaker will see.
        return replace(said, next=Next.ELSEWHERE, breaker=_FAILED)
    if status in {401, 403}:
        return _backend_off(said, CREDENTIAL_COOL_OFF_S, _FAILED, Gate.CREDENTIAL)
    if status in {404, 410}:
        return _missing(said, error)
    if status in _MISDIRECTED:
        return replace(said, next=Next.ELSEWHERE)
    if status == 499 or (status == 400 and error.message == "Client disconnected"):
        # Somebody between us cut the line: neither the request nor, for all we know, the backend.
        return replace(said, next=Next.RETRY, maybe_billed=True)
    if error_codes.is_context_overflow(error, output_tokens_max=output_tokens_max):
        return replace(said, code=error_codes.CONTEXT_LENGTH_EXCEEDED)
    return said


def _missing(said: Failure, error: ErrorBody) -> Failure:
    """A 404. The model or the whole endpoint is missing there, or else a thing the request names."""
    from_application = error.type is not None or error.code is not None
    if error_codes.is_model_missing(error) or not from_application:
        return _candidate_off(said)
    return replace(said, next=Next.ELSEWHERE)


def _candidate_off(said: Failure) -> Failure:
    return replace(said, next=Next.ELSEWHERE, cool_off_s=MISSING_COOL_OFF_S, gate=Gate.MODEL)


def _backend_off(said: Failure, seconds: float, effect: BreakerEffect, gate: Gate) -> Failure:
    return replace(
        said,
        next=Next.ELSEWHERE,
        breaker=effect,
        cool_off_s=seconds,
        cool_off_backend=True,
        gate=gate,
    )


def _name(text: str | None, secrets: Collection[str]) -> str | None:
    """Return a backend's code or field name, fit for a span."""
    return redact(text, secrets, length_max=100) if text else None
