"""The tables of `failover.md`: asked of the code that classifies and limits, row by row."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hybridllm._core.policy.compile import _FIRST_TOKEN_S
from hybridllm._core.policy.compiled import BackendKind, Timeouts
from hybridllm._core.resilience.breaker import BreakerConfig
from hybridllm._core.resilience.classify import classify_status, classify_wire
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Next
from hybridllm._runtime.exchange import no_key

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_NEXT = {
    Next.STOP: "**stop**",
    Next.ELSEWHERE: "elsewhere",
    Next.RETRY: "elsewhere, or again",
    Next.SAME_ONCE: "again at once",
}
_BREAKER = {
    BreakerEffect.SUCCESS: "success",
    BreakerEffect.FAILURE: "failure",
    BreakerEffect.THROTTLED: "nothing; a probe fails",
    BreakerEffect.ABANDONED: "nothing",
}
_WIRE = {
    FailureKind.ADDRESS_REFUSED: "its name has an address that may not be asked; nothing was sent",
    FailureKind.CONNECT: "no connection: DNS, refused",
    FailureKind.CONNECT_TIMEOUT: "no connection within `timeouts.connect`",
    FailureKind.TLS: "TLS failed: the certificate, most often",
    FailureKind.RESET: "the connection broke before the answer was whole",
    FailureKind.STALE_CONNECTION: "a kept connection had been closed by the backend",
    FailureKind.ATTEMPT_TIMEOUT: "no whole answer within its share of the time",
    FailureKind.FIRST_TOKEN_TIMEOUT: "a stream without a token within `timeouts.first_token`",
    FailureKind.IDLE_TIMEOUT: "a stream that stalled for `timeouts.idle`",
    FailureKind.INVALID_RESPONSE: "status 200, but no answer: HTML, half a JSON, no choices",
    FailureKind.STREAM_INTERRUPTED: "a stream that ended without a known `finish_reason`",
    FailureKind.LOCAL: "on our side: the client's connection pool is full",
}
_MODEL_MISSING = {"error": {"message": "no such model", "code": "model_not_found"}}
_QUOTA = {"error": {"message": "quota exceeded", "code": "insufficient_quota"}}
_FILTERED = {"error": {"message": "filtered", "code": "content_filter"}}
_CONTEXT = {"error": {"message": "too long", "code": "context_length_exceeded"}}
# Statuses that are treated alike, what else the answer said, its body, its Retry-After in seconds.
_STATUSES: tuple[tuple[tuple[int, ...], str, object, int | None], ...] = (
    ((400, 413, 422), "the request is wrong", None, None),
    ((400, 413), "the prompt is too long for the model", _CONTEXT, None),
    ((400,), "a content filter refused it", _FILTERED, None),
    ((401, 403), "the key is wrong, or may not do this", None, None),
    ((402, 429), "the quota or the money is spent", _QUOTA, None),
    ((404,), "no such model, or no such path", _MODEL_MISSING, None),
    ((404,), "something else that the request names", None, None),
    ((408,), "", None, None),
    ((409, 425), "", None, None),
    ((429,), "without Retry-After", None, None),
    ((429,), "with Retry-After up to 60 s, here 20 s", None, 20),
    ((429,), "with a longer Retry-After", None, 600),
    ((500,), "", None, None),
    ((501,), "", None, None),
    ((502, 504), "", None, None),
    ((503, 529), "without Retry-After", None, None),
    ((503, 529), "with Retry-After up to 60 s, here 20 s", None, 20),
    ((301, 302, 307, 308), "a redirect; it is never followed", None, None),
)


def wire_table() -> str:
    """Return what happens when no whole answer came."""
    rows = _head("in the receipt", "what happened")
    failures = [(classify_wire(kind), said) for kind, said in _WIRE.items()]
    failures.append((no_key(""), "the variable that its key is read from is not set"))
    rows += [f"| `{failure.label}` | {said} | {_verdict(failure)} |" for failure, said in failures]
    return "\n".join(rows)


def status_table() -> str:
    """Return what happens when a backend answered with an error.

    Raises:
        ValueError: If statuses that share a row are not treated alike.
    """
    rows = _head("status", "because")
    for statuses, said, body, asked_s in _STATUSES:
        verdicts = {_verdict(_classified(status, body, asked_s)) for status in statuses}
        if len(verdicts) != 1:
            raise ValueError(f"statuses {statuses} are not treated alike: {verdicts}")
        rows.append(f"| {', '.join(f'`{one}`' for one in statuses)} | {said} | {verdicts.pop()} |")
    return "\n".join(rows)


def timeout_table() -> str:
    """Return every limit with what holds where nothing is set."""
    limits = Timeouts()
    api, vllm = _FIRST_TOKEN_S[BackendKind.API], _FIRST_TOKEN_S[BackendKind.VLLM]
    first_token = f"{api:g} s for kind `api`, {vllm:g} s for `vllm`"
    rows = (
        ("deadline_s=", "the call, or a `context`", "the whole request", "`timeouts.total` of its task"),
        ("total", "task", "the whole request, where the caller sets no deadline", f"{limits.total_s:g} s"),
        ("connect", "backend, task", "DNS, TCP and TLS of one attempt", f"{limits.connect_s:g} s"),
        ("first_token", "backend, task", "from sending to the first token of a stream", first_token),
        ("idle", "backend, task", "between two tokens of a stream", f"{limits.idle_s:g} s"),
        ("attempt", "backend, task", "one attempt that is no stream", "an equal share of the time left"),
    )  # fmt: skip
    head = ["| limit | set on | on what | without it |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| `{row[0]}` | {' | '.join(row[1:])} |" for row in rows)])


def breaker_table() -> str:
    """Return the figures of the breaker."""
    config = BreakerConfig()
    rows = (
        (
            f"in a row, below {config.attempts_min} attempts in ten seconds",
            f"{config.row_few} failures",
        ),
        ("in a row, always", f"{config.row_many} failures"),
        (
            f"of {config.attempts_min} attempts or more in ten seconds",
            f"{config.failure_share:.0%} failed",
        ),
        (
            "of the same",
            f"{config.slow_share:.0%} slow: a first token of over 2 s and five times the usual",
        ),
    )
    opens = "\n".join(f"| {said} | {figure} |" for said, figure in rows)
    spread = f"{config.open_spread:.0%}"
    rows = (
        ("the first time", f"{config.open_s:g} s, give or take {spread} at random"),
        ("then", f"twice as long each time, up to {config.open_s_max:g} s, give or take {spread}"),
        ("an opening is forgotten", f"for each {config.forget_s:g} s that it has been closed"),
        ("good probes in a row that close it", f"{config.probes}"),
        ("how long a probe may take before another is sent", f"{config.probe_limit_s:g} s"),
        (
            "good health pages in a row that let a probe through earlier",
            f"{config.healthy_answers}",
        ),
    )
    stays = "\n".join(f"| {said} | {figure} |" for said, figure in rows)
    return f"| it opens after | |\n|---|---|\n{opens}\n\n| it stays open | |\n|---|---|\n{stays}"


def _classified(status: int, body: object, asked_s: int | None) -> Failure:
    return classify_status(
        status,
        headers={} if asked_s is None else {"retry-after": str(asked_s)},
        body=json.dumps(body or {"error": {"message": "no", "type": "error"}}).encode(),
        now_utc=_NOW,
        jitter=0.0,
    )


def _head(*first: str) -> list[str]:
    columns = [*first, "next", "breaker hears", "left alone for", "may cost"]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]


def _verdict(failure: Failure) -> str:
    alone = "-"
    if failure.cool_off_s is not None:
        whom = "the whole backend" if failure.cool_off_backend else "the model on it"
        alone = f"{failure.cool_off_s:.0f} s, {whom}"
    cells = [_NEXT[failure.next], _BREAKER[failure.breaker], alone]
    return " | ".join([*cells, "yes" if failure.maybe_billed else "no"])
