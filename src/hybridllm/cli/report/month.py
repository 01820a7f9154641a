"""The reports that a month's page is made of: the same month, grouped in the ways that the page shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import hybridllm

if TYPE_CHECKING:
    from hybridllm import CostReport, Policy

STEPS = 5 + 3 * 4 + 3


class Month(NamedTuple):
    """A month, by tenant, by feature, by task and model, by day, by day and backend."""

    tenants: CostReport
    features: CostReport
    tasks: CostReport
    days: CostReport
    backends: CostReport


def gathered(
    ledger: str, month: str, *, policy: Policy | None, on_step: Callable[[str], object]
) -> Month:
    """Return a month of a ledger.

    Raises:
        LedgerError: If the ledger cannot be read.
        ValueError: If the month is none.
    """
    asked = partial(hybridllm.costs, ledger, since=month, policy=policy, on_step=on_step)
    return Month(
        tenants=asked(by=("tenant",)),
        features=asked(by=("feature",), what_if=False),
        tasks=asked(by=("task", "model"), what_if=False),
        days=asked(by=("day",), what_if=False),
        backends=asked(by=("day", "backend"), latency=False, what_if=False),
    )
