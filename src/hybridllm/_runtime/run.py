"""One request under way: what it may still do, what it has done, and at its end the receipt."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._core.decide.plan import Denied, Kept, Plan
from hybridllm._core.ledger.made import declared_keys
from hybridllm._core.ledger.rows import AttemptRow
from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.money.pico import exactly, to_pico
from hybridllm._core.money.price import Price, cheapest, cost_usd
from hybridllm._core.money.usage import Usage, UsageSource
from hybridllm._core.policy.listed_prices import list_prices_at
from hybridllm._core.receipt import (
    Attempt,
    AttemptOutcome,
    AttemptReason,
    Receipt,
    RequestOutcome,
)
from hybridllm._core.request.read import Call
from hybridllm._core.resilience.outcome import Failure
from hybridllm._runtime.answer_words import name_of, status_of
from hybridllm._runtime.elsewhere import all_at_apis_usd, all_at_home_usd, own_cost_usd
from hybridllm._runtime.permit import Permit
from hybridllm._runtime.ports import (
    AnswerFacts,
    AttemptTrace,
    LedgerPort,
    Metrics,
    RequestTrace,
)
from hybridllm._runtime.seam import Seam
from hybridllm._runtime.stay import Passage
from hybridllm._runtime.totals import Total
from hybridllm._runtime.uses import Meter, Uses
from hybridllm._runtime.volumes import Volumes

if TYPE_CHECKING:
    from hybridllm._runtime.budgets.hold import Hold
    from hybridllm._runtime.cascading import Cascading
    from hybridllm._runtime.response_cache import Caching
    from hybridllm._runtime.resume import Resume

_NO_COST = Decimal(0)
_NOBODY: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Run:
    """A request under way. Its repr shows no content.

    Attributes:
        deadline_at_s: On the clock's monotonic scale.
        failures: (place in the plan, failure) in the order they happened.
        settled: True once the receipt is made; a request ends once.
        passed_over: Who could not be asked when the last attempt was chosen.
        seam: Where its stream broke last, if another attempt is to go on for it.
        resume: Goes on for its stream when it breaks; None: nobody does.
        cascade: Checks its answers; None: nobody does.
        caching: Keeps its answer, or has it; None: nothing does.
        volumes: Where it is counted when it has ended; None: nowhere.
        ledger: Where it is written down; None: nowhere.
        metrics: Told when it has ended; None: nobody is.
        rejected: (backend, reason) of whom it could not ask when it would have; only for `metrics`.
        begun: Attempts that have begun.
        on_answer: Told the text of a whole answer, and the receipt; None: nobody is.
        shadow_of: The request that it is a copy of; `agreed`: whether the answers agree, once compared.
        hold: What is reserved for it of budgets; None: nobody asks what it costs.
        attempts_before: Those that were made before a cascade went on.
        racing: True while attempts run side by side, of which one may answer; `claimed`: one has.
    """

    request_id: str
    call: Call = field(repr=False)
    plan: Plan = field(repr=False)
    started_at: datetime
    started_s: float
    deadline_s: float
    deadline_at_s: float
    passage: Passage = field(repr=False)
    trace: RequestTrace | None = field(default=None, repr=False)
    volumes: Volumes | None = field(default=None, repr=False)
    ledger: LedgerPort | None = field(default=None, repr=False)
    attempts: list[Attempt] = field(default_factory=list)
    failures: list[tuple[int, Failure]] = field(default_factory=list, repr=False)
    settled: bool = False
    passed_over: Set[int] = _NOBODY
    seam: Seam | None = field(default=None, repr=False)
    resume: Resume | None = field(default=None, repr=False)
    cascade: Cascading | None = field(default=None, repr=False)
    caching: Caching | None = field(default=None, repr=False)
    begun: int = 0
    on_answer: Callable[[str, Receipt], None] | None = field(default=None, repr=False)
    shadow_of: str | None = None
    agreed: bool | None = None
    attempts_before: int = 0
    metrics: Metrics | None = field(default=None, repr=False)
    rejected: set[tuple[str, str]] = field(default_factory=set, repr=False)
    hold: Hold | None = field(default=None, repr=False)
    racing: bool = False
    claimed: bool = False

    @property
    def barred(self) -> frozenset[int]:
        """Who of the plan can do nothing more for the request."""
        return _NOBODY if self.seam is None else self.seam.barred

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Of the caller's metadata, what the policy declares for attribution."""
        plan = self.plan
        declared = plan.policy.attribution
        return declared_keys(declared, plan.facts.metadata) if declared else ()

    def begin(self, place: int) -> None:
        """Count one more attempt, at the candidate of that place."""
        self.begun += 1
        if self.hold is not None:
            self.hold.begin(self.begun, self.plan.kept[place].candidate)

    def claim(self) -> bool:
        """Return whether an attempt that has an answer may give it: the first of those that race."""
        if not self.racing:
            return True
        claimed, self.claimed = self.claimed, True
        return not claimed

    @exactly
    def settle(
        self,
        outcome: RequestOutcome,
        *,
        now_s: float,
        error: str | None = None,
        first_token_s: float | None = None,
    ) -> Receipt:
        """Make the receipt and tell the listener; called once."""
        self.settled = True
        self.resume = self.seam = None  # they hold the run, as it holds them
        receipt = _receipt(self, outcome, now_s, error, first_token_s)
        if self.hold is not None:
            self.hold.settle(self.attempts)
        if self.cascade is not None:
            receipt = self.cascade.told(receipt)
        if self.caching is not None:
            receipt = self.caching.told(receipt)
        if self.ledger is not None:
            self.ledger.request(receipt, self.plan.facts)
        if self.trace is not None:
            self.trace.ended(receipt)
        if self.metrics is not None:
            self.metrics.ended(receipt, self.plan, self.rejected)
        if self.volumes is not None:
            self.volumes.count(receipt, now_s)
        self.passage.over()
        return receipt


@dataclass(slots=True, eq=False)
class Trial:
    """One attempt under way.

    Attributes:
        permit: To make it; of the record of its candidate.
        total: Of its backend, where it is counted.
        uses: Of all backends that are paid by the month.
        meter: Counts its tokens, if its backend is paid so.
        row: That its intent has left in the ledger.
    """

    run: Run
    kept: Kept
    number: int
    reason: AttemptReason
    started_at: datetime
    permit: Permit = field(repr=False)
    total: Total = field(repr=False)
    uses: Uses = field(repr=False)
    meter: Meter | None = field(init=False, repr=False)
    trace: AttemptTrace | None = field(default=None, repr=False)
    row: AttemptRow | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.meter = self.uses.meter(self.kept.candidate.backend)

    @property
    def started_s(self) -> float:
        """When it began, on the clock's monotonic scale."""
        return self.permit.taken_at_s

    @exactly
    def ended(
        self,
        outcome: AttemptOutcome,
        *,
        now_s: float,
        usage: Usage | None = None,
        model_served: str | None = None,
        failure: Failure | None = None,
        first_token_s: float | None = None,
        facts: AnswerFacts | None = None,
    ) -> Attempt:
        """Record how it ended, with its cost if tokens and price are known."""
        candidate = self.kept.candidate
        service_tier = name_of(facts.service_tier) if facts is not None else None
        model_served = name_of(model_served)
        price = candidate.price
        if candidate.tariff is not None:
            price = candidate.price_at(
                self.started_at,
                None if usage is None else usage.input_tokens,
                served=model_served,
                service_tier=service_tier,
            )
        fixed, list_price, list_cost = self._at_home(usage, now_s)
        said: Decimal | None = None
        if usage is not None:
            self.permit.used(usage, now_s)
            said = usage.provider_cost_usd
        cost, source = _cost(usage, price, said)
        trace_id, span_id = (self.trace.ids if self.trace is not None else None) or (None, None)
        attempt = Attempt(
            self.number,
            candidate.backend.name,
            candidate.backend.region,
            candidate.model.name,
            candidate.wire_model,
            model_served,
            self.reason,
            outcome,
            failure.label if failure is not None else None,
            status_of(failure, answered=usage is not None or facts is not None),
            self.started_at,
            now_s - self.started_s,
            first_token_s,
            usage,
            price,
            cost,
            failure.maybe_billed if failure is not None else True,
            fixed,
            list_price,
            list_cost,
            service_tier,
            said,
            source,
            trace_id=trace_id,
            span_id=span_id,
            own_cost_usd=own_cost_usd(usage, fixed, candidate, self.run.plan.policy, self.uses),
        )
        self.run.attempts.append(attempt)
        self.total.ended(attempt)
        if self.trace is not None:
            self.trace.ended(attempt, facts)
        if self.run.ledger is not None:
            self.run.ledger.attempt(self, attempt)
        return attempt

    def _at_home(
        self, usage: Usage | None, now_s: float
    ) -> tuple[FixedCost | None, Price | None, Decimal | None]:
        """Count its tokens; return what they cost on machines paid by the month, and at hosted APIs."""
        candidate, meter = self.kept.candidate, self.meter
        if meter is None or candidate.backend.capacity is None:
            return None, None, None
        meter.ended(usage, now_s)
        tokens = 0 if usage is None else usage.input_tokens
        policy, name = self.run.plan.policy, candidate.model.name
        asked = list_prices_at(policy, name, self.started_at, input_tokens=tokens)
        listed = cheapest(asked, usage)
        fixed = meter.price(candidate.backend.capacity, now_s)
        if usage is None or listed is None:
            return fixed, listed, None
        return fixed, listed, to_pico(cost_usd(usage, listed))


def _cost(
    usage: Usage | None, price: Price | None, said: Decimal | None
) -> tuple[Decimal | None, str | None]:
    """Return what an attempt cost, rounded this once, and whose word that is: ours, else its backend's."""
    if price is None:
        return said, None if said is None else "provider"
    if usage is None:  # free is free, however much it was
        return (_NO_COST, "local") if price.free else (None, None)
    return to_pico(cost_usd(usage, price)), "local"


def _number(attempt: Attempt) -> int:
    return attempt.number


def estimated_usage(run: Run, output_tokens: int) -> Usage:
    """Return what an attempt probably used, where the backend did not say."""
    call = run.call  # of many inputs, the estimate is the longest's
    tokens_in = max(call.input_tokens_total, call.input_tokens_estimate)
    return Usage(tokens_in, output_tokens, source=UsageSource.ESTIMATED)


def denied_receipt(
    denied: Denied, *, request_id: str, stream: bool, started_at: datetime, duration_s: float
) -> Receipt:
    """The receipt of a request that was sent to nobody."""
    facts = denied.facts
    return Receipt(
        request_id=request_id,
        policy=denied.policy.name,
        policy_version=denied.policy.version,
        route=denied.route,
        operation=facts.operation,
        task=facts.task,
        residency=denied.residency[0] if denied.residency else facts.residency,
        tenant=facts.tenant,
        feature=facts.feature,
        session=facts.session,
        stream=stream,
        candidates=(),
        reasons=(),
        dropped=tuple((drop.candidate.name, drop.detail) for drop in denied.dropped),
        attempts=(),
        outcome=RequestOutcome.DENIED,
        error="policy_denied",
        started_at=started_at,
        duration_s=duration_s,
        first_token_s=None,
        cost_usd=_NO_COST,
        cost_wasted_usd=_NO_COST,
        cost_complete=True,
        residency_tags=denied.residency,
        observed=denied.observed,
        user_id=facts.user_id,
        keys=declared_keys(denied.policy.attribution, facts.metadata),
    )


def _receipt(
    run: Run, outcome: RequestOutcome, now_s: float, error: str | None, first_token_s: float | None
) -> Receipt:
    plan = run.plan if run.cascade is None else run.cascade.plan
    facts = plan.facts
    total: Decimal | None = None
    listed: Decimal | None = None
    wasted = _NO_COST
    complete = True
    for attempt in run.attempts:
        cost = attempt.cost_usd
        if cost is not None:
            total = cost if total is None else total + cost
            if attempt.outcome is not AttemptOutcome.SERVED:
                wasted += cost
            if attempt.usage is not None and attempt.usage.source is UsageSource.ESTIMATED:
                complete = complete and attempt.price is not None and attempt.price.free
        elif attempt.maybe_billed:
            complete = False
        if attempt.list_cost_usd is not None:
            listed = attempt.list_cost_usd + (listed or _NO_COST)
    if total is None and complete:
        total = _NO_COST  # nothing that was sent can have been charged
    return Receipt(
        run.request_id,
        plan.policy.name,
        plan.policy.version,
        plan.route,
        facts.operation,
        facts.task,
        plan.residency[0] if plan.residency else None,
        facts.tenant,
        facts.feature,
        facts.session,
        facts.stream,
        plan.candidate_names,
        plan.reasons,
        plan.dropped_names,
        tuple(sorted(run.attempts, key=_number) if run.begun > 1 else run.attempts),
        outcome,
        error,
        run.started_at,
        now_s - run.started_s,
        first_token_s,
        total,
        wasted,
        complete,
        plan.residency,
        plan.observed,
        listed,
        facts.user_id,
        run.keys,
        shadow_of=run.shadow_of,
        agreed=run.agreed,
        all_api_usd=all_at_apis_usd(run.attempts, plan.policy),
        all_own_usd=all_at_home_usd(run.attempts),
    )
