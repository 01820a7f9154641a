"""The one loop: decide, attempt, and on failure ask what is next, until an answer or the end.

Owns no rule: who may be asked is the plan's, what comes next is `next_step`'s, how an attempt went is
the attempt's. It holds the request's deadline and sees to it that every request ends exactly once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hybridllm._core.decide.decide import brought_tags, decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.timeouts import timeouts_for, total_s
from hybridllm._core.receipt import RequestOutcome
from hybridllm._core.request.read import Call, facts_of
from hybridllm._core.resilience.next_step import Call as Step
from hybridllm._core.resilience.next_step import (
    GiveUp,
    attempt_limit_s,
    candidates_left,
    next_step,
)
from hybridllm._core.resilience.outcome import Failure
from hybridllm._runtime.attempt import Attempts
from hybridllm._runtime.failed import failed
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.ports import Clock, Codec, Parsed, RequestTrace, Tracer, Wire
from hybridllm._runtime.run import Run, denied_receipt
from hybridllm._runtime.stream import Stream
from hybridllm._runtime.taints import Taints
from hybridllm._runtime.target import Targets
from hybridllm.errors import HybridLLMError, PolicyDenied, RouterClosed

if TYPE_CHECKING:
    from hybridllm._runtime.resume import Resume

_SPAN_PARAMS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed")


class Engine:
    """Runs requests by the policy in force, inside one event loop.

    A request reads the policy once, as it is decided; from then on its plan's policy is its own.

    Args:
        in_force: Holds the policy.
        wire: Makes the wire, at the first request.
        codec: Makes the codec, at the first request: it loads `openai`.
        draw: A number in [0, 1], drawn anew at each call.
        ready: Called once, in the event loop of the first request.
    """

    def __init__(
        self,
        in_force: InForce,
        *,
        wire: Callable[[], Wire],
        codec: Callable[[], Codec],
        targets: Targets,
        tracer: Tracer,
        clock: Clock,
        draw: Callable[[], float],
        ready: Callable[[], None] | None = None,
    ) -> None:
        self._in_force = in_force
        self.fleet = Fleet(clock.monotonic_s)
        self.taints = Taints(clock.monotonic_s)
        self._make_wire = wire
        self._make_codec = codec
        self._targets = targets
        self._tracer = tracer
        self._clock = clock
        self._draw = draw
        self._call_ready = ready
        self._attempts: Attempts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def run(self, call: Call) -> Any:
        """Return the answer to a call: an `openai` object, or a `Stream`.

        Raises:
            PolicyDenied: If the policy leaves nobody to ask. Nothing was sent.
            RequestFailed: If no answer can be had.
            InvalidRequest: If the call cannot be said in JSON.
        """
        attempts = self._ready()
        run = self._begun(call)
        if isinstance(run, PolicyDenied):
            raise attempts.codec.raised(run)
        if call.hints.on_interrupt not in (None, "fail"):
            run.resume = self._resume(attempts, run)
        try:
            found = await self._found(attempts, run)
        except HybridLLMError as error:
            outcome = error
        except BaseException as error:  # noqa: BLE001 - a cancellation ends the request too; raised again
            if not run.settled:
                cancelled = isinstance(error, asyncio.CancelledError)
                run.settle(
                    RequestOutcome.CANCELLED if cancelled else RequestOutcome.ERROR,
                    now_s=self._clock.monotonic_s(),
                    error=None if cancelled else type(error).__name__,
                )
            raise error.with_traceback(None) from None  # the frames below hold the request
        else:
            if isinstance(found, Stream):
                return found
            receipt = run.settle(RequestOutcome.OK, now_s=self._clock.monotonic_s())
            attempts.codec.attach(found.value, receipt, found.request_id)
            return found.value
        if not run.settled:
            label = "router_closed" if isinstance(outcome, RouterClosed) else "invalid_request"
            run.settle(RequestOutcome.ERROR, now_s=self._clock.monotonic_s(), error=label)
        raise attempts.codec.raised(outcome.with_traceback(None))

    async def close(self) -> None:
        """Close every connection; requests under way and later ones raise `RouterClosed`."""
        self._closed = True
        attempts, self._attempts = self._attempts, None
        if attempts is not None:
            await attempts.wire.close()

    def raised(self, error: HybridLLMError) -> HybridLLMError:
        """Return an error as the caller should see it: an `openai` error too, where one matches."""
        return self._make_codec().raised(error)

    def _ready(self) -> Attempts:
        """Build what the first request needs; refuse another event loop."""
        if self._attempts is not None and asyncio.get_running_loop() is self._loop:
            return self._attempts
        if self._closed:
            raise RouterClosed("this router is closed; open a new one")
        if self._attempts is not None:
            raise RouterClosed(
                "this router belongs to another event loop; open one router in each loop"
            )
        if self._call_ready is not None:
            self._call_ready()
        import hybridllm._runtime.retry  # noqa: F401 - now, so that the first failover does not wait for it

        self._loop = asyncio.get_running_loop()
        self._attempts = Attempts(
            self._make_wire(),
            self._make_codec(),
            self.fleet,
            self._targets,
            self._clock,
            self._draw,
        )
        return self._attempts

    def follow(self, policy: Policy) -> None:
        """Prepare for another policy: keys are read anew, and what was learnt of gone endpoints goes."""
        rekeyed = self._targets.follow(policy.backends)
        self.fleet.follow(self._in_force.policy, policy, rekeyed)

    def _begun(self, call: Call) -> Run | PolicyDenied:
        """Decide, and start the request's record; or deny."""
        started_s, started_at = self._clock.monotonic_s(), self._clock.utc_now()
        request_id = os.urandom(16).hex()
        decision = self._decision(call, started_at)
        trace = self._traced(decision, request_id, call)
        if isinstance(decision, Denied):
            receipt = denied_receipt(
                decision,
                request_id=request_id,
                stream=call.stream,
                started_at=started_at,
                duration_s=self._clock.monotonic_s() - started_s,
            )
            if trace is not None:
                trace.ended(receipt)
            return PolicyDenied(
                decision.message,
                rule=decision.rule,
                residency=decision.residency[0] if decision.residency else decision.facts.residency,
                dropped=decision.dropped,
                receipt=receipt,
            )
        deadline_s = call.hints.deadline_s
        if deadline_s is None:
            deadline_s = total_s(decision.task)
        return Run(
            request_id,
            call,
            decision,
            started_at,
            started_s,
            deadline_s,
            started_s + deadline_s,
            trace,
        )

    def _decision(self, call: Call, now_utc: datetime) -> Plan | Denied:
        """Decide by the policy in force now; what its session carries is known from here on."""
        policy, session = self._in_force.policy, call.hints.session
        facts = facts_of(call, policy, self.taints.of(session, policy))
        chance = self._draw() if policy.splits else 0.0
        decision = decide(
            policy, facts, self.fleet.snapshot(policy, now_utc=now_utc, chance=chance)
        )
        if policy.taints:
            self.taints.carry(session, brought_tags(policy, facts), policy)
        if decision.observed:
            self._in_force.observed.count(decision.observed)
        return decision

    def _traced(self, decision: Plan | Denied, request_id: str, call: Call) -> RequestTrace | None:
        if not self._tracer.listens():
            return None
        body = call.body
        return self._tracer.request(
            decision,
            request_id=request_id,
            params={name: body[name] for name in _SPAN_PARAMS if name in body},
        )

    async def _found(self, attempts: Attempts, run: Run) -> Parsed | Stream:
        """Try until an answer is there. A first attempt that succeeds costs no retry machinery."""
        step = self._step(run)
        found = await self._tried(attempts, run, step)
        if not isinstance(found, Failure):
            return found
        return await self._found_again(attempts, run)

    async def _found_again(self, attempts: Attempts, run: Run) -> Parsed | Stream:
        """Go on after the first failure, as `next_step` says, carried by tenacity."""
        from hybridllm._runtime.retry import Again, repeat

        step = self._step(run)
        if step.after_s:
            await self._clock.sleep(step.after_s)

        async def turn() -> Parsed | Stream:
            nonlocal step
            found = await self._tried(attempts, run, step)
            if isinstance(found, Failure):
                step = self._step(run)
                raise Again(step.after_s)
            return found

        return await repeat(turn, sleep=self._clock.sleep)

    def _resume(self, attempts: Attempts, run: Run) -> Resume:
        from hybridllm._runtime.resume import Resume

        return Resume(run, lambda: self._found_again(attempts, run))

    def _step(self, run: Run) -> Step:
        """Ask what is next; raise the request's error if nothing is."""
        now_s = self._clock.monotonic_s()
        policy = run.plan.policy
        if self._closed:
            raise RouterClosed("this router was closed while a request was under way")
        refusals = self.fleet.refusals(run.plan.kept)
        verdict = next_step(
            kept=run.plan.kept,
            failures=run.failures,
            gated=refusals.reasons.keys(),
            cooling=refusals.cooling,
            retries_max=policy.retries_max,
            attempts_max=policy.attempts_max,
            remaining_s=run.deadline_at_s - now_s,
            jitter=self._draw() if run.failures else 0.0,
            barred=run.barred,
        )
        if isinstance(verdict, GiveUp):
            raise failed(run, verdict, now_s=now_s)
        return verdict

    async def _tried(self, attempts: Attempts, run: Run, step: Step) -> Parsed | Stream | Failure:
        kept = run.plan.kept
        timeouts = timeouts_for(run.plan.task, kept[step.index].candidate.backend)
        stream = run.call.stream
        limit_s = attempt_limit_s(
            remaining_s=run.deadline_at_s - self._clock.monotonic_s(),
            candidates_left=candidates_left(
                kept=kept,
                failures=run.failures,
                gated=self.fleet.refusals(kept).reasons.keys() | run.barred,
                attempts_max=run.plan.policy.attempts_max,
            ),
            own_limit_s=None if stream else timeouts.attempt_s,
        )
        if stream:
            return await attempts.stream(run, step, min(limit_s, timeouts.first_token_s))
        return await attempts.answer(run, step, limit_s)
