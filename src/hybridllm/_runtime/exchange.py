"""One HTTP exchange of an attempt: the request made, the answer's body read within its limits.

Every function here gives a `Failure` instead of raising: an exception would carry frames, and frames
carry prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hybridllm._core.decide.filters import residency_drop
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.request.read import Call
from hybridllm._core.resilience.classify import (
    CREDENTIAL_COOL_OFF_S,
    classify_status,
    classify_wire,
    invalid_response,
)
from hybridllm._core.resilience.outcome import Failure, FailureKind, Gate
from hybridllm._core.telemetry.load_header import ASKED_WITH
from hybridllm._core.wire.depth import NESTING_MAX, nesting_exceeds
from hybridllm._runtime.ports import Codec, Wire, WireError, WireRequest, WireResponse
from hybridllm._runtime.target import Target
from hybridllm.errors import InvalidRequest

BODY_BYTES_MAX = 16 << 20  # of an answer; reliability.md 1.8
ERROR_BODY_BYTES_MAX = 64 << 10  # of an answer that is no 200: enough to say why


class ResidencyViolated(Exception):
    """A candidate outside the request's residency reached the point of sending. A bug of ours."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as it goes out. Its repr does not show it."""

    data: bytes = field(repr=False)


def encoded(call: Call, wire_model: str, codec: Codec) -> Body | InvalidRequest:
    """Say a call in JSON; an error if that cannot be done."""
    data = codec.encoded({"model": wire_model, **_fields(call)})
    return Body(data) if isinstance(data, bytes) else data


def _fields(call: Call) -> dict[str, Any]:
    """The body's fields; a stream always asks for its usage, because the bill needs it."""
    if not call.stream:
        return call.body
    options = {**(call.body.get("stream_options") or {}), "include_usage": True}
    return {**call.body, "stream": True, "stream_options": options}


def wire_request(
    call: Call,
    body: Body,
    target: Target,
    *,
    connect_timeout_s: float,
    trace_headers: Mapping[str, str] | None,
    asks_load: bool = False,
) -> WireRequest:
    """Make the request for one backend; it may ask for a load report, which streams do not bring."""
    headers = target.headers
    if asks_load and not call.stream:
        headers = {**headers, ASKED_WITH[0]: ASKED_WITH[1]}
    if call.headers or trace_headers:
        headers = {**headers, **(call.headers or {}), **(trace_headers or {})}
    url = target.urls[call.operation]
    return WireRequest("POST", url, headers, body.data, connect_timeout_s, target.private)


def assert_residency(plan: Plan, candidate: Candidate) -> None:
    """Check once more, right before connecting, that the data may go there.

    The plan was made from the same terms, so this can only fail by a bug; then nothing is sent.
    """
    if plan.residency:
        tags = [plan.policy.residency[tag] for tag in plan.residency]
        if residency_drop(candidate, tags) is not None:
            raise ResidencyViolated(f"{candidate.name} is outside residency {plan.residency}")


async def open_answer(
    wire: Wire,
    request: WireRequest,
    *,
    utc_now: Callable[[], datetime],
    draw: Callable[[], float],
    secrets: tuple[str, ...],
    output_tokens_max: int | None,
) -> WireResponse | Failure:
    """Send, and return the answer once its head says 200; otherwise what went wrong."""
    try:
        response = await wire.send(request)
    except WireError as error:
        return classify_wire(error.kind, error.detail)
    if response.status == 200 and is_plain(response.headers):
        return response
    try:
        if response.status == 200:
            return invalid_response("the body is encoded although we asked for identity")
        body = await _body(response, ERROR_BODY_BYTES_MAX)
        return classify_status(
            response.status,
            headers=response.headers,
            body=body if isinstance(body, bytes) else b"",
            now_utc=utc_now(),
            jitter=draw(),
            secrets=secrets,
            output_tokens_max=output_tokens_max,
        )
    finally:
        await response.close(reusable=True)


async def read_answer(response: WireResponse) -> bytes | Failure:
    """Read a whole body, at most 16 MiB and 64 levels deep, and hand the connection back."""
    try:
        body = await _body(response, BODY_BYTES_MAX)
    except BaseException:
        await response.close(reusable=False)
        raise
    await response.close(reusable=isinstance(body, bytes))
    if isinstance(body, bytes) and nesting_exceeds(body, NESTING_MAX):
        return invalid_response(f"the body is nested deeper than {NESTING_MAX} levels")
    return body


async def _body(response: WireResponse, limit_bytes: int) -> bytes | Failure:
    try:
        pieces: list[bytes] = []
        size = 0
        while piece := await response.chunk():
            size += len(piece)
            if size > limit_bytes:
                return invalid_response(f"the body is larger than {limit_bytes >> 10} KiB")
            pieces.append(piece)
    except WireError as error:
        return classify_wire(error.kind, error.detail)
    return b"".join(pieces)


def is_json(response: WireResponse) -> bool:
    """Whether an answer says that it is JSON."""
    return response.headers.get("content-type", "").startswith("application/json")


def usage_wanted(body: Mapping[str, Any]) -> bool:
    """Whether a call for a stream wants its usage."""
    options = body.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def is_plain(headers: Mapping[str, Any]) -> bool:
    """Whether a body comes as it is, as we asked."""
    encoding = headers.get("Content-Encoding")
    return encoding is None or encoding.lower() == "identity"


def no_key(detail: str) -> Failure:
    """The backend's key is not there: nothing can be sent to it until somebody has set it."""
    return replace(
        classify_wire(FailureKind.LOCAL, detail),
        label="no_key",
        cool_off_s=CREDENTIAL_COOL_OFF_S,
        cool_off_backend=True,
        gate=Gate.CREDENTIAL,
    )
