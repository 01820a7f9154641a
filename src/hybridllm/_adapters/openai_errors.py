"""Our errors as instances of the matching `openai` errors too.

An error keeps its own class's behaviour; what is added is a class that derives from both, made once per
pair, and the attributes that `openai` documents. The request and response in them are made here: they
hold the backend's URL and status, never headers, key or prompt.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx2
import openai

from hybridllm.errors import (
    ContentFiltered,
    DeadlineExceeded,
    HybridLLMError,
    InvalidRequest,
    PolicyDenied,
    RequestFailed,
    RequestRejected,
    RouteExhausted,
    StreamInterrupted,
    TruncatedOutput,
)

_BY_STATUS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
_PLACE = "https://hybridllm.invalid/"  # stands where openai wants a URL and none is decisive


def joined(error: HybridLLMError) -> HybridLLMError:
    """Make `error` an instance of the matching `openai` error too, and return it."""
    theirs = _theirs(error)
    if theirs is None or isinstance(error, theirs):
        return error
    error.__class__ = _both(type(error), theirs)
    for name, value in _attributes(error, theirs).items():
        setattr(error, name, value)
    return error


def _theirs(error: HybridLLMError) -> type[Exception] | None:
    match error:
        case PolicyDenied() | InvalidRequest():
            return openai.OpenAIError
        case DeadlineExceeded():
            return openai.APITimeoutError
        case StreamInterrupted():
            return openai.APIConnectionError
        case TruncatedOutput():
            return openai.LengthFinishReasonError
        case ContentFiltered():
            return openai.ContentFilterFinishReasonError
        case RequestRejected(status_code=int(status)):
            return _for_status(status)
        case RouteExhausted(status_code=int(status)):
            return _for_status(status)
        case RouteExhausted(failures=failures) if failures and failures[-1][1].endswith("timeout"):
            return openai.APITimeoutError
        case RouteExhausted():
            return openai.APIConnectionError
        case RequestFailed():
            return openai.OpenAIError
    return None


def _for_status(status: int) -> type[openai.APIError]:
    found = _BY_STATUS.get(status)
    if found is not None:
        return found
    if status >= 500:
        return openai.InternalServerError
    return openai.APIStatusError if status >= 300 else openai.APIError


@cache
def _both(ours: type[HybridLLMError], theirs: type[Exception]) -> type[HybridLLMError]:
    both = type(ours.__name__, (ours, theirs), {"__doc__": ours.__doc__, "__module__": __name__})
    both.__qualname__ = ours.__qualname__
    return both


def _attributes(error: HybridLLMError, theirs: type[Exception]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if issubclass(theirs, openai.APIError):
        request = httpx2.Request("POST", _PLACE)
        attributes |= {"message": str(error), "request": request, "body": None}
        attributes |= {"param": getattr(error, "param", None), "type": getattr(error, "type", None)}
        if isinstance(error, RequestFailed):
            attributes["code"] = error.code
        if issubclass(theirs, openai.APIStatusError):
            status = getattr(error, "status_code", None) or 500
            attributes["response"] = httpx2.Response(status, request=request)
            attributes["request_id"] = None
    return attributes
