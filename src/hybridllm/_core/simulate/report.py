"""What some traffic would cost, month by month: a value, and between which bounds sampling leaves it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Usd:
    """An amount a month; it lies between `low` and `high`."""

    value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class BackendLoad:
    """What one backend is asked to do in a month.

    Attributes:
        requests: That it answers.
        tokens_per_s: Prompt and answer tokens that it would have to process, on average.
        tokens_per_s_peak: The same in its busiest hour of the day.
        can_tokens_per_s: As its `capacity` declares; None: not declared.
        overflow: The share of what was meant for it that goes elsewhere because it is full.
        beyond: The share that it can neither process nor send elsewhere.
        cost_usd: Of its tokens; None: no price is known for some of them.
    """

    name: str
    requests: float
    tokens_per_s: float
    tokens_per_s_peak: float
    can_tokens_per_s: float | None
    overflow: float
    beyond: float
    cost_usd: Decimal | None

    @property
    def utilisation_peak(self) -> float | None:
        """Its busiest hour against what it can do; above 1: it is asked for more."""
        if not self.can_tokens_per_s:
            return None
        return self.tokens_per_s_peak / self.can_tokens_per_s


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the traffic.

    Attributes:
        number: From 1.
        requests: In the month.
        cost_usd: Of tokens, by the policy's prices.
        machines_usd: That are paid by the month, whatever goes there.
        list_usd: What hosted APIs would ask for the tokens that such machines process; None: not known.
        denied: Shares of the requests, by the rule that denies them.
        unpriced: The share of the requests whose candidate has no known price.
        holding: The live conditions that hold.
        backends: In the order of the policy.
    """

    number: int
    requests: float
    cost_usd: Usd
    machines_usd: Decimal
    list_usd: Decimal | None
    denied: tuple[tuple[str, float], ...]
    unpriced: float
    holding: tuple[str, ...]
    backends: tuple[BackendLoad, ...]


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """Some traffic under a policy.

    Attributes:
        sampled: So many decisions stand for all of it.
        months: At least one.
        notes: What was assumed, in words.
    """

    policy: str
    policy_version: str
    sampled: int
    months: tuple[Month, ...]
    notes: tuple[str, ...] = ()

    @property
    def pays_from_month(self) -> int | None:
        """The first month in which machines cost less than APIs would ask for what they process."""
        for month in self.months:
            if month.list_usd is not None and month.list_usd > month.machines_usd > 0:
                return month.number
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        told: dict[str, Any] = asdict(self)
        told["pays_from_month"] = self.pays_from_month
        return told
