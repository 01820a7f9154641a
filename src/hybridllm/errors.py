"""Everything that this package raises on purpose.

The tree; in brackets the `openai` error that the raised object is an instance of as well, so that
code written for `openai` keeps its `except` clauses:

    HybridLLMError
    ├── PolicyError       a policy file is wrong; every problem at once
    ├── InvalidRequest    the call itself is wrong; nothing was sent      [OpenAIError]
    ├── PolicyDenied      the policy forbids it; nothing was sent         [OpenAIError]
    ├── RouterClosed      the router is closed, or works in another event loop
    ├── BulkFileError     a journal or a batch file cannot be used
    ├── OutcomeUnknown    an earlier run of a bulk job sent it, and may have paid for it
    └── RequestFailed     something was sent, or time ran out             [OpenAIError]
        ├── RequestRejected   a backend refused the request as such           [BadRequestError, ...]
        ├── RouteExhausted    every candidate failed                          [the last failure's]
        │   └── BackendsUnavailable  all are known to be down; nothing was sent   [APIConnectionError]
        ├── Overloaded        no backend has a free slot; nothing was sent    [RateLimitError]
        ├── DeadlineExceeded  the request's own deadline passed               [APITimeoutError]
        ├── StreamInterrupted a stream broke after its first token            [APIConnectionError]
        ├── TruncatedOutput   structured output was cut off by its limit      [LengthFinishReasonError]
        ├── InvalidOutput     structured output does not fit its class
        └── ContentFiltered   structured output was withheld by a filter      [ContentFilterFinishReasonError]

This module knows nothing of `openai`: importing it costs nothing. The classes that are instances of
both trees are made in `_adapters/openai_errors.py`, when something is raised to a caller.
No message or attribute holds a key or a header, nor a prompt of ours; the text of a request's error
quotes what the backend said, redacted and cut (`_core/resilience/redact.py` says how).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm._core.decide.plan import Dropped
    from hybridllm._core.policy.problems import Problem
    from hybridllm._core.receipt import Receipt


class HybridLLMError(Exception):
    """Root of everything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (_public_class(self), str(self), self._facts())

    def _facts(self) -> dict[str, Any]:
        return {}


class PolicyError(HybridLLMError):
    """A policy file is wrong.

    Attributes:
        source: The file's name, as given.
        problems: Every problem found, in the order of the file; at least one.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{source}: {count}\n{lines}")
        self.source = source
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.problems)


class InvalidRequest(HybridLLMError, ValueError):
    """The call itself cannot be sent: a hint or a parameter is missing, unknown or of a wrong type."""


class RouterClosed(HybridLLMError, RuntimeError):
    """The router is closed, before the request or during it; or it works in another event loop."""


class BulkFileError(HybridLLMError):
    """A journal or a batch file cannot be used: locked, damaged, of another input, there already.

    Attributes:
        path: As given.
        line: Of the damage, from 1; None: it is about the whole.
    """

    def __init__(self, message: str, *, path: str, line: int | None = None) -> None:
        super().__init__(message)
        self.path, self.line = path, line

    def _facts(self) -> dict[str, Any]:
        return {"path": self.path, "line": self.line}


class OutcomeUnknown(HybridLLMError):
    """An earlier run of a bulk job sent this item and ended before its answer came. It was not sent again."""


class PolicyDenied(HybridLLMError):
    """The policy forbids the request. Nothing was sent to anybody.

    Attributes:
        rule: What denied it: `residency 'phi'`, `route 'default'`, `unknown task 'clasify'`, ...
        residency: The request's residency tag, if it had one.
        dropped: Every candidate that was considered, with the reason it was dropped.
        receipt: Of the request; it has no attempts.
    """

    def __init__(
        self,
        message: str,
        *,
        rule: str,
        residency: str | None = None,
        dropped: Sequence[Dropped] = (),
        receipt: Receipt | None = None,
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.residency = residency
        self.dropped = tuple(dropped)
        self.receipt = receipt

    def _facts(self) -> dict[str, Any]:
        names = ("rule", "residency", "dropped", "receipt")
        return {name: getattr(self, name) for name in names}


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


def _rebuild(kind: type[HybridLLMError], message: str, facts: dict[str, Any]) -> HybridLLMError:
    """Make an error again after pickling; keyword-only facts do not survive `Exception` alone."""
    return kind(message, **facts)


def _public_class(error: HybridLLMError) -> type[HybridLLMError]:
    """The class of this module that `error` is an instance of; what crosses a process is that one."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == __name__)
