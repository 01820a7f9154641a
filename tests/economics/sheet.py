"""A spreadsheet's way to the same figures: cell by cell, in fractions, from the shipped file's own rows.

Nothing of the package is used: neither its reader nor its sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DATA = ROOT / "src" / "hybridllm" / "data"


def rows() -> dict[str, Any]:
    """The file as plain texts."""
    text = (DATA / "economics.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
    return found


def price(model: str) -> tuple[Fraction, Fraction]:
    """A model's price of prompt and answer, from the book's row."""
    text = (DATA / "models.yaml").read_text(encoding="utf-8")
    book = yaml.load(text, Loader=yaml.BaseLoader)["models"]
    row = next(one for one in book if one["id"] == model)
    return Fraction(row["input"]), Fraction(row["output"])


def middle(ends: list[str] | str) -> Fraction:
    low, high = ends if isinstance(ends, list) else (ends, ends)
    return (Fraction(low) + Fraction(high)) / 2


def classes() -> list[tuple[str, str, Fraction, Fraction | None]]:
    """Every machine of the sources in every form: name, form, USD a month, tokens a day."""
    file, found = rows(), []
    growth = next(one for one in file["scenarios"] if one["name"] == "growth")
    for row in file["gpu_usd_month"]:
        can = Fraction(growth["capacity_tokens_day"]) if row["gpus"] == growth["gpus"] else None
        found += [
            (row["gpus"], "cloud", middle(row["cloud"]), can),
            (row["gpus"], "on-prem", middle(row["on_prem"]), can),
        ]
    other = file["other_gpu_prices"]
    found.append(("1x H100", "cloud", middle(other["h100"]["usd_month"]), None))
    p4d = other["p4d.24xlarge"]
    found.append(("p4d.24xlarge", "cloud", middle(p4d["usd_month"]), None))
    found.append(("p4d.24xlarge", "reserved", middle(p4d["reserved_1y_usd_month"]), None))
    return found


@dataclass(frozen=True)
class Sheet:
    """The cells of one comparison; money is USD a month."""

    usd_per_mtok: Fraction
    a_set: Fraction
    a_region: Fraction
    once: Fraction
    can_a_day: Fraction | None
    regions: int = 1
    spare: int = 0
    days: Fraction = Fraction("30.4375")

    def api(self, tokens_a_day: Fraction) -> Fraction:
        return tokens_a_day * self.days * self.usd_per_mtok / 1_000_000

    def own(self, tokens_a_day: Fraction) -> Fraction:
        sets = 1
        if self.can_a_day is not None:
            sets = max(1, ceil(tokens_a_day / self.regions / self.can_a_day))
        machines = self.regions * (sets + self.spare) * self.a_set
        return machines + self.regions * self.a_region + self.once

    def crossing(self, rows_max: int = 3_000) -> Fraction | None:
        """Row by row: within how many sets does the API's line first meet the step?"""
        for sets in range(1, rows_max):
            top = None if self.can_a_day is None else sets * self.regions * self.can_a_day
            step = self.regions * (sets + self.spare) * self.a_set
            step += self.regions * self.a_region + self.once
            level = step * 1_000_000 / (self.usd_per_mtok * self.days)
            if top is None or level <= top:
                return level
        return None


def source_sheet(
    gpu: tuple[str, str, Fraction, Fraction | None],
    *,
    model: str,
    prompts: Fraction,
    regions: int = 1,
    spare: int = 0,
) -> Sheet:
    """A machine of the sources with their hidden costs, at a model's price."""
    _, form, usd, can = gpu
    hidden = {name: middle(ends) for name, ends in rows()["hidden_usd_month"].items()}
    price_in, price_out = price(model)
    power = hidden["electricity_on_prem"] if form == "on-prem" else Fraction(0)
    return Sheet(
        usd_per_mtok=prompts * price_in + (1 - prompts) * price_out,
        a_set=usd + power,
        a_region=hidden["load_balancer_or_gateway"] + hidden["monitoring_and_alerting"],
        once=hidden["devops_engineer_partial"] + hidden["model_updates"],
        can_a_day=can,
        regions=regions,
        spare=spare,
    )
