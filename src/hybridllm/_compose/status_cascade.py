"""How the cascades of a policy's routes have fared: one row per route that has one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.receipt_text import usd

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class CascadeStatus:
    """A route with a cascade, since this router began.

    Attributes:
        route: Its name.
        first: The model whose answers are checked; `then`: the one that is asked if one does not pass.
        checked: Requests whose first answer was checked.
        escalated: Those for which the better model was asked and that were not given the first answer.
        not_escalated: Those that were given the first answer although it did not pass.
        cost_usd: Of all of them, both attempts of each, as far as known.
        saved_usd: Against asking the better model at once; both attempts count, so it may be negative.
        saved_unknown: Those of whom that is not known.
    """

    route: str
    first: str
    then: str
    checked: int = 0
    escalated: int = 0
    not_escalated: int = 0
    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    saved_unknown: int = 0

    @property
    def escalation_rate(self) -> float | None:
        """The share of the checked requests that were escalated; None: none was checked."""
        return self.escalated / self.checked if self.checked else None

    @property
    def saved_share(self) -> float | None:
        """What was saved of what the better model alone would have cost; None: not known."""
        alone = self.cost_usd + self.saved_usd
        return float(self.saved_usd / alone) if alone and not self.saved_unknown else None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        told |= {"cost_usd": f"{self.cost_usd:f}", "saved_usd": f"{self.saved_usd:f}"}
        return told | {"escalation_rate": self.escalation_rate, "saved_share": self.saved_share}

    def __str__(self) -> str:
        rate = "" if self.escalation_rate is None else f" ({self.escalation_rate:.1%})"
        share = "" if self.saved_share is None else f" ({self.saved_share:.0%})"
        return (
            f"cascade of {self.route}: {self.first} -> {self.then}; {self.escalated} of {self.checked} "
            f"answers escalated{rate}; saved {usd(self.saved_usd)}{share}"
            + (f"; {self.not_escalated} did not pass and stayed" if self.not_escalated else "")
            + (f"; of {self.saved_unknown} not known" if self.saved_unknown else "")
        )


def cascade_rows(policy: Policy, engine: Engine | None) -> tuple[CascadeStatus, ...]:
    """Return the routes that cascade, in the order of the policy; None: nothing was sent yet."""
    rows = []
    for route in policy.routes:
        if route.cascade is None:
            continue
        names = (route.name, route.cascade.first, route.cascade.then)
        tally = None if engine is None else engine.cascades.tallies.get(route.name)
        if tally is None:
            rows.append(CascadeStatus(*names))
            continue
        rows.append(
            CascadeStatus(
                *names,
                tally.checked,
                tally.escalated,
                tally.not_escalated,
                tally.cost_usd,
                tally.saved_usd,
                tally.unknown,
            )
        )
    return tuple(rows)
