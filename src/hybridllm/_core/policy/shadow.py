"""Copies of a route's requests that go to another model, as the router runs it."""

from __future__ import annotations

from dataclasses import dataclass

from hybridllm._core.compare.parity import ParityConfig
from hybridllm._core.money.pico import usd_of


@dataclass(frozen=True, slots=True)
class Shadow:
    """What is copied, and what is made of it.

    Attributes:
        model: Logical model that gets the copies.
        share: Of the requests, above 0 and up to 1.
        pico_per_day: What the copies of a UTC day may cost, in 10^-12 USD.
        parity: When the model is good enough; None: it is only compared.
        shifts: True if the route asks it first while parity holds; else it is proposed.
    """

    model: str
    share: float
    pico_per_day: int
    parity: ParityConfig | None = None
    shifts: bool = False

    def __str__(self) -> str:
        money = f"up to {usd_of(self.pico_per_day).normalize():f} USD a day"
        told = f"{self.model}, {100 * self.share:g} % of the requests, {money}"
        if self.parity is None:
            return told
        does = "goes first" if self.shifts else "is proposed"
        share = f"{100 * self.parity.share_min:g} % of {self.parity.samples}"
        return f"{told}; {does} while {share} answers agree"
