"""Attempts beyond the first of a request: made only if its budgets have room for them too."""

from __future__ import annotations

from hybridllm._runtime.budgets.ports import BudgetStoreError
from hybridllm._runtime.budgets.refused import no_room, not_known
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.run import Run


async def funded(run: Run, place: int, clock: Clock) -> None:
    """Reserve what one more attempt at a candidate may cost.

    Raises:
        BudgetExceeded: If there is no room for it. The request is settled then; so it is by the other one.
        LedgerError: If nobody knows.
    """
    if run.hold is None:
        return
    try:
        lack = await run.hold.lacks(run.plan.kept[place].candidate, run.attempts)
    except BudgetStoreError as error:
        raise not_known(run, run.hold.budgets.place, error, clock.monotonic_s()) from None
    if lack is not None:
        raise no_room(run, lack, now_s=clock.monotonic_s(), now_utc=clock.utc_now())


async def has_room(run: Run, place: int) -> bool:
    """Return whether an attempt that nobody needs may be made; what it may cost is reserved then."""
    if run.hold is None:
        return True
    try:
        return await run.hold.lacks(run.plan.kept[place].candidate, run.attempts) is None
    except BudgetStoreError:
        return False
