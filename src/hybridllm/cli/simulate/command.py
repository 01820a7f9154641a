"""`hybridllm simulate`: its options, its course and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.output import headline, note, paragraph, percent, print_json, usd
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.tables import Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import SimulationReport

PolicyName = Annotated[
    str, typer.Option("--policy", metavar="POLICY", help="A policy file, or a shipped one.")
]
Traffic = Annotated[
    Path, typer.Option("--traffic", metavar="FILE", help="How much, when, of which kinds.")
]
PerDay = Annotated[
    float | None,
    typer.Option("--per-day", metavar="N", help="Requests, instead of the file's: 4e7, 3.3e10."),
]
Growth = Annotated[
    float | None,
    typer.Option("--growth", metavar="PERCENT", help="A month, instead of the file's."),
]


def simulate(
    *,
    policy: PolicyName,
    traffic: Traffic,
    months: Annotated[
        int, typer.Option("--months", min=1, max=120, metavar="N", help="How many.")
    ] = 12,
    per_day: PerDay = None,
    growth: Growth = None,
    samples: Annotated[
        int,
        typer.Option("--samples", min=1_000, max=1_000_000, metavar="N", help="Decisions drawn."),
    ] = 20_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of everything drawn.")] = 1,
    environment: hints.Environment = None,
    as_json: hints.AsJson = False,
) -> None:
    """Tell what traffic that may come would cost, and ask of each backend, month by month.

    Decisions are sampled and each stands for many requests, so that any volume takes seconds. For what users
    see when backends fail there is `hybridllm chaos`. Nothing is sent to anybody.

    Example: hybridllm simulate --policy policy.yaml --traffic traffic.yaml --per-day 1e9 --growth 10
    """
    path = policy_path(policy)
    if not traffic.exists():
        raise typer.BadParameter(f"--traffic: there is no file {traffic}")

    from hybridllm import simulate as simulated

    with errors_told(as_json=as_json):
        report = simulated(
            path,
            traffic,
            months=months,
            requests_per_day=per_day,
            growth_per_month=None if growth is None else growth / 100,
            samples=samples,
            seed=seed,
            environment=environment,
        )
    if as_json:
        print_json({"ok": True, **report.to_dict()})
    else:
        _draw(report)


def _draw(report: SimulationReport) -> None:
    note(
        f"policy {report.policy} (version {report.policy_version}), {report.sampled:,} decisions drawn"
    )
    headline("Month by month, in USD")
    show(_months(report))
    month = report.pays_from_month
    if month is not None:
        typer.echo(
            f"\nMachines cost less than APIs would ask for their tokens from month {month} on."
        )
    for one in dict.fromkeys((report.months[0], report.months[-1])):
        headline(f"What backends are asked to do in month {one.number}")
        made = Table(
            "backend", "requests", "tokens/s", "in its busiest hour", "of what it can", "overflow",
            "beyond", "cost",
            right=(
                "requests", "tokens/s", "in its busiest hour", "of what it can", "overflow",
                "beyond", "cost",
            ),
        )  # fmt: skip
        for load in one.backends:
            use = load.utilisation_peak
            made.add_row(
                load.name,
                f"{load.requests:,.0f}",
                f"{load.tokens_per_s:,.0f}",
                f"{load.tokens_per_s_peak:,.0f}",
                "-" if use is None else f"{100 * use:,.0f} %",
                percent(load.overflow or None),
                Coloured(percent(load.beyond), "red") if load.beyond else "-",
                usd(load.cost_usd),
            )
        show(made)
        for rule, share in one.denied:
            paragraph(f"{percent(share)} of the requests are denied by {rule}")
    headline("Assumed")
    for text in report.notes:
        paragraph(f"- {text}")


def _months(report: SimulationReport) -> Table:
    right = ("month", "requests", "tokens", "from", "to", "machines", "machines' tokens at APIs")
    made = Table(*right, "holding", right=right)
    for month in report.months:
        cost = month.cost_usd
        made.add_row(
            str(month.number),
            f"{month.requests:,.0f}",
            usd(cost.value),
            usd(cost.low),
            usd(cost.high),
            usd(month.machines_usd),
            usd(month.list_usd) if month.machines_usd else "-",
            "; ".join(month.holding) or "-",
        )
    return made
