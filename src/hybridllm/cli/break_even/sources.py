"""What the planning documents say, beside what their sums really make."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.output import headline, note, paragraph, print_json, usd
from hybridllm.cli.tables import Table, show
from hybridllm.economics import Answer, break_even, facts, source_scenario

if TYPE_CHECKING:
    from hybridllm.economics import Range, SourceScenario, WrongSum


def tell_scenarios(*, as_json: bool) -> None:
    """Print the scenarios, each with the API's bill as it is printed and as it adds up."""
    found = [(one, break_even(source_scenario(one.name))) for one in facts().scenarios]
    if as_json:
        print_json({"ok": True, "scenarios": [_scenario(one, answer) for one, answer in found]})
        return
    made = Table("scenario", "model", "tokens a day", "API a month", "printed", "own", "they conclude",
                 right=("tokens a day", "API a month", "printed"), prose=("they conclude",))  # fmt: skip
    for one, answer in found:
        wrong = one.api_usd_stated != answer.api_usd.likely
        made.add_row(
            one.name,
            one.model,
            f"{one.tokens_per_day:,.0f}",
            usd(answer.api_usd.likely),
            f"{usd(one.api_usd_stated)}{' (wrong)' if wrong else ''}",
            "; ".join(
                f"{form.value} {_range(cost)}" for form, cost in one.own_usd_per_month.items()
            )
            or "-",
            one.stated or "-",
        )
        for other in answer.also:
            made.add_row("", other.model, "", usd(other.usd_per_month), "", "", "")
    show(made)
    note("a month has 30 days there; `hybridllm break-even --scenario NAME` does the sums")


def tell_facts(*, as_json: bool) -> None:
    """Print the documents' prices, and every sum of theirs that does not add up beside the right one."""
    known = facts()
    if as_json:
        print_json(
            {"ok": True, "wrong_sums": [_wrong(one) for one in known.wrong_sums], "gpus": _gpus()}
        )
        return
    headline("Sums of the documents that do not add up")
    made = Table("sum", "they print", "it is", "so", prose=("sum", "so"))
    for one in known.wrong_sums:
        made.add_row(
            one.what,
            amounts(one.stated, one.unit),
            amounts(one.recomputed, one.unit),
            one.follows or "-",
        )
    show(made)
    headline("GPUs, USD a month")
    made = Table("machines", "models", "cloud", "reserved", "on-prem", "tokens a day")
    for row in _gpus():
        made.add_row(*(row[key] or "-" for key in row))
    show(made)
    headline("On top, USD a month")
    made = Table("cost", "low", "high", "per", right=("low", "high"))
    for hidden in (*known.hidden, *known.hidden_on_prem):
        low, high = hidden.usd_per_month.low, hidden.usd_per_month.high
        made.add_row(hidden.name, usd(low), usd(high), hidden.per.value)
    show(made)
    headline("Where they say that own machines begin to pay")
    for claim in known.claims:
        paragraph(f"- {claim}")
    typer.echo()
    note(
        "they disagree, because it depends on price, mix, cache, use and labour: do the sums with your own"
    )


def amounts(ends: tuple[Decimal, Decimal], unit: str) -> str:
    """Return an amount, or from where to where."""
    texts = [
        usd(end) if unit == "USD" else f"{end / 1_000_000:,.0f}M" for end in dict.fromkeys(ends)
    ]
    return " to ".join(texts) + ("" if unit == "USD" else f" {unit}")


def _gpus() -> list[dict[str, str]]:
    return [
        {
            "name": one.name,
            "models": one.size or "",
            **{
                form: next(
                    (_range(cost) for key, cost in one.usd_per_month.items() if key == form), ""
                )
                for form in ("cloud", "reserved", "on-prem")
            },
            "tokens_per_day": "" if one.tokens_per_day is None else f"{one.tokens_per_day:,.0f}",
        }
        for one in facts().gpus
    ]


def _range(cost: Range) -> str:
    return f"{cost.low:,.0f}" if cost.exact else f"{cost.low:,.0f} to {cost.high:,.0f}"


def _scenario(one: SourceScenario, answer: Answer) -> dict[str, Any]:
    return {
        "name": one.name,
        "model": one.model,
        "tokens_per_day": str(int(one.tokens_per_day)),
        "api_usd_stated": str(one.api_usd_stated),
        "api_usd": f"{answer.api_usd.likely:f}",
        "also": {other.model: f"{other.usd_per_month:f}" for other in answer.also},
        "stated": one.stated,
    }


def _wrong(one: WrongSum) -> dict[str, Any]:
    return {
        "what": one.what,
        "unit": one.unit,
        "stated": [f"{end:f}" for end in one.stated],
        "recomputed": [f"{end:f}" for end in one.recomputed],
        "follows": one.follows,
    }
