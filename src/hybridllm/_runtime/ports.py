"""What the runtime needs of the outside, as protocols; `_adapters` implement them.

Small on purpose: one way to send a request, one clock, one listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hybridllm._core.decide.plan import Denied, Kept, Plan
from hybridllm._core.money.usage import Usage
from hybridllm._core.receipt import Attempt, AttemptReason, Receipt
from hybridllm._core.request.facts import Facts
from hybridllm._core.resilience.error_body import ErrorBody
from hybridllm._core.resilience.outcome import Failure, FailureKind
from hybridllm.errors import HybridLLMError, InvalidRequest

if TYPE_CHECKING:
    from hybridllm._runtime.run import Trial

# A kept connection that breaks later than this after a request went out: the backend died at work, and
# may have charged for it. Only one that breaks at once had been closed before.
STALE_WITHIN_S = 0.5


class NoSuchName(OSError):
    """A host's name has no address; a name server said so."""


LookUp = Callable[[str], asyncio.Future[tuple[str, ...]]]
"""Asks for every address of a host's name: at least one, or an `OSError`; `NoSuchName` if it has none.

Never blocks, and is called inside the event loop. Whoever waits may leave; the look-up goes on."""


class Clock(Protocol):
    """Time, from outside."""

    def monotonic_s(self) -> float:
        """Seconds for durations and deadlines; the running loop's `time()`, so that timeouts agree."""
        ...

    def utc_now(self) -> datetime:
        """Aware UTC time, for receipts and dated prices only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request. Its repr shows neither headers nor body: they hold key and prompt.

    Attributes:
        private_allowed: Whether the URL's host may turn out to have an address of a private network.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    connect_timeout_s: float = 2.0
    private_allowed: bool = False


class WireError(Exception):
    """The HTTP exchange broke. Raised without cause or context: those hold headers and body.

    Attributes:
        kind: ADDRESS_REFUSED, CONNECT, CONNECT_TIMEOUT, TLS, RESET, STALE_CONNECTION, INVALID_RESPONSE or
            LOCAL.
    """

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class WireResponse(Protocol):
    """The head of an answer, and its body in pieces."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields; names are looked up in any case."""
        ...

    async def chunk(self) -> bytes:
        """The next piece of the body as it arrives, of any size; `b""` at its clean end.

        Raises:
            WireError: If the body broke before its declared end.
        """
        ...

    async def close(self, *, reusable: bool) -> None:
        """Give the connection back. `reusable=False` closes it: that is how an upstream is told to stop.

        Safe to call twice. Never blocks on the network for longer than 0.5 s.
        """
        ...


class Wire(Protocol):
    """One door to HTTP: no redirects, no environment proxies, no silent decompression.

    A wire serves one event loop. One that holds nothing of any loop says so with `any_loop = True`.
    """

    async def send(self, request: WireRequest) -> WireResponse:
        """Send one request and return as soon as the head of the answer is there.

        Raises:
            WireError: If no answer's head came.
        """
        ...

    async def close(self) -> None:
        """Close every connection; whoever waits for one of its answers is told with a `WireError`."""
        ...


@runtime_checkable
class OwnWire(Wire, Protocol):
    """A wire that can be left behind: by a loop that is closed, or in the process that was forked."""

    def drop(self) -> None:
        """Close what is left, from outside its loop, which does not run. Waits for nothing."""
        ...

    def forsake(self) -> None:
        """Forget it: it is another process's. No connection is touched, and no destructor complains."""
        ...


class AttemptTrace(Protocol):
    """The listener's hold on one attempt. Never made current across a yield to the caller."""

    @property
    def ids(self) -> tuple[str, str] | None:
        """Trace and span in hex, as a ledger's row refers to them; None: nothing is recorded."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Trace headers for the backend; empty unless its policy says `propagate_trace`."""
        ...

    def ended(self, attempt: Attempt, answer: AnswerFacts | None) -> None:
        """The attempt is over; called exactly once."""
        ...


class RequestTrace(Protocol):
    """The listener's hold on one request."""

    def attempt(
        self, kept: Kept, *, number: int, reason: AttemptReason, breaker: str
    ) -> AttemptTrace:
        """An attempt begins."""
        ...

    def ended(self, receipt: Receipt) -> None:
        """The request is over; called exactly once."""
        ...


class LedgerPort(Protocol):
    """Who writes down what becomes of money. Waits for nothing, and raises nothing into a request."""

    @property
    def opening(self) -> bool:
        """Whether it is still being opened."""
        ...

    async def opened(self) -> None:
        """Wait until it is opened, shortly."""
        ...

    @property
    def refusal(self) -> str | None:
        """Why no request may be sent now, in words; None: it may."""
        ...

    @property
    def errors(self) -> int:
        """How often something went wrong; any thread may ask."""
        ...

    def begin(self) -> None:
        """Begin in this process; once more it does nothing."""
        ...

    def intent(self, trial: Trial) -> None:
        """An attempt is about to be sent."""
        ...

    def attempt(self, trial: Trial, attempt: Attempt) -> None:
        """It has ended."""
        ...

    def request(self, receipt: Receipt, facts: Facts) -> None:
        """A request has ended, or was denied; called before anybody sees its receipt."""
        ...


class Tracer(Protocol):
    """Who is told. Returns nothing that is used to decide; must not raise."""

    def listens(self) -> bool:
        """False if nobody would be told, so that nothing is built for it; asked on every request."""
        ...

    def request(
        self, decision: Plan | Denied, *, request_id: str, params: Mapping[str, Any]
    ) -> RequestTrace | None:
        """A request begins; None if nobody listens, so that nothing more is built.

        Args:
            decision: What the policy said.
            request_id: 32 hex digits.
            params: Sampling parameters of the call (`max_tokens`, `temperature`, ...); never its content.
        """
        ...


class Metrics(Protocol):
    """Who adds up. Returns nothing that is used to decide; must not raise."""

    def listens(self) -> bool:
        """False if nobody would be told; asked on every request."""
        ...

    def ended(
        self, receipt: Receipt, decision: Plan | Denied, rejected: Set[tuple[str, str]]
    ) -> None:
        """A request is over.

        Args:
            receipt: Of all its attempts.
            decision: What the policy said.
            rejected: (backend, reason) of whom it could not ask when it would have: `breaker_open`, `limit`,
                `cold`.
        """
        ...


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What a span may say of an answer; no content."""

    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    service_tier: str | None = None


@dataclass(slots=True)
class Parsed:
    """An answer or a chunk in the caller's types, and what we read of it.

    Attributes:
        value: An `openai` object, ready to hand out.
        usage: As the backend reported it; None if it did not, or if it made no sense.
        output_tokens_estimate: Where it did not, counted from the answer's text.
        request_id: The backend's `x-request-id`, if it sent one.
    """

    value: Any = field(repr=False)
    usage: Usage | None
    model: str | None
    facts: AnswerFacts
    output_tokens_estimate: int = 0
    request_id: str | None = None


class ChunkReader(Protocol):
    """Reads the events of one stream."""

    def chunk(self, event: bytes, data: bytes) -> Any:
        """See `Codec.chunk`."""
        ...


class Codec(ChunkReader, Protocol):
    """From bytes to `openai` types; never raises.

    Where the bytes are no answer it says a `Failure`; where they are an error in an answer's place, the
    error, to be classified by whoever knows the secrets that it must not show.
    """

    def encoded(self, fields: dict[str, Any]) -> bytes | InvalidRequest:
        """Say a request's fields in JSON; an error if that cannot be done."""
        ...

    def completion(self, body: bytes) -> Parsed | Failure | ErrorBody:
        """Read the body of a chat completion."""
        ...

    def embeddings(
        self, body: bytes, *, inputs: int | None, dimensions: int | None
    ) -> Parsed | Failure | ErrorBody:
        """Read the body of an embeddings answer; `inputs` vectors of `dimensions` are expected."""
        ...

    def chunk(self, event: bytes, data: bytes) -> Any:
        """Read one server-sent event of a chat stream into a chunk, a `Failure` or an `ErrorBody`."""
        ...

    def usage(self, usage: Any) -> Usage | None:
        """Read the usage of a chunk."""
        ...

    def body(self, value: Any) -> bytes | None:
        """Say an answer in JSON, so that reading it makes an equal one; None: that cannot be done."""
        ...

    def attach(self, value: Any, receipt: Receipt, request_id: str | None) -> None:
        """Fasten the receipt to an answer, so that `receipt(answer)` finds it."""
        ...

    def raised(self, error: HybridLLMError) -> HybridLLMError:
        """Return the error as an instance of the matching `openai` error too."""
        ...
