"""What traffic costs at an API and on own machines, and where the two cross: `break-even` as functions.

    from hybridllm import economics

    answer = economics.break_even(
        economics.scenario(model="gpt-4o", tokens_per_day="200M", input_share=0.7, gpu="8x A100 80GB")
    )
    answer.crossings.likely.first    # tokens a day
    answer.decision.reason

Nothing is sent to anybody and no key is needed. Money is `Decimal`, USD; every figure is a `Range`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridllm._adapters.economics_data import shipped_facts as facts
from hybridllm._core.economics.ahead import Ahead, Bar, Month, months_ahead, tornado
from hybridllm._core.economics.answer import Answer, ApiPart, Crossings, break_even
from hybridllm._core.economics.bills import (
    Crossing,
    Term,
    api_bill,
    api_usd_at,
    best_for_own,
    crossing,
    own_bill,
    own_usd,
    worst_for_own,
)
from hybridllm._core.economics.branch import Branch, Choice, Decision
from hybridllm._core.economics.facts import EconomicFacts, GpuClass, SourceScenario, WrongSum
from hybridllm._core.economics.ranges import End, Range, between, exactly
from hybridllm._core.economics.scenario import (
    Hidden,
    Machines,
    ModelShare,
    Per,
    Point,
    Purchase,
    Scenario,
    point,
)

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

__all__ = [
    "Ahead",
    "Answer",
    "ApiPart",
    "Bar",
    "Branch",
    "Choice",
    "Crossing",
    "Crossings",
    "Decision",
    "EconomicFacts",
    "End",
    "GpuClass",
    "Hidden",
    "Machines",
    "ModelShare",
    "Month",
    "Per",
    "Point",
    "Purchase",
    "Range",
    "Scenario",
    "SourceScenario",
    "Term",
    "WrongSum",
    "api_bill",
    "api_usd_at",
    "best_for_own",
    "between",
    "break_even",
    "crossing",
    "exactly",
    "facts",
    "ledger_scenario",
    "months_ahead",
    "own_bill",
    "own_usd",
    "point",
    "scenario",
    "scenario_file",
    "source_scenario",
    "tornado",
    "worst_for_own",
]


def scenario(**keys: Any) -> Scenario:
    """Return a scenario of its keys, which are those of a scenario file: `tokens_per_day="50M"`.

    Raises:
        PolicyError: With every problem.
    """
    from hybridllm._compose.economics import scenario_of

    return scenario_of(keys)


def scenario_file(path: str | Path, **keys: Any) -> Scenario:
    """Return the scenario of a YAML file; keys that are given here go before the file's.

    Raises:
        PolicyError: With every problem, each at its line and column.
    """
    from hybridllm._compose.economics import scenario_of

    return scenario_of(keys, file=path)


def source_scenario(name: str, **keys: Any) -> Scenario:
    """Return a scenario of the planning documents, by its name, with other values for these keys.

    Raises:
        PolicyError: If there is none of that name, or for a problem with a key.
    """
    from hybridllm._compose.economics import scenario_of

    return scenario_of(keys, source=name)


def ledger_scenario(
    ledger: str | Path,
    *,
    since: str = "30d",
    policy: Policy | None = None,
    now: datetime | None = None,
    **keys: Any,
) -> Scenario:
    """Return the scenario of the traffic that a ledger holds: its models, volume, mix and cached shares.

    Args:
        ledger: A file's path or a database's URL.
        since: `30d`, `2026-11-01`, `last month`; it counts from where the ledger begins, if that is later.
        policy: Has the prices of APIs for its models, and the machines with their `capacity`. Default: the
            prices of the model book, and no machines.
        now: Default: now.
        keys: Go before what was measured: `gpu="2x A100 80GB"`.

    Raises:
        LedgerError: If it cannot be read, holds no tokens of that time, or too many without a price.
        PolicyError: For a problem with a key.
        ValueError: If `since` is no time.
    """
    from hybridllm._compose.economics import ledger_scenario as measured

    return measured(ledger, keys, since=since, policy=policy, now=now)
