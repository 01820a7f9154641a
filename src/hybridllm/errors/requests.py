"""How a request can fail: each of them has its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hybridllm.errors.root import HybridLLMError

if TYPE_CHECKING:
    from hybridllm._core.receipt import Receipt


class RequestFailed(HybridLLMError):
    """The request was tried, or its time ran out, and the caller gets no answer.

    Attributes:
        receipt: What became of it: every attempt with its backend, outcome, time and cost.
        status_code: HTTP status of the decisive answer, if there was one.
        code: The backend's error code, if it sent one (`context_length_exceeded`, ...).
    """

    def __init__(
        self,
        message: str,
        *,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.receipt = receipt
        self.status_code = status_code
        self.code = code

    def _facts(self) -> dict[str, Any]:
        return {"receipt": self.receipt, "status_code": self.status_code, "code": self.code}


class RequestRejected(RequestFailed):
    """A backend refused the request as such (400, 404, 413, 422, ...). It went to nobody else.

    Attributes:
        param: The parameter it is about, if the backend said so.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.param = param

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"param": self.param}


class RouteExhausted(RequestFailed):
    """Every candidate of the plan failed, was refused by its breaker, or no longer fitted the time.

    Attributes:
        route: Name of the route whose candidates were tried.
        failures: (backend, reason) of each attempt, in the order tried; then of those that were refused.
        budget_exhausted: True if another attempt could have been made, but the retry budget that all requests
            share had none left.
    """

    def __init__(
        self,
        message: str,
        *,
        route: str,
        failures: Sequence[tuple[str, str]],
        budget_exhausted: bool = False,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.route = route
        self.failures = tuple(failures)
        self.budget_exhausted = budget_exhausted

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {
            "route": self.route,
            "failures": self.failures,
            "budget_exhausted": self.budget_exhausted,
        }


class BackendsUnavailable(RouteExhausted):
    """Every candidate of the plan is known to be down or to refuse us; nothing was sent.

    Some requests are sent all the same, so that a backend that is back is found; this one was not among them.

    Attributes:
        retry_after_s: When the first of them will be asked again, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        route: str,
        failures: Sequence[tuple[str, str]],
        retry_after_s: float,
        budget_exhausted: bool = False,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(
            message,
            route=route,
            failures=failures,
            budget_exhausted=budget_exhausted,
            receipt=receipt,
            status_code=status_code,
            code=code,
        )
        self.retry_after_s = retry_after_s

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"retry_after_s": self.retry_after_s}


class WarmingUp(BackendsUnavailable):
    """Only a backend that is waking up may answer (`cold_start` in the policy); `retry_after_s` says when."""


class Overloaded(RequestFailed):
    """No backend that may be asked has a free slot (`concurrency` in the policy); the queue is full or slow.

    Attributes:
        retry_after_s: When a slot may be free, in seconds; an estimate.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.retry_after_s = retry_after_s

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"retry_after_s": self.retry_after_s}


class DeadlineExceeded(RequestFailed, TimeoutError):
    """The request's own deadline passed before an answer was complete.

    Attributes:
        deadline_s: The deadline that was set, in seconds from the call.
    """

    def __init__(
        self,
        message: str,
        *,
        deadline_s: float,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.deadline_s = deadline_s

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"deadline_s": self.deadline_s}


class StreamInterrupted(RequestFailed):
    """A stream broke after its first token had been handed out, so nobody else may continue it.

    Attributes:
        partial_text: The text of the first choice that had arrived.
        tokens_seen: About how many tokens had arrived: chunks with output, or the backend's own count.
        backend: The backend whose stream it was.
        cause: Why it broke: `idle_timeout`, `reset`, `stream_interrupted`, `500`, `closed`, ...
        resumable: True if the text is one that can be continued (plain text of one choice, not ended) and
            a candidate of the request takes a prefill for its model, so that asking again may finish it.
    """

    def __init__(
        self,
        message: str,
        *,
        partial_text: str,
        tokens_seen: int,
        backend: str,
        cause: str,
        resumable: bool = False,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.partial_text = partial_text
        self.tokens_seen = tokens_seen
        self.backend = backend
        self.cause = cause
        self.resumable = resumable

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {
            "partial_text": self.partial_text,
            "tokens_seen": self.tokens_seen,
            "backend": self.backend,
            "cause": self.cause,
            "resumable": self.resumable,
        }


class TruncatedOutput(RequestFailed):
    """Structured output was cut off by its token limit (`finish_reason: length`).

    Attributes:
        completion: The `ChatCompletion` as it came, so that nothing paid for is lost.
    """

    def __init__(
        self,
        message: str,
        *,
        completion: Any = None,
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.completion = completion

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"completion": self.completion}


class InvalidOutput(RequestFailed, ValueError):
    """Structured output came whole, and does not fit the class that was asked for.

    Attributes:
        completion: The `ChatCompletion` as it came, so that nothing paid for is lost.
        problems: (place, what is wrong) of each, without the values.
    """

    def __init__(
        self,
        message: str,
        *,
        completion: Any = None,
        problems: Sequence[tuple[str, str]] = (),
        receipt: Receipt | None = None,
        status_code: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.completion = completion
        self.problems = tuple(problems)

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"completion": self.completion, "problems": self.problems}


class ContentFiltered(RequestFailed):
    """Structured output was withheld by the backend's content filter."""
