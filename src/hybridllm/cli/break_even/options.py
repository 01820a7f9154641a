"""The options of `hybridllm break-even`: one for each key of a scenario file, spelt alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _text(name: str, metavar: str, said: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(name, metavar=metavar, help=said)
    return found


File = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE", help="A scenario, in YAML; options go before it.", show_default=False
    ),
]
Source = Annotated[
    str | None,
    _text("--scenario", "NAME", "Of the planning documents: early, growth, enterprise, gpt-4o."),
]
ListScenarios = Annotated[
    bool, typer.Option("--list-scenarios", help="List those, with what their sums really make.")
]
Facts = Annotated[
    bool,
    typer.Option("--facts", help="The documents' prices, and which of their sums do not add up."),
]
LedgerPlace = Annotated[
    str | None, _text("--ledger", "PLACE", "Real traffic: a ledger's file or URL.")
]
PolicyName = Annotated[
    str | None,
    _text(
        "--policy", "POLICY", "With --ledger: prices of its models, and machines with a capacity."
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME[=SHARE]", help="Of the traffic; of several, each with its share."
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="NAME,...", help="Tell the bills of these models, too."),
]
ApiPrice = Annotated[
    str | None,
    _text("--price", "IN/OUT[/CACHED]", "At the API, per 1M tokens. Default: the model book's."),
]
TokensPerDay = Annotated[
    str | None, _text("--tokens-per-day", "TOKENS", "Prompts and answers: 50M.")
]
InputShare = Annotated[
    str | None,
    _text("--input-share", "SHARE", "Of the tokens, those of prompts: 0.7. Default: none."),
]
Cached = Annotated[
    str | None, _text("--cached", "SHARE", "Of the prompt tokens, those billed as cached: 0.8.")
]
Gpu = Annotated[str | None, _text("--gpu", "NAME", "One set of own machines: 2xA100-80GB.")]
PurchaseForm = Annotated[
    str | None, _text("--purchase", "FORM", "cloud (default), reserved or on-prem.")
]
GpuUsd = Annotated[
    str | None, _text("--gpu-usd-per-month", "USD", "Of one set: 1500, or 1000..2000.")
]
GpuTokens = Annotated[
    str | None, _text("--gpu-tokens-per-day", "TOKENS", "That one set can process.")
]
Utilisation = Annotated[
    str | None,
    _text("--utilisation", "SHARE", "Of that, what traffic with peaks can use: 0.4..0.6."),
]
Redundancy = Annotated[
    str | None, _text("--redundancy", "N", "Spare sets per region: n (default), n+1, n+2.")
]
Regions = Annotated[str | None, _text("--regions", "N", "That share the traffic. Default: 1.")]
HiddenCosts = Annotated[
    list[str] | None,
    typer.Option(
        "--hidden", metavar="NAME=USD", help="A month; repeated; or none; default: source."
    ),
]
Engineers = Annotated[str | None, _text("--engineers", "N", "Who look after it. Default: 1.")]
EngineerShare = Annotated[
    str | None,
    _text(
        "--engineer-share",
        "SHARE",
        "Of each one's time; in place of the sources' part-time DevOps.",
    ),
]
EngineerUsd = Annotated[
    str | None, _text("--engineer-usd-per-year", "USD", "Default: the sources' 150000..250000.")
]
Growth = Annotated[str | None, _text("--growth", "RATE", "Of the volume: 5%/month.")]
PriceDecline = Annotated[
    str | None, _text("--price-decline", "RATE", "Of the API's price: 3%/month.")
]
GpuPriceDecline = Annotated[
    str | None, _text("--gpu-price-decline", "RATE", "Of machines in the cloud.")
]
Months = Annotated[str | None, _text("--months", "N", "To look ahead. Default: 24.")]
DaysPerMonth = Annotated[
    str | None, _text("--days-per-month", "DAYS", "Default: 30.4375; the documents' scenarios: 30.")
]
ResidencyRule = Annotated[
    str | None, _text("--residency", "RULE", "strict: the data may not leave.")
]
IdleGpus = Annotated[
    bool, typer.Option("--idle-gpus", help="The machines are there and have nothing to do.")
]
EnvironmentName = Annotated[
    str | None, _text("--environment", "NAME", "Default: production; others need no machines.")
]
StableDays = Annotated[
    str | None, _text("--stable-days", "DAYS", "For how long the traffic has been as it is.")
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw it, .png or .svg (needs the extra `plots`)."),
]
