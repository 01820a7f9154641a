"""Everything that this package raises on purpose.

The tree; in brackets the `openai` error that the raised object is an instance of as well, so that
code written for `openai` keeps its `except` clauses:

    HybridLLMError
    ├── PolicyError       a policy file is wrong; every problem at once
    ├── InvalidRequest    the call itself is wrong; nothing was sent      [OpenAIError]
    ├── PolicyDenied      the policy forbids it; nothing was sent         [OpenAIError]
    ├── RouterClosed      the router is closed, or works in another event loop
    ├── BulkFileError     a journal or a batch file cannot be used
    ├── LedgerError       a ledger cannot be used
    ├── OutcomeUnknown    an earlier run of a bulk job sent it, and may have paid for it
    └── RequestFailed     something was sent, or time ran out             [OpenAIError]
        ├── RequestRejected   a backend refused the request as such           [BadRequestError, ...]
        ├── RouteExhausted    every candidate failed                          [the last failure's]
        │   └── BackendsUnavailable  all are known to be down; nothing was sent   [APIConnectionError]
        ├── Overloaded        no backend has a free slot; nothing was sent    [RateLimitError]
        ├── BudgetExceeded    a budget has no room for it; nothing was sent   [RateLimitError]
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

from hybridllm.errors.money import (
    BudgetExceeded,
    LedgerError,
)
from hybridllm.errors.requests import (
    BackendsUnavailable,
    ContentFiltered,
    DeadlineExceeded,
    InvalidOutput,
    Overloaded,
    RequestFailed,
    RequestRejected,
    RouteExhausted,
    StreamInterrupted,
    TruncatedOutput,
    WarmingUp,
)
from hybridllm.errors.root import (
    BulkFileError,
    HybridLLMError,
    InvalidRequest,
    OutcomeUnknown,
    PolicyDenied,
    PolicyError,
    RouterClosed,
    public_class,
)

__all__ = [
    "BackendsUnavailable",
    "BudgetExceeded",
    "BulkFileError",
    "ContentFiltered",
    "DeadlineExceeded",
    "HybridLLMError",
    "InvalidOutput",
    "InvalidRequest",
    "LedgerError",
    "OutcomeUnknown",
    "Overloaded",
    "PolicyDenied",
    "PolicyError",
    "RequestFailed",
    "RequestRejected",
    "RouteExhausted",
    "RouterClosed",
    "StreamInterrupted",
    "TruncatedOutput",
    "WarmingUp",
    "public_class",
]
