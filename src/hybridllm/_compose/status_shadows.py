"""What copies of requests have told: one row per route of the policy that has them sent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.compare.parity import Standing
from hybridllm._core.compare.shadow_state import ShadowState
from hybridllm._core.money.pico import usd_of

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._core.policy.shadow import Shadow
    from hybridllm._runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """A route whose requests are copied, at one moment.

    Attributes:
        route: Its name; `model`: who gets the copies.
        standing: `watched`, `proposed`, `shifted`, `rolled back`, or `not cheaper`: its answers agree, and it
            saves nothing.
        copies: Sent since this router began; `answered`: of which both answers were compared; `skipped`: not
            sent, for want of money.
        samples: Comparisons that parity looks at; `agreement`: share of them that agree; None: none yet.
            `agreement_low`: the lower end of its 95 % interval.
        saving: Which part of the others' cost the model saves; None: not known.
        spent_usd: Of the UTC day, with what copies under way may cost.
    """

    route: str
    model: str
    standing: str = "watched"
    copies: int = 0
    answered: int = 0
    skipped: int = 0
    samples: int = 0
    agreement: float | None = None
    agreement_low: float = 0.0
    saving: float | None = None
    spent_usd: Decimal = Decimal(0)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; money as text."""
        return asdict(self) | {"spent_usd": f"{self.spent_usd:f}"}

    def __str__(self) -> str:
        agreed = "-" if self.agreement is None else f"{100 * self.agreement:.1f} %"
        saving = "" if self.saving is None else f", saves {100 * self.saving:.0f} %"
        skipped = f", {self.skipped} not sent for want of money" if self.skipped else ""
        return (
            f"shadow of {self.route}: {self.model} {self.standing}; {agreed} of {self.samples} answers agree"
            f" (at least {100 * self.agreement_low:.1f} %){saving}; {self.copies} copies{skipped}"
        )


def shadow_rows(policy: Policy, engine: Engine | None) -> tuple[ShadowStatus, ...]:
    """Return the routes with copies, in the order of the policy; None: nothing was sent yet."""
    states = {} if engine is None else engine.shadows.states
    return tuple(_row(route, shadow, states.get(route)) for route, shadow in policy.shadows.items())


def _row(route: str, shadow: Shadow, state: ShadowState | None) -> ShadowStatus:
    if state is None:
        return ShadowStatus(route, shadow.model)
    return ShadowStatus(
        route,
        shadow.model,
        _standing(shadow, state),
        state.copies,
        state.answered,
        state.skipped,
        state.parity.seen,
        state.parity.share,
        state.parity.share_low,
        state.saving,
        usd_of(state.spent_pico),
    )


def _standing(shadow: Shadow, state: ShadowState) -> str:
    if state.holds:
        return "shifted" if shadow.shifts else "proposed"
    if state.parity.standing is Standing.HELD:
        return "not cheaper"
    return "rolled back" if state.parity.standing is Standing.LOST else "watched"
