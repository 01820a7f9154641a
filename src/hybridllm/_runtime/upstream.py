"""One attempt's stream: from the backend's bytes to chunks, with its timers and its end.

A class with state, not an async generator: a timeout is armed only while the backend is awaited, so a
slow caller is never taken for a slow backend.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from hybridllm._core.resilience.classify import (
    classify_error_body,
    classify_wire,
    interrupted,
    invalid_response,
)
from hybridllm._core.resilience.error_body import ErrorBody
from hybridllm._core.resilience.outcome import Failure, FailureKind
from hybridllm._core.wire.sse import SseDecoder, SseLimitExceeded
from hybridllm._core.wire.stream_state import StreamState
from hybridllm._runtime.permit import Permit
from hybridllm._runtime.ports import AnswerFacts, ChunkReader, Clock, WireError, WireResponse
from hybridllm._runtime.run import Trial
from hybridllm._runtime.watch import Watch

_DONE = b"[DONE]"
_TAIL_WAIT_S = 0.05  # after [DONE], for the end of the body, so that the connection can be kept
_TAIL_BYTES_MAX = 64 << 10


class Upstream:
    """A stream from one backend.

    Events wait as bytes and become chunks one by one, as they are taken: objects that are made and
    dropped in turn cost a quarter of the same objects made all at once (4 against 18 us, measured).

    Attributes:
        failure: Why it broke; None while it has not.
        over: True once `take` will give nothing more.
        recording: The events of the chunks that were taken; None: nobody keeps them.
    """

    __slots__ = (
        "_body_over",
        "_clock",
        "_codec",
        "_decoder",
        "_events",
        "_jitter",
        "_response",
        "_secrets",
        "_usage_wanted",
        "_waited_s",
        "_watch",
        "failure",
        "first_token_s",
        "over",
        "permit",
        "recording",
        "state",
        "trial",
    )

    def __init__(
        self,
        trial: Trial,
        permit: Permit,
        response: WireResponse,
        *,
        codec: ChunkReader,
        clock: Clock,
        secrets: tuple[str, ...],
        jitter: float,
        usage_wanted: bool,
        answers: int,
    ) -> None:
        self.trial = trial
        self.permit = permit
        self.state = StreamState(answers)
        self.failure: Failure | None = None
        self.over = False
        self.first_token_s: float | None = None
        self.recording: list[tuple[bytes, bytes]] | None = None
        self._response = response
        self._codec = codec
        self._clock = clock
        self._secrets = secrets
        self._jitter = jitter
        self._usage_wanted = usage_wanted
        self._decoder = SseDecoder()
        self._events: deque[tuple[bytes, bytes]] = deque()
        self._body_over = False
        self._watch = Watch()
        self._waited_s = 0.0  # for the backend, since the last semantic token

    def take(self) -> Any:
        """Return the next chunk that the caller may have, or None: then `pull`, unless it is `over`."""
        events = self._events
        while events:
            event, payload = events.popleft()
            if payload.startswith(_DONE):
                self._end()
                return None
            chunk = self._codec.chunk(event, payload)
            if chunk.__class__ is Failure or chunk.__class__ is ErrorBody:
                self._fail(self._classified(chunk))
                return None
            try:
                semantic = self.state.feed(chunk)
            except (AttributeError, TypeError) as error:  # a lenient chunk, a field of a wrong type
                self._fail(invalid_response(f"a chunk is malformed ({type(error).__name__})"))
                return None
            if self.state.problem is not None:
                if semantic:
                    self.state.unsay(chunk)
                self._fail(interrupted(self.state.problem))
                return None
            if semantic:
                self._waited_s = 0.0
                if self.first_token_s is None:
                    self.first_token_s = self._clock.monotonic_s() - self.trial.started_s
            elif not (self._usage_wanted or chunk.choices or chunk.usage is None):
                continue  # a usage report that we asked for and the caller did not
            if self.recording is not None:
                self.recording.append((event, payload))
            return chunk
        if self._body_over and not self.over:
            self._end_of_body()
        return None

    async def pull(self, *, limit_s: float, kind: FailureKind, deadline_at_s: float) -> None:
        """Wait for more from the backend; what came is there to `take`.

        Args:
            limit_s: How long the backend may take between semantic tokens, or to the first.
            kind: What it is called when it takes longer.
            deadline_at_s: Of the whole request.
        """
        now_s = self._clock.monotonic_s()
        until_s = now_s + limit_s - self._waited_s
        try:
            data = await self._watch.wait(
                self._response.chunk(), until_s=min(until_s, deadline_at_s)
            )
        except TimeoutError:
            if self.over:
                return  # it was interrupted
            kind = kind if until_s <= deadline_at_s else FailureKind.ATTEMPT_TIMEOUT
            self._fail(classify_wire(kind, "the stream stalled"))
            return
        except WireError as error:
            self._fail(classify_wire(error.kind, error.detail))
            return
        self._waited_s += self._clock.monotonic_s() - now_s
        if self.over:
            return
        if not data:
            self._body_over = True
            return
        try:
            self._events.extend(self._decoder.feed(data))
        except SseLimitExceeded as error:
            self._fail(invalid_response(str(error)))

    def interrupt(self, failure: Failure) -> None:
        """Take nothing more; an answer whose every choice has ended is whole, any other has failed so.

        Whoever waits for more is woken.
        """
        if not self.over:
            if self.state.complete:
                self._end()
            else:
                self._fail(failure)
            self._watch.fire()

    def _classified(self, found: Failure | ErrorBody) -> Failure:
        if isinstance(found, Failure):
            return found
        return classify_error_body(found, jitter=self._jitter, secrets=self._secrets)

    def _end_of_body(self) -> None:
        if not self.state.finish_reasons:
            self._fail(invalid_response("the stream ended without an event"))
        else:
            self._end()

    def _end(self) -> None:
        self._events.clear()  # what follows [DONE] is no part of the answer
        if self.state.complete:
            self.over = True
        else:
            self._fail(interrupted(self.state.incomplete_because))

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        self.over = True
        self._events.clear()

    def facts(self, *reasons: str) -> AnswerFacts:
        """Return what a span may say of the answer; `reasons` stand in for those of a whole one."""
        state = self.state
        if not reasons and self.over and self.failure is None:
            reasons = tuple([str(reason) for reason in state.finish_reasons.values()])
        return AnswerFacts(state.response_id, reasons, state.service_tier)

    async def finish(self) -> None:
        """Take the last words of an answer whose every choice has ended; wait for them a moment."""
        while self.state.complete and not self.over:
            if self.take() is None and not self.over:
                await self.pull(
                    limit_s=self._waited_s + _TAIL_WAIT_S,
                    kind=FailureKind.IDLE_TIMEOUT,
                    deadline_at_s=float("inf"),
                )
                if self.failure is not None and self.failure.kind is FailureKind.IDLE_TIMEOUT:
                    self.failure = None  # whole all the same: only its usage did not come

    async def close(self) -> None:
        """Give the connection back: for reuse after a whole answer, closed after anything else."""
        self._watch.stop()
        self._events.clear()
        reusable = False
        try:
            reusable = await self._at_clean_end()
        finally:  # also if the caller is cancelled while the tail is awaited
            await self._response.close(reusable=reusable)

    async def _at_clean_end(self) -> bool:
        """True once the body has ended; a little trails after [DONE]."""
        if not self.over or self.failure is not None:
            return False
        trailing = 0
        try:
            async with asyncio.timeout(_TAIL_WAIT_S):
                while data := await self._response.chunk():
                    trailing += len(data)
                    if trailing > _TAIL_BYTES_MAX:
                        return False
        except (TimeoutError, WireError):
            return False
        return True
