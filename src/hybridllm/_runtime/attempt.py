"""One attempt: permit, request, answer, outcome. Classified once, and handed back once.

The timeout sits inside the permit: outside it, a backend that hangs would look like a caller that left,
and its breaker would never open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import BackendKind, Candidate
from hybridllm._core.policy.objectives import Timeouts
from hybridllm._core.policy.timeouts import timeouts_for
from hybridllm._core.receipt import AttemptOutcome
from hybridllm._core.resilience.breaker import Phase
from hybridllm._core.resilience.classify import (
    classify_error_body,
    classify_wire,
    invalid_response,
)
from hybridllm._core.resilience.error_body import ErrorBody
from hybridllm._core.resilience.next_step import Call as Step
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind
from hybridllm._core.telemetry.load_header import TOLD_IN
from hybridllm._runtime.beginning import first_chunks, read_whole
from hybridllm._runtime.exchange import (
    Body,
    assert_residency,
    encoded,
    is_json,
    no_key,
    open_answer,
    read_answer,
    usage_wanted,
    wire_request,
)
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.permit import Permit
from hybridllm._runtime.ports import Clock, Codec, Parsed, Wire, WireRequest, WireResponse
from hybridllm._runtime.run import Run, Trial, estimated_usage
from hybridllm._runtime.security_events import SecurityEvents
from hybridllm._runtime.stream import Stream
from hybridllm._runtime.stream_end import StreamEnd
from hybridllm._runtime.target import KeyMissing, Target, Targets
from hybridllm._runtime.upstream import Upstream
from hybridllm.errors import InvalidRequest

COLD_START_TIMES = 3.0
"""A server of our own that comes back has a model to load: a probe's first token may take so much longer."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Makes attempts.

    Args:
        draw: A number in [0, 1], drawn anew at each call.
    """

    wire: Wire
    codec: Codec
    fleet: Fleet
    targets: Targets
    clock: Clock
    draw: Callable[[], float] = field(repr=False)
    security: SecurityEvents = field(default_factory=SecurityEvents)

    async def answer(self, run: Run, step: Step, limit_s: float) -> Parsed | Failure:
        """Ask one candidate for a whole answer, for at most `limit_s` seconds."""
        body = self._body(run, step)
        permit, trial = self._begin(run, step)
        try:
            made = self._request(run, trial, body)
            if isinstance(made, Failure):
                return self._failed(trial, permit, step, made)
            request, secrets, timeouts = made
            until_s = min(trial.started_s + limit_s, run.deadline_at_s)
            try:
                async with asyncio.timeout_at(until_s):
                    found = await self._fetched(run, trial.kept.candidate, request, secrets)
            except TimeoutError:
                failure = self._out_of_time(trial, timeouts, FailureKind.ATTEMPT_TIMEOUT)
                return self._failed(trial, permit, step, failure)
            if isinstance(found, Failure):
                return self._failed(trial, permit, step, found)
            if not run.claim():
                return self._lost(trial, permit, found.usage)
            self._served(run, trial, permit, found)
        except BaseException:
            self._abandoned(trial, permit)
            raise
        return found

    async def stream(self, run: Run, step: Step, limit_s: float) -> Stream | Failure:
        """Ask one candidate for a stream, returned once its first semantic token is here.

        That may take `limit_s` seconds at most.
        """
        body = self._body(run, step)
        permit, trial = self._begin(run, step)
        upstream: Upstream | None = None
        try:
            made = self._request(run, trial, body)
            if isinstance(made, Failure):
                return self._failed(trial, permit, step, made)
            request, secrets, timeouts = made
            until_s = min(trial.started_s + _patient(limit_s, permit), run.deadline_at_s)
            try:
                async with asyncio.timeout_at(until_s):
                    opened = await self._opened_stream(run, request, secrets)
            except TimeoutError:
                opened = self._out_of_time(trial, timeouts, FailureKind.FIRST_TOKEN_TIMEOUT)
            if isinstance(opened, Failure):
                return self._failed(trial, permit, step, opened)
            upstream = Upstream(
                trial,
                permit,
                opened,
                codec=self.codec if run.seam is None else run.seam.reader(self.codec),
                clock=self.clock,
                secrets=secrets,
                jitter=self.draw(),
                usage_wanted=usage_wanted(run.call.body),
                answers=run.call.answers,
            )
            if run.caching is not None and (run.cascade is None or not run.cascade.scored):
                upstream.recording = []
            idle_s, deadline_at_s = timeouts.idle_s, run.deadline_at_s
            held = await first_chunks(
                upstream, clock=self.clock, until_s=until_s, deadline_at_s=deadline_at_s
            )
            checking = run.cascade is not None and run.cascade.checks(trial.kept)
            if checking:
                held = await read_whole(upstream, held, idle_s=idle_s, deadline_at_s=deadline_at_s)
            if upstream.failure is not None:
                await upstream.close()
                return self._broken_unseen(upstream, step, timeouts, upstream.failure)
            if not run.claim():
                await upstream.close()
                return self._lost(trial, permit, estimated_usage(run, upstream.state.tokens_seen))
            self._committed_to(upstream)
            end = StreamEnd(
                run,
                upstream,
                codec=self.codec,
                clock=self.clock,
                settle_failure=self._settle_broken,
            )
            resume = run.resume
            if checking and run.cascade is not None:
                await upstream.close()
                end.whole(run.cascade.outcome_of(trial.kept, held))
                resume = None
            return Stream(
                upstream, held, end, idle_s=idle_s, deadline_at_s=deadline_at_s, resume=resume
            )
        except BaseException:
            self._abandoned(trial, permit)
            if upstream is not None:
                await upstream.close()
            raise

    def _body(self, run: Run, step: Step) -> Body:
        """Say the body in JSON for one candidate, before anything is taken or sent.

        Raises:
            InvalidRequest: If it cannot be said.
        """
        kept = run.plan.kept[step.index]
        call = run.call if run.cascade is None else run.cascade.call_for(kept, run.call)
        body = encoded(call, kept.candidate.wire_model, self.codec)
        if isinstance(body, InvalidRequest):
            raise body
        return body

    def _begin(self, run: Run, step: Step) -> tuple[Permit, Trial]:
        kept = run.plan.kept[step.index]
        assert_residency(run.plan, kept.candidate)
        permit = self.fleet.take(kept.candidate, run.call)
        run.begin(step.index)
        started_at = self.clock.utc_now()
        backend, fleet = kept.candidate.backend, self.fleet
        total = fleet.totals.of(backend.name)
        reason = step.reason if run.cascade is None else run.cascade.reason(step.reason)
        trial = Trial(run, kept, run.begun, reason, started_at, permit, total, fleet.uses)
        if run.trace is not None:
            trial.trace = run.trace.attempt(
                kept, number=trial.number, reason=reason, breaker=permit.phase.value
            )
        if run.ledger is not None:
            run.ledger.intent(trial)
        return permit, trial

    def _request(
        self, run: Run, trial: Trial, body: Body
    ) -> tuple[WireRequest, tuple[str, ...], Timeouts] | Failure:
        candidate = trial.kept.candidate
        try:
            target: Target = self.targets.of(candidate.backend)
        except KeyMissing as error:
            return no_key(str(error))
        timeouts = timeouts_for(run.plan.task, candidate.backend)
        request = wire_request(
            run.call,
            body,
            target,
            connect_timeout_s=timeouts.connect_s,
            trace_headers=trial.trace.headers() if trial.trace is not None else None,
            asks_load=self.fleet.loads.asks_in_requests(candidate.backend),
        )
        return request, target.secrets, timeouts

    async def _fetched(
        self, run: Run, candidate: Candidate, request: WireRequest, secrets: tuple[str, ...]
    ) -> Parsed | Failure:
        opened = await self._opened(run, request, secrets)
        if isinstance(opened, Failure):
            return opened
        found = await self._read(opened, secrets, lambda body: self._parsed(run, candidate, body))
        if isinstance(found, Parsed):
            found.request_id = opened.headers.get("x-request-id")
        if self.fleet.loads and (told := opened.headers.get(TOLD_IN)) is not None:
            self.fleet.loads.told_in_answer(candidate.backend.name, told)
        return found

    async def _opened_stream(
        self, run: Run, request: WireRequest, secrets: tuple[str, ...]
    ) -> WireResponse | Failure:
        """Open a stream. A 200 with a JSON body is none, but an error, most of the time."""
        opened = await self._opened(run, request, secrets)
        if isinstance(opened, Failure) or not is_json(opened):
            return opened
        found = await self._read(opened, secrets, self.codec.completion)
        return found if isinstance(found, Failure) else invalid_response("it was not streamed")

    async def _read(
        self,
        opened: WireResponse,
        secrets: tuple[str, ...],
        parse: Callable[[bytes], Parsed | Failure | ErrorBody],
    ) -> Parsed | Failure:
        """Read a whole body; an error in an answer's place is classified by its own code."""
        body = await read_answer(opened)
        if isinstance(body, Failure):
            return body
        found = parse(body)
        if isinstance(found, ErrorBody):
            return classify_error_body(found, jitter=self.draw(), secrets=secrets)
        return found

    async def _opened(
        self, run: Run, request: WireRequest, secrets: tuple[str, ...]
    ) -> WireResponse | Failure:
        return await open_answer(
            self.wire,
            request,
            utc_now=self.clock.utc_now,
            draw=self.draw,
            secrets=secrets,
            output_tokens_max=run.call.output_tokens_max,
        )

    def _parsed(self, run: Run, candidate: Candidate, body: bytes) -> Parsed | Failure | ErrorBody:
        if run.call.operation == "chat":
            return self.codec.completion(body)
        given = run.call.body["input"]
        single = isinstance(given, str) or isinstance(given[0], int)
        declared = candidate.model.dimensions
        return self.codec.embeddings(
            body,
            inputs=1 if single else len(given),
            dimensions=run.call.body.get("dimensions") or declared,
        )

    def _committed_to(self, upstream: Upstream) -> None:
        """The first token is here, or a whole answer without one: note how long that took."""
        trial, permit = upstream.trial, upstream.permit
        if upstream.first_token_s is not None and permit.stands:
            permit.slow = self.fleet.first_token(
                permit,
                upstream.first_token_s,
                self.clock.monotonic_s(),
                prompt_tokens=trial.run.call.input_tokens_estimate,
            )
        permit.proved()

    def _out_of_time(self, trial: Trial, timeouts: Timeouts, kind: FailureKind) -> Failure:
        """A backend is at fault for the policy's limits, not for a caller who is in a hurry."""
        ran_s = self.clock.monotonic_s() - trial.started_s
        own_limit_s = timeouts.first_token_s
        if kind is FailureKind.ATTEMPT_TIMEOUT and timeouts.attempt_s is not None:
            own_limit_s = timeouts.attempt_s
        failure = classify_wire(kind, "no answer in the time there was")
        if trial.run.call.hints.deadline_s is not None and ran_s < own_limit_s:
            return replace(failure, breaker=BreakerEffect.ABANDONED)
        return failure

    def _served(self, run: Run, trial: Trial, permit: Permit, found: Parsed) -> None:
        now_s = self.clock.monotonic_s()
        permit.settle(BreakerEffect.SUCCESS, now_s=now_s)
        usage = found.usage or estimated_usage(run, found.output_tokens_estimate)
        if permit.stands:
            self.fleet.answered(permit, now_s - trial.started_s, now_s)
        outcome = AttemptOutcome.SERVED
        if run.cascade is not None:
            outcome = run.cascade.outcome(trial.kept, found.value)
        trial.ended(
            outcome,
            now_s=now_s,
            usage=usage,
            model_served=found.model,
            facts=found.facts,
        )

    def _failed(self, trial: Trial, permit: Permit, step: Step, failure: Failure) -> Failure:
        permit.settle(failure.breaker, failure)
        now_s = self.clock.monotonic_s()
        trial.ended(AttemptOutcome.FAILED, now_s=now_s, failure=failure)
        self.security.look(trial.kept.candidate.backend.name, failure)
        if permit.stands:
            self.fleet.cool_off(trial.kept.candidate, failure)
            if failure.breaker is BreakerEffect.FAILURE:
                self._hung(permit, failure, now_s)
        trial.run.failures.append((step.index, failure))
        return failure

    def _hung(self, permit: Permit, failure: Failure, now_s: float) -> None:
        """A backend that let its own time limit pass was at least that slow."""
        ran_s = now_s - permit.taken_at_s
        if failure.kind is FailureKind.FIRST_TOKEN_TIMEOUT:
            self.fleet.first_token(permit, ran_s, now_s, prompt_tokens=None)
        elif failure.kind is FailureKind.ATTEMPT_TIMEOUT:
            self.fleet.answered(permit, ran_s, now_s)

    def _settle_broken(self, upstream: Upstream, failure: Failure, usage: Usage) -> None:
        """A committed stream broke: its tokens were worked for, so they are counted."""
        trial = upstream.trial
        upstream.permit.settle(failure.breaker, failure)
        trial.ended(
            AttemptOutcome.FAILED,
            now_s=self.clock.monotonic_s(),
            usage=usage,
            model_served=upstream.state.model,
            failure=failure,
            first_token_s=upstream.first_token_s,
            facts=upstream.facts("error"),
        )
        if upstream.permit.stands:
            self.fleet.cool_off(trial.kept.candidate, failure)

    def _broken_unseen(
        self, upstream: Upstream, step: Step, timeouts: Timeouts, failure: Failure
    ) -> Failure:
        """A stream broke of which its caller has seen nothing; one read whole may have had tokens."""
        run, late = upstream.trial.run, failure.kind is FailureKind.ATTEMPT_TIMEOUT
        if upstream.first_token_s is None:
            if late or failure.kind is FailureKind.FIRST_TOKEN_TIMEOUT:
                kind = FailureKind.FIRST_TOKEN_TIMEOUT
                failure = self._out_of_time(upstream.trial, timeouts, kind)
            return self._failed(upstream.trial, upstream.permit, step, failure)
        if late:  # tokens came until the deadline: nothing is wrong with the backend
            failure = replace(failure, breaker=BreakerEffect.ABANDONED)
        usage = upstream.state.usage and self.codec.usage(upstream.state.usage)
        usage = usage or estimated_usage(run, upstream.state.tokens_seen)
        self._settle_broken(upstream, failure, usage)
        run.failures.append((step.index, failure))
        return failure

    def _abandoned(self, trial: Trial, permit: Permit) -> None:
        if trial.run.racing and trial.run.claimed:
            self._lost(trial, permit, None)
            return
        permit.settle(BreakerEffect.ABANDONED)
        trial.ended(AttemptOutcome.CANCELLED, now_s=self.clock.monotonic_s())

    def _lost(self, trial: Trial, permit: Permit, usage: Usage | None) -> Failure:
        """Another attempt of the same request answered first; this one is paid for all the same."""
        permit.settle(BreakerEffect.ABANDONED)
        now_s = self.clock.monotonic_s()
        if permit.stands:
            ran_s = now_s - permit.taken_at_s
            self.fleet.outrun(permit, ran_s, now_s, stream=trial.run.call.stream)
        trial.ended(
            AttemptOutcome.LOST_HEDGE,
            now_s=now_s,
            usage=usage or estimated_usage(trial.run, 0),
        )
        return classify_wire(FailureKind.LOCAL, "another attempt answered first")


def _patient(limit_s: float, permit: Permit) -> float:
    cold = permit.phase is Phase.HALF_OPEN and permit.candidate.backend.kind is BackendKind.VLLM
    return limit_s * COLD_START_TIMES if cold else limit_s
