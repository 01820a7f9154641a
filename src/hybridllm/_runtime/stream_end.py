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
from hybridllm._core.resilience.seams import (
    Said,
    not_continuable_because,
    others_than_continuers,
)
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
        self._before = run.seam  # the answer's beginning, if this attempt goes on with one
        self._asked = run.call if run.seam is None else run.seam.asked
        self._attempt_over = False
        self._handed_out_s: float | None = None  # if all of it was read before

    def served(self) -> None:
        """The answer is whole."""
        self._end_attempt(AttemptOutcome.SERVED, BreakerEffect.SUCCESS)
        continued = self._before is not None and self._before.said.text
        if self._run.caching is not None and not continued:
            self._run.caching.keep_stream(self._run, self._upstream)
        self._settle(RequestOutcome.OK)
        state, tell = self._upstream.state, self._run.on_answer
        if tell is not None and state.plain_text and self.receipt is not None:
            tell(self.said.text, self.receipt)

    def whole(self, outcome: AttemptOutcome) -> None:
        """All of it is here before its caller has seen any: its attempt is over, the request is not."""
        self._end_attempt(outcome, BreakerEffect.SUCCESS)

    def handed_out(self) -> None:
        """Its caller gets it now."""
        if self._attempt_over:
            self._handed_out_s = self._clock.monotonic_s() - self._run.started_s

    def left(self, cause: str) -> None:
        """The caller does not want the rest: `closed`, `cancelled` or `dropped`."""
        self._end_attempt(AttemptOutcome.CANCELLED, BreakerEffect.ABANDONED)
        self._settle(RequestOutcome.CANCELLED)
        self.error = self._interrupted(cause, cause)

    def broken(self, failure: Failure) -> None:
        """The backend's stream broke, or the request's deadline passed in its middle."""
        run = self._run
        if failure.kind is FailureKind.ATTEMPT_TIMEOUT:
            self.attempt_broken(_late())
            self._settle(RequestOutcome.DEADLINE, "deadline_exceeded")
            self.error = DeadlineExceeded(
                f"the deadline of {run.deadline_s:g} s passed in the middle of a stream",
                deadline_s=run.deadline_s,
                receipt=self.receipt,
            )
            return
        self.attempt_broken(failure)
        self.gave_up(failure)

    def attempt_broken(self, failure: Failure) -> None:
        """The backend's stream broke; whether the request has ended with it is not said yet."""
        self._attempt_over = True
        self._settle_failure(self._upstream, failure, self._usage())

    def gave_up(self, failure: Failure, because: str = "") -> StreamInterrupted:
        """It broke, and that is the end of the request; return what the caller is told of it.

        Args:
            failure: Why it broke.
            because: Why nobody went on, where somebody was to.
        """
        self._settle(RequestOutcome.ERROR, "stream_interrupted")
        words = failure.message or failure.label
        if because:
            numbers = [attempt.number for attempt in self._run.attempts]
            later = self._run.attempts[numbers.index(self._upstream.trial.number) + 1 :]
            tried = ", ".join(f"{one.backend} ({one.error})" for one in later)
            words += f"; nobody went on: {tried or because}"
        self.error = error = self._interrupted(failure.label, words, failure)
        return error

    @property
    def said(self) -> Said:
        """What the caller has of the answer."""
        state, before = self._upstream.state, self._before
        reported = self._codec.usage(state.usage) if state.usage is not None else None
        tokens = max(state.tokens_seen, reported.output_tokens if reported is not None else 0)
        said = Said("".join(state.text), tokens, state.plain_text, state.complete)
        return said if before is None else before.said.then(said)

    @property
    def first_token_s(self) -> float | None:
        """From the request to the first token of what the caller has."""
        if self._handed_out_s is not None:
            return self._handed_out_s
        if self._before is not None and self._before.first_token_s is not None:
            return self._before.first_token_s
        own_s, trial, run = self._upstream.first_token_s, self._upstream.trial, self._run
        return None if own_s is None else trial.started_s + own_s - run.started_s

    def break_off(self, words: str) -> Coroutine[Any, Any, None]:
        """See `Breakable.break_off`."""
        upstream, resume = self._upstream, self._run.resume
        if self.receipt is None and self._attempt_over and resume is not None:
            return resume.stop("router_closed")  # the reader waits for another attempt
        told = classify_wire(FailureKind.LOCAL, words)
        upstream.interrupt(replace(told, label="router_closed", maybe_billed=True))
        if self.receipt is None:
            if upstream.failure is None:
                self.served()
            else:
                self.broken(upstream.failure)
        return upstream.close()

    def loop_ended(self) -> None:
        """See `Breakable.loop_ended`."""
        self.break_off("its event loop ended").close()
        if self.receipt is None:
            self.left("router_closed")

    def untold(self) -> HybridLLMError | None:
        """Return what the caller must still be told; None: the answer was whole, or it was told."""
        error, self.error = self.error, None
        return None if error is None else self._codec.raised(error)

    def _interrupted(
        self, cause: str, words: str, failure: Failure | None = None
    ) -> StreamInterrupted:
        said, backend = self.said, self._upstream.trial.kept.candidate.backend.name
        return StreamInterrupted(
            f"the stream of backend {backend!r} broke after {said.tokens} tokens: {words}",
            partial_text=said.text,
            tokens_seen=said.tokens,
            backend=backend,
            cause=cause,
            resumable=self._resumable(said),
            receipt=self.receipt,
            status_code=failure.status_code if failure is not None else None,
            code=failure.code if failure is not None else None,
        )

    def _resumable(self, said: Said) -> bool:
        kept, run = self._upstream.trial.kept, self._run
        barred = others_than_continuers(run.plan.kept, kept.candidate.model.name)
        return (
            len(barred) < len(run.plan.kept) and not_continuable_because(self._asked, said) is None
        )

    def _usage(self) -> Usage:
        """What the backend reported, or else what the caller was given."""
        state = self._upstream.state
        reported = self._codec.usage(state.usage) if state.usage is not None else None
        return reported or estimated_usage(self._run, state.tokens_seen)

    def _end_attempt(self, outcome: AttemptOutcome, effect: BreakerEffect) -> None:
        """Hand the permit back and record an attempt that did not fail."""
        if self._attempt_over:
            return
        self._attempt_over = True
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
        self.receipt = self._run.settle(
            outcome, now_s=self._clock.monotonic_s(), error=error, first_token_s=self.first_token_s
        )


def _late() -> Failure:
    """Tokens came until the deadline: nothing is wrong with the backend."""
    failure = classify_wire(FailureKind.ATTEMPT_TIMEOUT, "the request's deadline passed")
    return replace(failure, breaker=BreakerEffect.ABANDONED)
