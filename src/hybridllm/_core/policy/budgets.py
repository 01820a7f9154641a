"""What a policy says of money that may be spent, made ready: whose, how much, per what, what then.

Values only. Whether a request fits is judged in `budget/admit.py`. Not to be mixed up with the retry budget
(`retries.budget`, which counts attempts) and with the `budget` of an overflow, which only changes an order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from hybridllm._core.money.pico import usd_of

EACH = "*"
"""In a scope: every value has the budget for itself."""
OF_REQUEST = ("tenant", "feature", "task", "route")
"""What a budget may look at of a request; `backend` and `model` are looked at of each candidate."""
OF_CANDIDATE = ("backend", "model")


class Period(StrEnum):
    """After what a budget begins anew, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Step:
    """What happens from a share of a budget on: a warning, fewer models, or an end.

    Attributes:
        percent: The share.
        at_pico: The same in 10^-12 USD.
        use: Only these models may be asked; None: it is no such step.
        deny: True if nothing may be spent beyond. Neither: it is a warning.
    """

    percent: Decimal
    at_pico: int
    use: frozenset[str] | None = None
    deny: bool = False

    @property
    def words(self) -> str:
        """What it does, in words."""
        if self.deny:
            return "deny"
        return "warn" if self.use is None else f"use {', '.join(sorted(self.use))}"


@dataclass(frozen=True, slots=True, eq=False)
class Budget:
    """Money that may be spent in a period.

    Attributes:
        name: By which it is known; what was spent is kept under it, however high its limit is.
        scope: (`tenant`, `acme`), (`task`, `*`), ...: whose money it is; empty: everybody's together.
        steps: By their share, from the lowest.
        deny_pico: The lowest share from which nothing may be spent; None: nothing is ever denied.
        of_request: The part of its scope that a request is known by; `of_candidate`: a candidate.
    """

    name: str
    limit_pico: int
    per: Period
    scope: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    line: int = 0
    deny_pico: int | None = field(init=False)
    of_request: tuple[tuple[str, str], ...] = field(init=False)
    of_candidate: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        denying = [step.at_pico for step in self.steps if step.deny]
        object.__setattr__(self, "deny_pico", min(denying, default=None))
        for name, keys in (("of_request", OF_REQUEST), ("of_candidate", OF_CANDIDATE)):
            object.__setattr__(self, name, tuple(one for one in self.scope if one[0] in keys))

    @property
    def limit_usd(self) -> Decimal:
        """What it allows in a period."""
        return usd_plain(self.limit_pico)

    def __str__(self) -> str:
        return f"budget {self.name!r} ({usd_text(self.limit_pico)} USD per {self.per.value})"


def usd_plain(pico_usd: int) -> Decimal:
    """Return an amount in USD, exact, without zeros at its end."""
    return Decimal(f"{usd_of(pico_usd).normalize():f}")


def usd_text(pico_usd: int) -> str:
    """Return an amount in USD for people: cents, and more digits only where it has them."""
    exact = usd_of(pico_usd).normalize()
    digits = exact.as_tuple().exponent
    return f"{exact:f}" if isinstance(digits, int) and digits < -2 else f"{exact:.2f}"
