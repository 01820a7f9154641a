"""The tables of `break-even.md`: from the shipped figures of the planning documents, done again."""

from __future__ import annotations

from decimal import Decimal

from hybridllm import economics
from hybridllm._core.economics.schema import ScenarioSpec
from hybridllm.economics import Range, Scenario

_DEAR = {"model": "gpt-4o", "input_share": "0.7"}
_CHEAP = {"model": "deepseek-v4-flash", "input_share": "0.7"}


def scenario_table() -> str:
    """Return the documents' scenarios: what they print, and what their own figures make."""
    rows = [
        "| scenario | tokens a day | model | API a month | they print | own GPUs a month | they conclude |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in economics.facts().scenarios:
        answer = economics.break_even(economics.source_scenario(one.name))
        right = _usd(answer.api_usd.likely)
        wrong = one.api_usd_stated != answer.api_usd.likely
        printed = f"{_usd(one.api_usd_stated)}, **which is wrong**" if wrong else "the same"
        own = ", ".join(
            f"{form.value} {_range(usd)}" for form, usd in one.own_usd_per_month.items()
        )
        cells = (one.name, f"{one.tokens_per_day:,.0f}", one.model, right, printed, own, one.stated)
        rows.append(f"| {' | '.join(cell or '-' for cell in cells)} |")
        rows += [
            f"| | | {other.model} | {_usd(other.usd_per_month)} | the same | | |"
            for other in answer.also
        ]
    return "\n".join(rows)


def wrong_sums_table() -> str:
    """Return every sum of the documents that does not add up, beside the right one."""
    rows = ["| sum | they print | it is | so |", "|---|---|---|---|"]
    for one in economics.facts().wrong_sums:
        stated, recomputed = (_ends(ends, one.unit) for ends in (one.stated, one.recomputed))
        rows.append(f"| {one.what} | {stated} | **{recomputed}** | {one.follows or '-'} |")
    return "\n".join(rows)


def crossing_table() -> str:
    """Return where each machine of the documents crosses, with their hidden costs, at two prices."""
    rows = [
        "| machines | paid as | USD a month | all costs | level with gpt-4o | with deepseek-v4-flash |",
        "|---|---|---|---|---|---|",
    ]
    for gpu in economics.facts().gpus:
        for form, usd in gpu.usd_per_month.items():
            keys = {"gpu": gpu.name, "purchase": form.value, "tokens_per_day": "50M"}
            dear, cheap = (economics.scenario(**mix, **keys) for mix in (_DEAR, _CHEAP))
            own = economics.own_bill(dear)
            total = _range(own) if own is not None else "-"
            cells = (gpu.name, form.value, _range(usd), total, _level(dear), _level(cheap))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def key_table() -> str:
    """Return the keys of a scenario file."""
    rows = ["| key | means |", "|---|---|"]
    for name, info in ScenarioSpec.model_fields.items():
        need = "**required** · " if info.is_required() else ""
        rows.append(f"| `{name}` | {need}{info.description} |")
    return "\n".join(rows)


def claims_list() -> str:
    """Return where the documents say that own machines begin to pay."""
    return "\n".join(f"- {claim}" for claim in economics.facts().claims)


def _level(scenario: Scenario) -> str:
    level = economics.crossing(economics.point(scenario)).first
    return "never" if level is None else f"{level / 1_000_000:,.1f}M a day"


def _range(usd: Range) -> str:
    return f"{usd.low:,.0f}" if usd.exact else f"{usd.low:,.0f} to {usd.high:,.0f}"


def _usd(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _ends(ends: tuple[Decimal, Decimal], unit: str) -> str:
    texts = [
        _usd(end) if unit == "USD" else f"{end / 1_000_000:,.0f}M" for end in dict.fromkeys(ends)
    ]
    return " to ".join(texts) + ("" if unit == "USD" else f" {unit}")
