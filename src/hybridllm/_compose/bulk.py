"""`Router.map`: a bulk job, with every part put in its place."""

from __future__ import annotations

import random
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sized
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybridllm._compose.namespaces import read_call
from hybridllm._core.bulk.fingerprint import fingerprint
from hybridllm._core.request.read import Call
from hybridllm._runtime.bulk.job import BulkJob
from hybridllm._runtime.bulk.ports import Prepared
from hybridllm._runtime.bulk.run import Options, Run
from hybridllm._runtime.bulk.source import Source
from hybridllm._runtime.clock import SystemClock
from hybridllm.errors import HybridLLMError, InvalidRequest

if TYPE_CHECKING:
    from hybridllm._core.bulk.result import BulkProgress
    from hybridllm._core.policy.compiled import Policy, Task
    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.ports import Clock, Codec

    # A router's own: its engine, its policy, its time, its chance.
    Parts = tuple[
        Callable[[], Engine], Callable[[], Policy], Clock | None, Callable[[], float] | None
    ]

CONCURRENCY_MAX = 100_000
WINDOW_TIMES = 4  # the concurrency: so far the others may get ahead of a slow item
DEADLINE_S = 600.0
PRIORITY, BACKGROUND = "batch", "background"


def built_job(
    requests: Iterable[Any] | AsyncIterable[Any],
    operation: Literal["chat", "embeddings"],
    concurrency: int,
    ordered: bool,
    window: int | None,
    journal: str | Path | None,
    unknown: Literal["retry", "skip"],
    total: int | None,
    on_progress: Callable[[BulkProgress], object] | None,
    *,
    parts: Parts,
) -> BulkJob:
    """Return a job that has not begun; see `Router.map`.

    Raises:
        InvalidRequest: If an option is not what it may be.
    """
    window = WINDOW_TIMES * concurrency if window is None else window
    for name, value, allowed in (
        ("operation", operation, ("chat", "embeddings")),
        ("unknown", unknown, ("retry", "skip")),
    ):
        if value not in allowed:
            raise InvalidRequest(f"{name}: {value!r} is not one of {', '.join(allowed)}")
    for name, number in (("concurrency", concurrency), ("window", window)):
        if number.__class__ is not int or not 1 <= number <= CONCURRENCY_MAX * WINDOW_TIMES:
            raise InvalidRequest(f"{name}: must be a whole number above 0, got {number!r}")
    if total is None and isinstance(requests, Sized):
        total = len(requests)
    source = Source(requests)
    file = None
    if journal is not None:
        from hybridllm._adapters.journal_file import JournalFile

        file = JournalFile(journal)
    engine, policy, clock, chance = parts
    options = Options(operation, concurrency, window, ordered, unknown, total, on_progress)
    run = Run(
        source,
        options,
        _Answerer(engine, policy, operation),
        file=file,
        clock=clock or SystemClock(),
        draw=chance or random.Random().random,  # noqa: S311 - jitter is no secret
    )
    return BulkJob(run)


class _Answerer:
    """See `Answerer`: the router's engine, and answers as JSON."""

    def __init__(
        self, engine: Callable[[], Engine], policy: Callable[[], Policy], operation: str
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._operation = operation
        self._codec: Codec | None = None

    def prepared(self, request: Any, *, with_digest: bool) -> Prepared | HybridLLMError:
        """See `Answerer.prepared`."""
        call = self._read(request)
        if isinstance(call, Call):
            try:
                digest = fingerprint(call) if with_digest else None
            except InvalidRequest as error:
                call = error.with_traceback(None)
            else:
                given = call.hints
                task = self._policy().tasks.get(given.task or call.model or "")
                budget_s = given.deadline_s or _deadline_s(task)
                call.hints = replace(
                    given, priority=given.priority or _priority(task), deadline_s=budget_s
                )
                return Prepared(call, digest, budget_s)
        return self.raised(call)

    async def answer(self, call: Call) -> Any:
        """See `Answerer.answer`."""
        return await self._engine().run(call)

    def raised(self, error: HybridLLMError) -> HybridLLMError:
        """See `Answerer.raised`."""
        return self._engine().raised(error)

    def written(self, answer: Any) -> bytes:
        """See `Answerer.written`."""
        from hybridllm._adapters import bulk_answers

        return bulk_answers.written(answer)

    def read(self, answer: bytes) -> Any:
        """See `Answerer.read`."""
        from hybridllm._adapters import bulk_answers

        if self._codec is None:
            from hybridllm._compose.build import built_codec

            self._codec = built_codec()
        return bulk_answers.read(self._codec, self._operation, answer)

    def _read(self, request: Any) -> Call | HybridLLMError:
        if not isinstance(request, Mapping):
            return InvalidRequest(
                f"a request must be a dict of the keywords of a call, got {type(request).__name__}"
            )
        call = read_call(dict(request), operation=self._operation)
        if isinstance(call, Call) and call.stream:
            return InvalidRequest(
                "stream: the answers of a bulk job are not streamed; leave it out"
            )
        return call


def _deadline_s(task: Task | None) -> float:
    return DEADLINE_S if task is None else task.timeouts.get("total_s", DEADLINE_S)


def _priority(task: Task | None) -> str:
    """A job does not push in where people wait; what may wait for a job, too, may wait here."""
    return BACKGROUND if task is not None and task.priority == BACKGROUND else PRIORITY
