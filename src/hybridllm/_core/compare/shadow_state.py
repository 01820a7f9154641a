"""What copies of one route's requests have told so far, and what they may still cost today: a value.

Money is whole 10^-12 USD; days are UTC, as `date.toordinal` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hybridllm._core.compare.parity import UNSEEN, Parity, Standing, after_sample
from hybridllm._core.policy.shadow import Shadow

_FORGET = 0.99
"""Of what both models cost, that is kept from one comparison to the next: the latest hundred count."""


@dataclass(frozen=True, slots=True)
class ShadowState:
    """Of one route.

    Attributes:
        copies: That were sent; `answered`: that brought an answer; `skipped`: that might have cost too much.
        day: Of `spent_pico`, which includes what copies under way may still cost.
        shadow_pico: What the shadow's model cost lately; `other_pico`: what the others did for the same
            requests. Both fade.
    """

    parity: Parity = UNSEEN
    copies: int = 0
    answered: int = 0
    skipped: int = 0
    day: int = 0
    spent_pico: int = 0
    shadow_pico: float = 0.0
    other_pico: float = 0.0

    @property
    def saving(self) -> float | None:
        """Which part of the others' cost the shadow's model saves; below 0: it is dearer; None: not known."""
        return 1 - self.shadow_pico / self.other_pico if self.other_pico else None

    @property
    def holds(self) -> bool:
        """Whether the model may take the others' place: its answers agree, and it is cheaper."""
        return self.parity.standing is Standing.HELD and (self.saving or 0.0) > 0


def reserved(state: ShadowState, shadow: Shadow, pico: int, *, day: int) -> ShadowState | None:
    """Set aside what a copy may cost; None: there is no room for it today."""
    if day != state.day:
        state = replace(state, day=day, spent_pico=0)
    if state.spent_pico + pico > shadow.pico_per_day:
        return None
    return replace(state, spent_pico=state.spent_pico + pico, copies=state.copies + 1)


def settled(state: ShadowState, *, reserved_pico: int, cost_pico: int, day: int) -> ShadowState:
    """Put what a copy did cost in the place of what was set aside; of a day that is over nothing changes."""
    if day != state.day:
        return state
    return replace(state, spent_pico=state.spent_pico - reserved_pico + cost_pico)


def after_comparison(
    state: ShadowState,
    shadow: Shadow,
    *,
    agreed: bool,
    shadow_pico: int | None,
    other_pico: int | None,
) -> ShadowState:
    """Take in that both models have answered a request."""
    if shadow_pico is not None and other_pico is not None:
        state = replace(
            state,
            shadow_pico=state.shadow_pico * _FORGET + shadow_pico,
            other_pico=state.other_pico * _FORGET + other_pico,
        )
    if shadow.parity is not None:
        state = replace(state, parity=after_sample(state.parity, shadow.parity, agreed=agreed))
    return replace(state, answered=state.answered + 1)
