"""The way of a request that may be answered by a kept answer, or whose answer is checked.

A kept answer costs nothing, so that budgets are asked only for what is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._runtime.attempt import Attempts
    from hybridllm._runtime.budgets.admission import Admission
    from hybridllm._runtime.cascades import Cascades
    from hybridllm._runtime.ports import Parsed
    from hybridllm._runtime.run import Run
    from hybridllm._runtime.stream import Stream
    from hybridllm._runtime.turns import Turns


async def answered(
    run: Run, attempts: Attempts, turns: Turns, admission: Admission, cascades: Cascades
) -> Parsed | Stream:
    """Return a kept answer if there is one; else one that was asked for, and checked if it is to be.

    Raises:
        HybridLLMError: If no answer can be had; the request is settled then.
    """

    async def asked() -> Parsed | Stream:
        await admission.admit(run)
        run.cascade = cascades.cascading(run)
        found = await turns.found(attempts, run)
        if run.cascade is None:
            return found
        return await run.cascade.accepted(run, found, partial(turns.found_better, attempts, run))

    return await asked() if run.caching is None else await run.caching.found(run, asked)
