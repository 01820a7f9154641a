"""What the planning documents say of own machines: prices, hidden costs, scenarios, wrong sums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.economics.ranges import Range
from hybridllm._core.economics.scenario import Hidden, Purchase

DAYS_PER_MONTH = Decimal(30)
"""A month, in the documents; 30.4375 days in the rest of this package."""

_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class GpuClass:
    """Machines that the documents price.

    Attributes:
        name: `2x A100 80GB`.
        size: Of the models that fit, `27-32B`; None: they do not say.
        usd_per_month: By the forms of purchase that they know a price for.
        tokens_per_day: That they say such machines process; None: they do not.
    """

    name: str
    size: str | None
    usd_per_month: Mapping[Purchase, Range]
    tokens_per_day: Decimal | None = None


@dataclass(frozen=True, slots=True)
class SourceScenario:
    """A scenario of the documents, and what they print of it.

    Attributes:
        api_usd_stated: A month at the API, as printed; `api_usd_recomputed`: as it adds up.
        also: Other models that they compare.
        own_usd_per_month: Their GPUs, without what is hidden; empty: they name none.
        stated: Their conclusion, in their words; empty: they have none.
    """

    name: str
    model: str
    tokens_per_day: Decimal
    input_share: Decimal
    api_usd_stated: Decimal
    api_usd_recomputed: Decimal
    also: tuple[str, ...]
    gpus: str | None
    own_usd_per_month: Mapping[Purchase, Range]
    tokens_per_day_of_gpus: Decimal | None
    stated: str


@dataclass(frozen=True, slots=True)
class WrongSum:
    """A sum of the documents that does not add up.

    Attributes:
        stated: As printed, from and to; `recomputed`: from their own prices.
        unit: `USD` or `tokens a month`.
        follows: What that changes; empty: nothing beside.
    """

    what: str
    stated: tuple[Decimal, Decimal]
    recomputed: tuple[Decimal, Decimal]
    unit: str
    follows: str


@dataclass(frozen=True, slots=True)
class EconomicFacts:
    """All of it."""

    gpus: tuple[GpuClass, ...]
    hidden: tuple[Hidden, ...]
    hidden_on_prem: tuple[Hidden, ...]
    engineer_usd_per_year: Range
    engineer_share: Range
    scenarios: tuple[SourceScenario, ...]
    wrong_sums: tuple[WrongSum, ...]
    api_cached_share: Range
    own_cached_share: Range
    claims: tuple[str, ...]

    def gpu(self, name: str) -> GpuClass | None:
        """Return the machines of this name, however it is spaced: `2xA100-80GB`."""
        return next((one for one in self.gpus if spelt(one.name) == spelt(name)), None)

    def scenario(self, name: str) -> SourceScenario | None:
        """Return the scenario of this name, or of this first word of it."""
        wanted = name.casefold()
        return next(
            (
                one
                for one in self.scenarios
                if wanted in (one.name.casefold(), one.name.casefold().partition(" ")[0])
            ),
            None,
        )


def spelt(name: str) -> str:
    """Return the name of machines in one spelling."""
    plain = _SEPARATORS.sub("", name.casefold())
    return plain if re.match(r"\d+x|p4d", plain) else f"1x{plain}"
