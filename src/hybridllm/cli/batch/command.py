"""`hybridllm batch`: its options, its course, its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.batch import options as given
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import keep_logs_quiet, plural, print_json
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.signals import Stop, ended_by, run_until_stopped
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
        try:
            ended, stop = run_until_stopped(lambda stop: _run(path, environment, screen, stop, job))
        except typer.Exit:
            screen.say(f"given up; to go on:\n  {screen.again}")
            raise
    if as_json:
        print_json(summary_json(ended))
    else:
        summary_lines(ended, again=screen.again)
    if not ended.complete:
        raise ended_by(stop)
    if ended.progress.failed:
        raise typer.Exit(Exit.FAILED)


async def _run(
    path: Path, environment: str | None, screen: Screen, stop: Stop, options: dict[str, Any]
) -> tuple[BatchSummary, Stop]:
    from hybridllm import BatchJob, Router

    async with Router.from_file(path, environment=environment) as router:
        job = BatchJob(router, on_problem=screen.problem, **options)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_ended(job))
            with screen:
                await _drawn(job, running, screen, stop)
    ended = running.result()
    if isinstance(ended, HybridLLMError):
        raise ended
    return ended, stop


async def _ended(job: BatchJob) -> BatchSummary | HybridLLMError:
    """How it ended; an error is returned, for a group would wrap it."""
    try:
        return await job.run()
    except HybridLLMError as error:
        return error


async def _drawn(job: BatchJob, running: asyncio.Task[Any], screen: Screen, stop: Stop) -> None:
    """Show it until it is over. The first signal stops it in good order, the second cancels everything."""
    stopping = False
    while not running.done():
        await asyncio.wait({running}, timeout=DRAW_EVERY_S)
        screen.draw(job.progress)
        if stop.asked.is_set() and not stopping:
            stopping = True
            job.stop()
            count = plural(job.progress.under_way, "request")
            screen.say(f"stopping: waiting for {count} under way; a second Ctrl-C gives them up")
