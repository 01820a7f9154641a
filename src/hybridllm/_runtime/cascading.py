"""One request's cascade: the first answer checked as it comes, and what is asked if it does not pass.

Owns no rule: the checks are `_core.cascade`'s, the candidates the plan's, the attempts those of the one loop.
The first answer is kept while a better one is asked for, and handed out if that does not come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.cascade.check import doubt
from hybridllm._core.cascade.said import Choice, asked_of, said_in, said_in_chunks
from hybridllm._core.decide.cascade import onward
from hybridllm._core.money.pico import to_pico
from hybridllm._core.money.price import cost_usd
from hybridllm._core.policy.compiled import Capability
from hybridllm._core.receipt import AttemptOutcome, AttemptReason, Receipt, RequestOutcome
from hybridllm._runtime.ports import Parsed
from hybridllm._runtime.seam import Seam
from hybridllm._runtime.stream import Stream
from hybridllm.errors import HybridLLMError, RequestFailed

if TYPE_CHECKING:
    from hybridllm._core.cascade.rule import Cascade
    from hybridllm._core.decide.plan import Kept, Plan
    from hybridllm._core.request.read import Call
    from hybridllm._runtime.cascades import CascadeTally
    from hybridllm._runtime.run import Run

_FIRST_REASONS = frozenset({AttemptReason.PRIMARY, AttemptReason.FALLBACK, AttemptReason.OVERFLOW})


class Cascading:
    """Checks the answers of one request.

    Attributes:
        plan: As it was decided; while a better model is asked, the run's own has nobody else.
        doubt: Why the first answer did not pass, in words; None: it did, or there is none.
        kept_because: Why the caller has it all the same; None: it has not.

    Args:
        rule: The plan's cascade.
        tally: Counts how cascades end.
    """

    def __init__(self, rule: Cascade, plan: Plan, call: Call, tally: CascadeTally) -> None:
        self.plan = plan
        self.doubt: str | None = None
        self.kept_because: str | None = None
        self._rule = rule
        self._gives_logprobs = bool(call.body.get("logprobs"))
        self._tally = tally
        self._asked = asked_of(call, plan.facts.task)
        self._going_on = False
        self._checked = False
        self._asked_better = False

    @property
    def scored(self) -> bool:
        """Whether first answers bring log-probabilities that only we have asked for."""
        return self._rule.low_logprob is not None and not self._gives_logprobs

    @property
    def passed(self) -> bool:
        """Whether the answer that the caller gets is one that the policy asks for."""
        return self.doubt is None or self.kept_because is None

    def checks(self, kept: Kept) -> bool:
        """Return whether a candidate's answer is checked, and so is wanted whole."""
        return not self._going_on and kept.candidate.model.name == self._rule.first

    def call_for(self, kept: Kept, call: Call) -> Call:
        """Return the call as it is sent to a candidate: with log-probabilities if a check needs them."""
        if not self._adds_logprobs(kept):
            return call
        return replace(call, body={**call.body, "logprobs": True})

    def _adds_logprobs(self, kept: Kept) -> bool:
        """Return whether a candidate is asked for log-probabilities that the caller has not asked for."""
        able = Capability.LOGPROBS in kept.candidate.model.capabilities
        if self._rule.low_logprob is None or self._gives_logprobs or not able:
            return False
        return self.checks(kept)

    def reason(self, reason: AttemptReason) -> AttemptReason:
        """Return why an attempt is made."""
        if not self._going_on or self._asked_better or reason not in _FIRST_REASONS:
            return reason
        self._asked_better = True
        return AttemptReason.ESCALATION

    def outcome(self, kept: Kept, answer: Any) -> AttemptOutcome:
        """Check a whole answer, and return how its attempt has ended."""
        if not self.checks(kept):
            return AttemptOutcome.SERVED
        found = self._judged(said_in, answer)
        self._strip(kept, answer.choices)
        return found

    def outcome_of(self, kept: Kept, chunks: Collection[Any]) -> AttemptOutcome:
        """The same for the chunks of a whole stream."""
        found = self._judged(said_in_chunks, chunks)
        for chunk in chunks:
            self._strip(kept, chunk.choices)
        return found

    def _judged(self, read: Callable[[Any], tuple[Choice, ...]], answer: Any) -> AttemptOutcome:
        self._checked = True
        try:
            said = read(answer)
        except (AttributeError, TypeError):  # a lenient answer, with a field of a wrong type
            self.doubt = "it cannot be read"
        else:
            self.doubt = doubt(self._rule, self._asked, said)
        return AttemptOutcome.SERVED if self.doubt is None else AttemptOutcome.ESCALATED

    def _strip(self, kept: Kept, choices: Iterable[Any]) -> None:
        """Take out the log-probabilities that we asked for and the caller did not."""
        if self._adds_logprobs(kept):
            for choice in choices:
                choice.logprobs = None

    async def accepted(
        self, run: Run, found: Parsed | Stream, better: Callable[[], Awaitable[Parsed | Stream]]
    ) -> Parsed | Stream:
        """Return the answer that the caller gets, of the first one and what `better` finds."""
        if self.doubt is None:
            return _handed_out(found)
        plan: Plan | str = onward(self.plan, _spent_usd(run), run.started_at)
        if run.begun >= self.plan.policy.attempts_max:
            plan = "its attempts are used up (retries.attempts_max)"
        if isinstance(plan, str):
            self.kept_because = plan
            return _handed_out(found)
        run.plan, run.failures, run.claimed = plan, [], False
        run.attempts_before = run.begun
        run.seam = Seam(run.call, self._gave_up)
        self._going_on = True
        replaced: Parsed | Stream | None = found
        try:
            return await better()
        except HybridLLMError as error:
            error.with_traceback(None)  # the frames hold the request
            self.kept_because = self._failed_words(run, error)
            run.plan, replaced = self.plan, None
            return _handed_out(found)
        finally:
            run.seam = None
            if isinstance(replaced, Stream):
                replaced.forget()

    def _gave_up(self, because: str) -> RequestFailed:
        """What is raised where nobody better answers; the request is not settled by it."""
        return RequestFailed(f"{self._rule.then!r} did not answer: {because}")

    def _failed_words(self, run: Run, error: HybridLLMError) -> str:
        tried = ", ".join(
            f"{one.backend} ({one.error})"
            for one in run.attempts
            if one.number > run.attempts_before
        )
        return f"{self._rule.then!r} did not answer: {tried}" if tried else str(error)

    def told(self, receipt: Receipt) -> Receipt:
        """Return the receipt with what became of the cascade, and count it."""
        escalated = kept = None
        wasted = receipt.cost_wasted_usd
        if self.doubt is not None and self.kept_because is None:
            escalated = self.doubt if self._going_on else None
        elif self.doubt is not None:
            kept = f"{self.doubt}; {self.kept_because}"
            paid = [one for one in receipt.attempts if one.outcome is AttemptOutcome.ESCALATED]
            wasted -= (paid[-1].cost_usd if paid else None) or Decimal(0)
        receipt = replace(
            receipt,
            escalated=escalated,
            not_escalated=kept,
            cost_wasted_usd=wasted,
            cascade_saved_usd=None if kept is not None else self._saved_usd(receipt),
        )
        if self._checked:
            self._tally.count(receipt)
        return receipt

    def _saved_usd(self, receipt: Receipt) -> Decimal | None:
        """What the better model would have cost alone, less what both attempts did; None: not known."""
        served = receipt.served
        total, whole = receipt.cost_usd, receipt.cost_complete
        if not self._checked or receipt.outcome is not RequestOutcome.OK or served is None:
            return None
        alone = served.cost_usd
        if not self._going_on and served.usage is not None:
            then = [one for one in self.plan.kept if one.candidate.model.name == self._rule.then]
            tokens = served.usage.input_tokens  # the same, at the price of the better one
            price = then[0].candidate.price_at(served.started_at, tokens)
            alone = None if price is None else to_pico(cost_usd(served.usage, price))
        return None if alone is None or total is None or not whole else alone - total


def _handed_out(found: Parsed | Stream) -> Parsed | Stream:
    """Note when a stream that was read whole reaches its caller: its first token comes now."""
    if isinstance(found, Stream):
        found.handed_out()
    return found


def _spent_usd(run: Run) -> Decimal | None:
    """What a request has cost so far; None: not all of it is known."""
    spent = Decimal(0)
    for attempt in run.attempts:
        if attempt.cost_usd is None and attempt.maybe_billed:
            return None
        spent += attempt.cost_usd or Decimal(0)
    return spent
