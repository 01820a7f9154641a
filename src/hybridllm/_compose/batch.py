"""A batch file answered by a router, line for line: `Router.map` between two files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hybridllm._adapters import bulk_answers
from hybridllm._adapters.batch_files import BatchInput, BatchOutput, Line, check_places
from hybridllm._core.bulk.batch_input import BadLine, LineReader, operation_in
from hybridllm._core.bulk.batch_output import output_line
from hybridllm._core.bulk.result import BulkProgress, BulkResult
from hybridllm._core.request.hints import checked_hints
from hybridllm._runtime.one_thread import OneThread

if TYPE_CHECKING:
    from hybridllm._compose.router import Router
    from hybridllm._runtime.bulk.job import BulkJob

JOURNAL_SUFFIX = ".journal"
WRITE_BYTES = 1 << 16
WRITE_EVERY_S = 0.5

_Given = TypeVar("_Given")


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """How a run over a batch file ended.

    Attributes:
        complete: True if every line has its line in the output, and that has taken its place.
        output: Where the answers are: `NAME`, or `NAME.part` if it is not complete.
        journal: What a resumed run goes on from.
        invalid: How many lines could not be sent at all; they are among those that failed.
        progress: The sums at the end.
    """

    complete: bool
    output: Path
    journal: Path
    invalid: int
    progress: BulkProgress


class BatchJob:
    """A run over a batch file in OpenAI's format, with a journal, so that it can be resumed.

    Lines are `{"custom_id", "method", "url", "body"}`, with hints of their own under `hybridllm`. The output
    has a line for each, in the same order. While it runs it is `NAME.part`.

    Args:
        router: Who answers.
        source: The input.
        target: The output.
        hints: Keywords for lines that do not say better: any hint, and `model`.
        journal: Default: the output's name with `.journal`.
        resume: Go on where an earlier run ended. Without it, nothing of an earlier run may be there.
        concurrency: How many requests are under way at once.
        unknown: See `Router.map`.
        ignore_model: Forget the models that bodies name; the policy chooses.
        on_problem: Called with each line that has no answer, in words: `in.jsonl:17: ...`.
    """

    def __init__(
        self,
        router: Router,
        source: str | Path,
        target: str | Path,
        *,
        hints: Mapping[str, Any] | None = None,
        journal: str | Path | None = None,
        resume: bool = False,
        concurrency: int = 32,
        unknown: Literal["retry", "skip"] = "retry",
        ignore_model: bool = False,
        on_problem: Callable[[str], object] | None = None,
    ) -> None:
        self._router = router
        self._source, self._target = Path(source), Path(target)
        self._journal = Path(journal or f"{target}{JOURNAL_SUFFIX}")
        self._hints = dict(hints or {})
        self._resume = resume
        self._concurrency = concurrency
        self._unknown = unknown
        self._ignore_model = ignore_model
        self._on_problem = on_problem
        self._thread = OneThread("hybridllm-batch")
        self._job: BulkJob | None = None
        self._stopped = False
        self._invalid = 0

    @property
    def progress(self) -> BulkProgress:
        """Where it stands now. No I/O."""
        return BulkProgress() if self._job is None else self._job.progress

    def stop(self) -> None:
        """Send no more lines; those under way are finished, and `run` returns after them."""
        self._stopped = True
        if self._job is not None:
            self._job.stop()

    async def run(self) -> BatchSummary:
        """Answer every line that has no answer yet.

        Raises:
            BulkFileError: If a file cannot be used, is there already, or is of another batch.
            InvalidRequest: If a hint is not what it may be.
        """
        checked_hints({name: value for name, value in self._hints.items() if name != "model"})
        check_places(self._source, self._target, self._journal, resume=self._resume)
        source, output = BatchInput(self._source), BatchOutput(self._target)
        try:
            total = await self._done(source.open)
            await self._done(output.open)
            lines = _Lines(await self._done(source.block), lambda: self._done(source.block))
            return await self._run(lines, output, total)
        finally:
            source.close()
            output.close()
            await self._thread.close()

    async def _run(self, lines: _Lines, output: BatchOutput, total: int | None) -> BatchSummary:
        operation = lines.operation
        lines.reader = LineReader(operation, hints=self._hints, ignore_model=self._ignore_model)
        job = self._router.map(
            lines,
            operation=operation,
            concurrency=self._concurrency,
            journal=self._journal,
            unknown=self._unknown,
            total=total,
        )
        async with job:
            self._job = job
            if self._stopped:
                job.stop()
            await self._done(output.begin)  # by now the journal is ours
            await self._write(job, lines, output)
            complete = lines.over and not self._stopped
            if complete:
                await self._done(partial(output.write, b"", whole=True))
            return BatchSummary(
                complete,
                self._target if complete else output.part,
                self._journal,
                self._invalid,
                job.progress,
            )

    async def _write(self, job: BulkJob, lines: _Lines, output: BatchOutput) -> None:
        waiting: list[bytes] = []
        size, written_at_s = 0, 0.0
        async for result in job:
            number = lines.numbers.pop(result.index)
            if result.error is not None:
                self._told(number, result.error)
            line = output_line(result, number=number, answer=_answer(result))
            waiting.append(line)
            size += len(line)
            elapsed_s = job.progress.elapsed_s
            if size >= WRITE_BYTES or elapsed_s - written_at_s >= WRITE_EVERY_S:
                await self._done(partial(output.write, b"".join(waiting)))
                waiting, size, written_at_s = [], 0, elapsed_s
        await self._done(partial(output.write, b"".join(waiting)))

    def _told(self, number: int, error: Exception) -> None:
        self._invalid += isinstance(error, BadLine)
        if self._on_problem is not None:
            self._on_problem(f"{self._source}:{number}: {error}")

    async def _done(self, work: Callable[[], _Given]) -> _Given:
        """Do it in the thread."""
        done = await self._thread.run(work)
        if isinstance(done, Exception):
            raise done
        return done


class _Lines:
    """The lines of the input as items of a job, read block by block.

    Attributes:
        operation: Of the first line that names one.
        numbers: Of the lines under way, by the index of their item.
        over: Whether the last one has been taken.
    """

    def __init__(self, first: list[Line], block: Callable[[], Any]) -> None:
        found = (operation_in(line) for _, line in first)
        self.operation: Any = next((one for one in found if one is not None), "chat")
        self.reader: LineReader | None = None
        self.numbers: dict[int, int] = {}
        self.over = False
        self._block = block
        self._lines = deque(first)
        self._taken = 0

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> tuple[str | None, Any]:
        if not self._lines:
            self._lines.extend(await self._block())
        if not self._lines or self.reader is None:
            self.over = True
            raise StopAsyncIteration
        number, text = self._lines.popleft()
        self.numbers[self._taken] = number
        self._taken += 1
        read = self.reader.read(number, text)
        return (
            (read.custom_id, read) if isinstance(read, BadLine) else (read.custom_id, read.request)
        )


def _answer(result: BulkResult) -> bytes | None:
    return None if result.answer is None else bulk_answers.written(result.answer)
