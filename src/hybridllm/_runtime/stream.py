"""The stream that a caller iterates.

It is committed: its first token is here, and no other backend will be asked any more. If it breaks now,
the caller is told, with what had come.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from hybridllm._core.receipt import AttemptOutcome, Receipt, RequestOutcome
from hybridllm._core.resilience.classify import classify_wire
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind
from hybridllm._runtime.ports import Clock, Codec
from hybridllm._runtime.run import Run, estimated_usage
from hybridllm._runtime.upstream import Upstream
from hybridllm.errors import DeadlineExceeded, HybridLLMError, StreamInterrupted


class Stream:
    """An answer as it comes: `async for chunk in stream`, best inside `async with stream`.

    Chunks are `openai` `ChatCompletionChunk`s. After the last one, or after `close`, `receipt` tells
    what became of the request. A stream that is left early is closed, and so is its backend's work, at
    the end of the `async with` block.
    """

    def __init__(
        self,
        run: Run,
        upstream: Upstream,
        held: list[Any],
        *,
        idle_s: float,
        codec: Codec,
        clock: Clock,
        settle_failure: Callable[[Upstream, Failure], None],
    ) -> None:
        self._run = run
        self._upstream = upstream
        self._held = held  # up to and including the first semantic token
        self._idle_s = idle_s
        self._codec = codec
        self._clock = clock
        self._settle_failure = settle_failure
        self._receipt: Receipt | None = None

    @property
    def receipt(self) -> Receipt:
        """What became of the request.

        Raises:
            LookupError: If the stream has not ended and was not closed.
        """
        if self._receipt is None:
            raise LookupError("the stream has not ended; its receipt is there after the last chunk")
        return self._receipt

    @property
    def model(self) -> str:
        """The logical model that answers."""
        return self._upstream.trial.kept.candidate.model.name

    @property
    def backend(self) -> str:
        """The backend that answers."""
        return self._upstream.trial.kept.candidate.backend.name

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        """The next chunk.

        Raises:
            StopAsyncIteration: At the end of a whole answer.
            StreamInterrupted: If the stream broke; it holds the text so far.
            DeadlineExceeded: If the request's deadline passed in its middle.
        """
        if self._held:
            return self._held.pop(0)
        chunk = self._upstream.take()
        return chunk if chunk is not None else await self._next()

    async def _next(self) -> Any:
        upstream = self._upstream
        while True:
            if self._receipt is not None:
                raise StopAsyncIteration
            if upstream.over:
                await self._end()
                raise StopAsyncIteration
            try:
                await upstream.pull(
                    limit_s=self._idle_s,
                    kind=FailureKind.IDLE_TIMEOUT,
                    deadline_at_s=self._run.deadline_at_s,
                )
            except BaseException as error:  # noqa: BLE001 - raised again, without its frames
                await self._abandon()
                raise error.with_traceback(None) from None
            chunk = upstream.take()
            if chunk is not None:
                return chunk

    async def close(self) -> None:
        """End the stream: whatever has not come is not wanted. Safe to call twice."""
        self._held.clear()
        if self._receipt is None:
            if self._upstream.over and self._upstream.failure is None:
                await self._end()
            else:
                await self._abandon()
        self._upstream.drop()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_receipt", self) is None:
            with suppress(RuntimeError):  # no loop runs any more: nobody is left to be told a time
                self._settle_abandoned()
                # aiohttp itself refers to the answer: without a close the backend would work to its end.
                asyncio.get_running_loop().create_task(self._upstream.close())
            warnings.warn(
                "a Stream was dropped before its end; use `async with stream` or `await stream.close()`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    async def _end(self) -> None:
        failure = self._upstream.failure
        if failure is None:
            self._settle_served()
            await self._upstream.close()
            return
        error = self._settle_broken(failure)
        await self._upstream.close()
        raise self._codec.raised(error)

    async def _abandon(self) -> None:
        self._settle_abandoned()
        await self._upstream.close()

    def _settle_served(self) -> None:
        upstream, now_s = self._upstream, self._clock.monotonic_s()
        state = upstream.state
        usage = self._codec.usage(state.usage) if state.usage is not None else None
        upstream.trial.ended(
            AttemptOutcome.SERVED,
            now_s=now_s,
            usage=usage or estimated_usage(self._run, state.tokens_seen),
            model_served=state.model,
            first_token_s=upstream.first_token_s,
            facts=upstream.facts(),
        )
        upstream.permit.settle(BreakerEffect.SUCCESS)
        self._receipt = self._run.settle(
            RequestOutcome.OK, now_s=now_s, first_token_s=self._caller_first_token_s()
        )

    def _settle_abandoned(self) -> None:
        upstream, now_s = self._upstream, self._clock.monotonic_s()
        state = upstream.state
        upstream.trial.ended(
            AttemptOutcome.CANCELLED,
            now_s=now_s,
            usage=estimated_usage(self._run, state.tokens_seen),
            model_served=state.model,
            first_token_s=upstream.first_token_s,
            facts=upstream.facts(),
        )
        upstream.permit.settle(BreakerEffect.ABANDONED)
        self._receipt = self._run.settle(
            RequestOutcome.CANCELLED, now_s=now_s, first_token_s=self._caller_first_token_s()
        )

    def _settle_broken(self, failure: Failure) -> HybridLLMError:
        upstream, run = self._upstream, self._run
        state = upstream.state
        late = failure.kind is FailureKind.ATTEMPT_TIMEOUT
        if late:
            failure = classify_wire(FailureKind.ATTEMPT_TIMEOUT, "the request's deadline passed")
        self._settle_failure(upstream, failure)
        outcome = RequestOutcome.DEADLINE if late else RequestOutcome.ERROR
        label = "deadline_exceeded" if late else "stream_interrupted"
        self._receipt = receipt = run.settle(
            outcome,
            now_s=self._clock.monotonic_s(),
            error=label,
            first_token_s=self._caller_first_token_s(),
        )
        if late:
            message = f"the deadline of {run.deadline_s:g} s passed in the middle of a stream"
            return DeadlineExceeded(message, deadline_s=run.deadline_s, receipt=receipt)
        cause = failure.message or failure.label
        return StreamInterrupted(
            f"the stream of backend {self.backend!r} broke after {state.tokens_seen} tokens: {cause}",
            partial_text="".join(state.text),
            tokens_seen=state.tokens_seen,
            backend=self.backend,
            cause=failure.label,
            receipt=receipt,
            status_code=failure.status_code,
            code=failure.code,
        )

    def _caller_first_token_s(self) -> float | None:
        """From the caller's call, failed attempts included."""
        own = self._upstream.first_token_s
        return None if own is None else self._upstream.trial.started_s + own - self._run.started_s
