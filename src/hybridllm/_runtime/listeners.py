"""Who hears of a request, together: the ledger, spans, metrics; and what baggage says of it before.

None of them decides anything, and none of them raises into a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.receipt import Receipt
from hybridllm._core.request.read import Call
from hybridllm._runtime.baggage import with_baggage
from hybridllm._runtime.ports import LedgerPort, Metrics, RequestTrace, Tracer

_SPAN_PARAMS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of requests.

    Attributes:
        tracer: Told of a request and its attempts as they go.
        metrics: Told of every request that has ended.
        baggage: What the application's W3C baggage says under a key.
        ledger: Writes down what becomes of money; None: nobody does.
    """

    tracer: Tracer
    metrics: Metrics
    baggage: Callable[[str], object]
    ledger: LedgerPort | None = None

    def named(self, call: Call, policy: Policy) -> Call:
        """Return the call with what baggage says of it, where the policy wants that."""
        wanted = policy.telemetry.from_baggage
        return with_baggage(call, wanted, self.baggage) if wanted else call

    @property
    def metered(self) -> Metrics | None:
        """The metrics, if anybody hears them."""
        return self.metrics if self.metrics.listens() else None

    def traced(self, decision: Plan | Denied, request_id: str, call: Call) -> RequestTrace | None:
        """A request begins; None: nobody hears of its attempts."""
        if not self.tracer.listens():
            return None
        body = call.body
        return self.tracer.request(
            decision,
            request_id=request_id,
            params={name: body[name] for name in _SPAN_PARAMS if name in body},
        )

    def denied(self, receipt: Receipt, decision: Denied, trace: RequestTrace | None) -> None:
        """A request was denied."""
        if self.ledger is not None:
            self.ledger.request(receipt, decision.facts)
        if trace is not None:
            trace.ended(receipt)
        if (metrics := self.metered) is not None:
            metrics.ended(receipt, decision, frozenset())
