"""Which limits hold for a task on a backend: the task's own go before the backend's."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from hybridllm._core.policy.compiled import Backend, Task
from hybridllm._core.policy.objectives import Timeouts

_DEFAULT_TOTAL_S = Timeouts().total_s


@lru_cache(maxsize=4_096)
def timeouts_for(task: Task | None, backend: Backend) -> Timeouts:
    """Return the limits in seconds for one task class on one backend."""
    if task is None or not task.timeouts:
        return backend.timeouts
    return replace(backend.timeouts, **task.timeouts)


def total_s(task: Task | None) -> float:
    """Return how long a whole request may take when the caller sets no deadline."""
    limit = task.timeouts.get("total_s") if task is not None else None
    return limit if limit is not None else _DEFAULT_TOTAL_S
