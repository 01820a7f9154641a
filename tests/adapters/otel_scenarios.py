"""Requests as they are told to a tracer: hand-made values, no router.

One policy: two hosted regions and our own GPUs serve `qwen3-8b`; `glm-4-9b` stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hybridllm._core.decide.plan import Denied, Dropped, DropReason, Kept, Plan
from hybridllm._core.money.capacity import Use, fixed_cost
from hybridllm._core.money.price import Price, cost_usd
from hybridllm._core.money.usage import Usage, UsageSource
from hybridllm._core.policy.compiled import (
    Backend,
    BackendKind,
    Candidate,
    Model,
    Policy,
)
from hybridllm._core.policy.hybrid import Capacity
from hybridllm._core.receipt import (
    Attempt,
    AttemptOutcome,
    AttemptReason,
    Receipt,
    RequestOutcome,
)
from hybridllm._core.request.facts import Facts
from hybridllm._runtime.ports import AnswerFacts, Tracer

STARTED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REQUEST_ID = "0123456789abcdef0123456789abcdef"
PRICE = Price(Decimal("0.06"), Decimal("0.12"), Decimal("0.03"), price_id="qwen3-8b@2026-06")

US = Backend("global-us", BackendKind.API, "https://us.global-apis.com/v1", region="us")
EU = Backend("global-eu", BackendKind.API, "https://eu.global-apis.com:8443/v1", region="eu")
FRA = Backend(
    "vllm-fra",
    BackendKind.VLLM,
    "http://vllm-fra.internal:8000/v1",
    region="eu",
    operator="self",
    propagate_trace=True,
)
QWEN, GLM = Model("qwen3-8b"), Model("glm-4-9b")
EMBEDDER = Model("bge-m3")
QWEN_US = Candidate(US, QWEN, "qwen3-8b", PRICE)
QWEN_EU = Candidate(EU, QWEN, "qwen3-8b", PRICE)
QWEN_FRA = Candidate(FRA, QWEN, "Qwen/Qwen3-8B")
GLM_US = Candidate(US, GLM, "glm-4-9b", PRICE)
EMBEDDER_FRA = Candidate(
    FRA, EMBEDDER, "BAAI/bge-m3", Price(Decimal(0), Decimal(0), price_id="free")
)

POLICY = Policy(
    name="api-first",
    version="sha256:0123456789ab",
    environment="production",
    backends={backend.name: backend for backend in (US, EU, FRA)},
    models={model.name: model for model in (QWEN, GLM, EMBEDDER)},
    candidates={},
    residency={},
    tasks={},
    routes=(),
)


@dataclass(frozen=True)
class Told:
    """One attempt as a tracer hears of it."""

    candidate: Candidate
    attempt: Attempt
    answer: AnswerFacts | None = None
    breaker: str = "closed"


@dataclass(frozen=True)
class Scenario:
    """One request as a tracer hears of it, from its decision to its receipt."""

    decision: Plan | Denied
    receipt: Receipt
    told: tuple[Told, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)

    def play(self, tracer: Tracer) -> None:
        """Tell it all to `tracer`, in the order in which a router would."""
        request = tracer.request(self.decision, request_id=REQUEST_ID, params=self.params)
        if request is None:
            return
        for told in self.told:
            trace = request.attempt(
                Kept(told.candidate, fallback=False, reason="in the order of the policy"),
                number=told.attempt.number,
                reason=told.attempt.reason,
                breaker=told.breaker,
            )
            trace.headers()
            trace.ended(told.attempt, told.answer)
        request.ended(self.receipt)


def plan(facts: Facts, *candidates: Candidate, dropped: tuple[Dropped, ...] = ()) -> Plan:
    kept = tuple(Kept(candidate, fallback=False, reason="") for candidate in candidates)
    return Plan(POLICY, facts, "classify-cheap", kept, dropped)


def served(number: int, candidate: Candidate, **facts: Any) -> Attempt:
    """An attempt that answered: 1,000 tokens in, 400 of them cached, 200 out, 50 of them reasoning."""
    usage = facts.pop("usage", Usage(1000, 200, cached_input_tokens=400, reasoning_tokens=50))
    made = Attempt(
        number=number,
        backend=candidate.backend.name,
        region=candidate.backend.region,
        model=candidate.model.name,
        model_asked=candidate.wire_model,
        model_served=candidate.wire_model,
        reason=AttemptReason.PRIMARY,
        outcome=AttemptOutcome.SERVED,
        error=None,
        status_code=200,
        started_at=STARTED_AT,
        duration_s=0.4,
        first_token_s=None,
        usage=usage,
        price=candidate.price,
        cost_usd=cost_usd(usage, candidate.price) if usage and candidate.price else None,
        maybe_billed=True,
    )
    return replace(made, **facts)


def failed(number: int, candidate: Candidate, error: str | None, **facts: Any) -> Attempt:
    """An attempt that brought nothing, and cost nothing."""
    nothing = {"model_served": None, "usage": None, "cost_usd": None, "status_code": None}
    return served(
        number,
        candidate,
        **(nothing | {"outcome": AttemptOutcome.FAILED, "error": error} | facts),
    )


def receipt(
    decision: Plan | Denied, outcome: RequestOutcome, *attempts: Attempt, **facts: Any
) -> Receipt:
    """The receipt that these attempts add up to."""
    costs = [(a.cost_usd, a.outcome) for a in attempts if a.cost_usd is not None]
    asked = decision.facts
    candidates = decision.kept if isinstance(decision, Plan) else ()
    made = Receipt(
        request_id=REQUEST_ID,
        policy=decision.policy.name,
        policy_version=decision.policy.version,
        route=decision.route,
        operation=asked.operation,
        task=asked.task,
        residency=asked.residency,
        tenant=asked.tenant,
        feature=asked.feature,
        session=asked.session,
        stream=asked.stream,
        candidates=tuple(kept.candidate.name for kept in candidates),
        reasons=(),
        dropped=tuple((dropped.candidate.name, dropped.detail) for dropped in decision.dropped),
        attempts=attempts,
        outcome=outcome,
        error=None,
        started_at=STARTED_AT,
        duration_s=0.5,
        first_token_s=None,
        cost_usd=sum((cost for cost, _ in costs), Decimal(0)) if costs else None,
        cost_wasted_usd=sum(
            (cost for cost, how in costs if how is not AttemptOutcome.SERVED), Decimal(0)
        ),
        cost_complete=True,
    )
    return replace(made, **facts)


def plain() -> Scenario:
    """One candidate, one answer; every hint given; one candidate dropped for where it is."""
    facts = Facts(
        task="classify",
        residency="eu",
        tenant="acme",
        feature="triage",
        session="s-17",
        model="qwen3-8b",
    )
    dropped = Dropped(QWEN_US, DropReason.REGION, "region 'us' is not in [eu] (residency 'eu')")
    decision = plan(facts, QWEN_EU, QWEN_FRA, dropped=(dropped,))
    answer = AnswerFacts("chatcmpl-123", ("stop",), "default")
    attempt = served(1, QWEN_EU, model_served="qwen3-8b-2026-06-01")
    return Scenario(
        decision,
        receipt(decision, RequestOutcome.OK, attempt),
        (Told(QWEN_EU, attempt, answer),),
        {"max_tokens": 4, "temperature": 0.5, "top_p": 1, "seed": 7},
    )


def failover() -> Scenario:
    """Our GPUs answer 503, a hosted region refuses the connection, another model answers."""
    decision = plan(Facts(tenant="acme"), QWEN_FRA, QWEN_EU, GLM_US)
    first = failed(1, QWEN_FRA, "503", status_code=503)
    second = failed(2, QWEN_EU, "connect", reason=AttemptReason.FAILOVER)
    third = served(3, GLM_US, reason=AttemptReason.FALLBACK)
    return Scenario(
        decision,
        receipt(decision, RequestOutcome.OK, first, second, third),
        (
            Told(QWEN_FRA, first),
            Told(QWEN_EU, second, breaker="half_open"),
            Told(GLM_US, third, AnswerFacts("chatcmpl-3", ("length",))),
        ),
    )


def stream() -> Scenario:
    """A stream that was read to its end; the backend reported no tokens, so they are estimated."""
    decision = plan(Facts(stream=True), QWEN_US)
    usage = Usage(12, 8, source=UsageSource.ESTIMATED)
    attempt = served(1, QWEN_US, usage=usage, first_token_s=0.12)
    return Scenario(
        decision,
        receipt(decision, RequestOutcome.OK, attempt, first_token_s=0.125),
        (Told(QWEN_US, attempt, AnswerFacts("chatcmpl-4", ("stop",))),),
    )


def cut_stream() -> Scenario:
    """A stream that broke after its first token, so nobody else may continue it; it was billed."""
    decision = plan(Facts(stream=True), QWEN_US, QWEN_EU)
    usage = Usage(12, 3, source=UsageSource.ESTIMATED)
    attempt = served(
        1,
        QWEN_US,
        outcome=AttemptOutcome.FAILED,
        error="stream_interrupted",
        usage=usage,
        first_token_s=0.12,
    )
    return Scenario(
        decision,
        receipt(
            decision,
            RequestOutcome.ERROR,
            attempt,
            error="stream_interrupted",
            first_token_s=0.12,
            cost_complete=False,
        ),
        (Told(QWEN_US, attempt, AnswerFacts("chatcmpl-5")),),
    )


def cancelled() -> Scenario:
    """The caller went away while a backend was working: nobody's error."""
    decision = plan(Facts(), QWEN_US)
    attempt = failed(1, QWEN_US, None, outcome=AttemptOutcome.CANCELLED)
    return Scenario(
        decision,
        receipt(decision, RequestOutcome.CANCELLED, attempt, cost_complete=False),
        (Told(QWEN_US, attempt),),
    )


def denied() -> Scenario:
    """The policy forbids it: a root alone, for nothing was sent."""
    facts = Facts(residency="phi", tenant="clinic")
    dropped = Dropped(QWEN_US, DropReason.OPERATOR, "operator 'third_party' is not in [self]")
    decision = Denied(POLICY, facts, "residency 'phi'", "no candidate is allowed", None, (dropped,))
    return Scenario(decision, receipt(decision, RequestOutcome.DENIED, error="policy_denied"))


def rejected() -> Scenario:
    """A backend refused the request as such; nobody else is asked."""
    decision = plan(Facts(), QWEN_US, QWEN_EU)
    attempt = failed(1, QWEN_US, "400", status_code=400)
    return Scenario(
        decision,
        receipt(decision, RequestOutcome.REJECTED, attempt, error="400"),
        (Told(QWEN_US, attempt),),
    )


def embeddings() -> Scenario:
    """A free model of our own: its cost is known, and is 0."""
    decision = plan(Facts(operation="embeddings"), EMBEDDER_FRA)
    attempt = served(1, EMBEDDER_FRA, usage=Usage(6, 0))
    return Scenario(
        decision, receipt(decision, RequestOutcome.OK, attempt), (Told(EMBEDDER_FRA, attempt),)
    )


def by_the_month() -> Scenario:
    """Machines of our own that are paid by the month: what a token costs there, and at an API."""
    decision = plan(Facts(), QWEN_FRA)
    usage = Usage(1000, 200, cached_input_tokens=400)
    attempt = served(
        1,
        QWEN_FRA,
        usage=usage,
        fixed=fixed_cost(Capacity(Decimal("2629.80"), tokens_per_s=1_000.0), Use(250.0)),
        list_price=PRICE,
        list_cost_usd=cost_usd(usage, PRICE),
    )
    made = receipt(
        decision,
        RequestOutcome.OK,
        attempt,
        list_cost_usd=attempt.list_cost_usd,
        cost_complete=False,
    )
    return Scenario(decision, made, (Told(QWEN_FRA, attempt),))


SCENARIOS = {
    made.__name__: made
    for made in (
        plain,
        failover,
        stream,
        cut_stream,
        cancelled,
        denied,
        rejected,
        embeddings,
        by_the_month,
    )
}
