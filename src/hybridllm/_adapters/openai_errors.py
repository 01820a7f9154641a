"""Our errors as instances of the matching `openai` errors too.

An error keeps its own class's behaviour; what is added is a class that derives from both, made once per
pair, and the attributes that `openai` documents. The request and response in them are made here: they
hold the backend's URL and status, never headers, key or prompt.
"""

from __future__ import annotations

from typing import Any

import httpx2
import openai

from hybridllm.errors import (
    BudgetExceeded,
    ContentFiltered,
    DeadlineExceeded,
    HybridLLMError,
    InvalidRequest,
    Overloaded,
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
_BY_KIND: dict[type[HybridLLMError], type[Exception]] = {
    PolicyDenied: openai.OpenAIError,
    InvalidRequest: openai.OpenAIError,
    DeadlineExceeded: openai.APITimeoutError,
    Overloaded: openai.RateLimitError,
    BudgetExceeded: openai.RateLimitError,
    StreamInterrupted: openai.APIConnectionError,
    TruncatedOutput: openai.LengthFinishReasonError,
    ContentFiltered: openai.ContentFilterFinishReasonError,
    RequestFailed: openai.OpenAIError,  # last: the others derive from it
}
_PLACE = "https://hybridllm.invalid/"  # stands where openai wants a URL and none is decisive


_BOTH: dict[tuple[type[HybridLLMError], type[Exception]], type[HybridLLMError]] = {}


def joined(error: HybridLLMError) -> HybridLLMError:
    """Make `error` an instance of the matching `openai` error too, and return it."""
    theirs = _theirs(error)
    if theirs is None or isinstance(error, theirs):
        return error
    pair = (type(error), theirs)
    both = _BOTH.get(pair)
    if both is None:
        both = _BOTH[pair] = _both(*pair)
    error.__class__ = both
    for name, value in _attributes(error, theirs).items():
        setattr(error, name, value)
    return error


def _theirs(error: HybridLLMError) -> type[Exception] | None:
    if isinstance(error, RequestRejected | RouteExhausted):
        return _for_failure(error)
    for ours, theirs in _BY_KIND.items():
        if isinstance(error, ours):
            return theirs
    return None


def _for_failure(error: RequestRejected | RouteExhausted) -> type[Exception]:
    """The class of the failure that decided: its status, or how the connection went."""
    if error.status_code is not None:
        return _for_status(error.status_code)
    last = error.failures[-1][1] if isinstance(error, RouteExhausted) and error.failures else ""
    return openai.APITimeoutError if last.endswith("timeout") else openai.APIConnectionError


def _for_status(status: int) -> type[openai.APIError]:
    found = _BY_STATUS.get(status)
    if found is not None:
        return found
    if status >= 500:
        return openai.InternalServerError
    return openai.APIStatusError if status >= 300 else openai.APIError


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
