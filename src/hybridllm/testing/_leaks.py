"""Nothing left behind: a check for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hybridllm.testing._virtual_time import describe_task


class LeakedTasks(AssertionError):
    """Tasks that a block of code started are still running after it.

    Attributes:
        tasks: The names of the tasks.
    """

    def __init__(self, report: str, tasks: tuple[str, ...]) -> None:
        super().__init__(
            f"{len(tasks)} task{'s' if len(tasks) != 1 else ''} left behind:\n{report}"
        )
        self.tasks = tasks


@asynccontextmanager
async def no_leaks(*, grace_s: float = 0.5) -> AsyncIterator[None]:
    """Check that no task that was started inside the block is left after it.

    Args:
        grace_s: How long, in the loop's time, tasks may take to end.

    Raises:
        LeakedTasks: If one is left. An exception of the block goes before: then nothing is checked.
    """
    before = asyncio.all_tasks()
    yield
    loop = asyncio.get_running_loop()
    give_up_at_s = loop.time() + grace_s
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=max(give_up_at_s - loop.time(), 0.0))
        if loop.time() >= give_up_at_s:
            break
    left = {task for task in left if not task.done()}
    if left:
        report = "\n".join(sorted(describe_task(task) for task in left))
        raise LeakedTasks(report, tuple(sorted(task.get_name() for task in left)))
