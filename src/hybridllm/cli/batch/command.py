"""`hybridllm batch`: its options, its course, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.batch import options as given
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import keep_logs_quiet, print_json
from hybridllm.cli.policy_files import policy_path
from hybridllm.errors import HybridLLMError

if TYPE_CHECKING:
    from hybridllm import BatchJob, BatchSummary
    from hybridllm.cli.batch.screen import Screen

DRAW_EVERY_S = 0.2


def batch(
    source: given.Source,
    target: given.Target,
    *,
    policy: given.Policy,
    concurrency: given.Concurrency = 32,
    resume: given.Resume = False,
    journal: given.Journal = None,
    unknown: given.Unknown = given.UnknownLines.RETRY,
    ignore_model: given.IgnoreModel = False,
    task: hints.Task = None,
    residency: hints.Residency = None,
    tenant: hints.Tenant = None,
    feature: hints.Feature = None,
    session: hints.Session = None,
    priority: hints.Priority = None,
    tags: hints.Tags = None,
    metadata: hints.Metadata = None,
    vector_space: hints.VectorSpace = None,
    model: hints.Model = None,
    environment: hints.Environment = None,
    deadline: given.Deadline = None,
    max_cost: hints.MaxCost = None,
    as_json: hints.AsJson = False,
) -> None:
    """Answer a file of requests; resumable, however it ends.

    Lines are {"custom_id", "method", "url", "body"} for /v1/chat/completions or /v1/embeddings. Hints of a
    line stand beside them, "hybridllm": {"task": "classify"}, and go before the options here. A line that is
    wrong, or fails, becomes an error in the output, and the others go on. Ctrl-C lets what is under way end;
    a second one does not wait.
    """
    said = {
        "task": task,
        "residency": residency,
        "tenant": tenant,
        "feature": feature,
        "session": session,
        "priority": priority,
        "tags": hints.listed(tags) or None,
        "metadata": hints.pairs("--metadata", metadata or ()) or None,
        "vector_space": vector_space,
        "model": model,
        "deadline_s": deadline,
        "max_cost_usd": max_cost,
    }
    _play(
        policy_path(policy),
        environment,
        as_json=as_json,
        source=source,
        target=target,
        hints={name: value for name, value in said.items() if value is not None},
        journal=journal,
        resume=resume,
        concurrency=concurrency,
        unknown=unknown.value,
        ignore_model=ignore_model,
    )


def _play(path: Path, environment: str | None, *, as_json: bool, **job: Any) -> None:
    """Run the batch from its first line to its exit code."""
    from hybridllm.cli.batch.screen import screen_for, summary_json, summary_lines

    screen = screen_for(job["source"], job["target"], as_json=as_json)
    keep_logs_quiet()
    with errors_told(as_json=as_json):
        ended = asyncio.run(_run(path, environment, screen, job))
    if ended is None:
        screen.say(f"stopped at once; to go on: {screen.again}")
        raise typer.Exit(Exit.INTERRUPTED)
    if as_json:
        print_json(summary_json(ended))
    else:
        summary_lines(ended, again=screen.again)
    if not ended.complete:
        raise typer.Exit(Exit.INTERRUPTED)
    if ended.progress.failed:
        raise typer.Exit(Exit.FAILED)


async def _run(
    path: Path, environment: str | None, screen: Screen, options: dict[str, Any]
) -> BatchSummary | None:
    """Run the batch; None if a second Ctrl-C ended it."""
    from hybridllm import BatchJob, Router

    async with Router.from_file(path, environment=environment) as router:
        job = BatchJob(router, on_problem=screen.problem, **options)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_ended(job))
            with screen, _stoppable(job, running, screen):
                await _drawn(job, running, screen)
    ended = None if running.cancelled() else running.result()
    if isinstance(ended, HybridLLMError):
        raise ended
    return ended


async def _ended(job: BatchJob) -> BatchSummary | HybridLLMError:
    """How it ended; an error is returned, for a group would wrap it."""
    try:
        return await job.run()
    except HybridLLMError as error:
        return error


async def _drawn(job: BatchJob, running: asyncio.Task[Any], screen: Screen) -> None:
    while not running.done():
        await asyncio.wait({running}, timeout=DRAW_EVERY_S)
        screen.draw(job.progress)


@contextmanager
def _stoppable(job: BatchJob, running: asyncio.Task[Any], screen: Screen) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) stop the job in good order, and the next one at once."""
    import signal

    loop = asyncio.get_running_loop()
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            running.cancel()
            return
        job.stop()
        screen.say(
            f"stopping: waiting for {job.progress.under_way} under way; Ctrl-C again gives them up"
        )

    caught = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in caught:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # no signals here: Windows, or a thread that is not the main one
        return
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
