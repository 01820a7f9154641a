"""How a committed stream ends: whole, broken, too late, or left by its caller. Exactly once.

Settles attempt, permit, receipt and trace together. Apart from the stream itself, so that a stream
that was dropped can still be ended, by its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from hybridllm._core.money.usage import Usage
from hybridllm._core.receipt import AttemptOutcome, Receipt, RequestOutcome
from hybridllm._core.resilience.classify import classify_wire
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind
from hybridllm._runtime.ports import Clock, Codec
from hybridllm._runtime.run import Run, estimated_usage
from hybridllm._runtime.upstream import Upstream
from hybridllm.errors import DeadlineExceeded, HybridLLMError, StreamInterrupted


class StreamEnd:
    """The end of one stream.

    Attributes:
        receipt: None until it has ended.
        error: What the caller is told, once, when it goes on reading; None: the answer was whole.
    """

    def __init__(
        self,
        run: Run,
        upstream: Upstream,
        *,
        codec: Codec,
        clock: Clock,
        settle_failure: Callable[[Upstream, Failure, Usage], None],
    ) -> None:
        self.receipt: Receipt | None = None
        self.error: HybridLLMError | None = None
        self._run = run
        self._upstream = upstream
        self._codec = codec
        self._clock = clock
        self._settle_failure = settle_failure

    def served(self) -> None:
        """The answer is whole."""
        self._end_attempt(AttemptOutcome.SERVED, BreakerEffect.SUCCESS)
        self._settle(RequestOutcome.OK)

    def left(self, cause: str) -> None:
        """The caller does not want the rest: `closed`, `cancelled` or `dropped`."""
        self._end_attempt(AttemptOutcome.CANCELLED, BreakerEffect.ABANDONED)
        self._settle(RequestOutcome.CANCELLED)
        self.error = self._interrupted(cause, cause)

    def broken(self, failure: Failure) -> None:
        """The backend's stream broke, or the request's deadline passed in its middle."""
        run = self._run
        if failure.kind is FailureKind.ATTEMPT_TIMEOUT:
            self._settle_failure(self._upstream, _late(), self._usage())
            self._settle(RequestOutcome.DEADLINE, "deadline_exceeded")
            self.error = DeadlineExceeded(
                f"the deadline of {run.deadline_s:g} s passed in the middle of a stream",
                deadline_s=run.deadline_s,
                receipt=self.receipt,
            )
            return
        self._settle_failure(self._upstream, failure, self._usage())
        self._settle(RequestOutcome.ERROR, "stream_interrupted")
        self.error = self._interrupted(failure.label, failure.message or failure.label, failure)

    def break_off(self, words: str) -> Coroutine[Any, Any, None]:
        """See `Breakable.break_off`."""
        upstream = self._upstream
        told = classify_wire(FailureKind.LOCAL, words)
        upstream.interrupt(replace(told, label="router_closed", maybe_billed=True))
        if self.receipt is None:
            if upstream.failure is None:
                self.served()
            else:
                self.broken(upstream.failure)
        return upstream.close()

    def untold(self) -> HybridLLMError | None:
        """Return what the caller must still be told; None: the answer was whole, or it was told."""
        error, self.error = self.error, None
        return None if error is None else self._codec.raised(error)

    def _interrupted(
        self, cause: str, words: str, failure: Failure | None = None
    ) -> StreamInterrupted:
        state, backend = self._upstream.state, self._upstream.trial.kept.candidate.backend.name
        return StreamInterrupted(
            f"the stream of backend {backend!r} broke after {state.tokens_seen} tokens: {words}",
            partial_text="".join(state.text),
            tokens_seen=state.tokens_seen,
            backend=backend,
            cause=cause,
            receipt=self.receipt,
            status_code=failure.status_code if failure is not None else None,
            code=failure.code if failure is not None else None,
        )

    def _usage(self) -> Usage:
        """What the backend reported, or else what the caller was given."""
        state = self._upstream.state
        reported = self._codec.usage(state.usage) if state.usage is not None else None
        return reported or estimated_usage(self._run, state.tokens_seen)

    def _end_attempt(self, outcome: AttemptOutcome, effect: BreakerEffect) -> None:
        """Hand the permit back and record an attempt that did not fail."""
        upstream = self._upstream
        upstream.permit.settle(effect)
        upstream.trial.ended(
            outcome,
            now_s=self._clock.monotonic_s(),
            usage=self._usage(),
            model_served=upstream.state.model,
            first_token_s=upstream.first_token_s,
            facts=upstream.facts(),
        )

    def _settle(self, outcome: RequestOutcome, error: str | None = None) -> None:
        own_s = self._upstream.first_token_s
        trial, run = self._upstream.trial, self._run
        first_token_s = None if own_s is None else trial.started_s + own_s - run.started_s
        self.receipt = run.settle(
            outcome, now_s=self._clock.monotonic_s(), error=error, first_token_s=first_token_s
        )


def _late() -> Failure:
    """Tokens came until the deadline: nothing is wrong with the backend."""
    failure = classify_wire(FailureKind.ATTEMPT_TIMEOUT, "the request's deadline passed")
    return replace(failure, breaker=BreakerEffect.ABANDONED)
