"""`hybridllm costs`: its options, and where its report goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli import ledger_options as options
from hybridllm.cli.output import print_json
from hybridllm.cli.pictures import ready_to_draw, save
from hybridllm.cli.progress import Progress

if TYPE_CHECKING:
    from hybridllm import CostReport

_STEPS = 5
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="KEY,...",
        help="tenant, feature, task, route, backend, model, user, session, policy, day, hour, or a "
        "declared key; several: every combination. Default: tenant.",
    ),
]


def costs(
    ledger: options.Ledger = options.DEFAULT_LEDGER,
    *,
    by: By = None,
    since: options.Since = None,
    until: options.Until = None,
    policy: options.PolicyFile = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Also: what all of it had cost on this one."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, metavar="N", help="Rows that are shown; all in files.")
    ] = 40,
    settle: Annotated[
        bool,
        typer.Option("--settle", help="First write own machines' costs of days that are over."),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values on standard output.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw it, .png, .svg or .pdf (needs the extra `plots`)."
        ),
    ] = None,
    as_json: hints.AsJson = False,
) -> None:
    """Tell what requests cost, by any key: shares, successes, latency, waste, and what it had cost elsewhere.

    Costs are those of the tokens plus the share in what own machines cost by the month. What nobody knows is
    counted apart, never as 0.

    Example: hybridllm costs ledger.db --by tenant,model --since 'last month'
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json: one of them")
    if plot is not None:
        ready_to_draw(plot)

    import hybridllm

    groupings = tuple(hints.listed(by)) or ("tenant",)
    progress = Progress(_STEPS)
    with options.questions_told(as_json=as_json):
        rules = options.policy_named(policy)
        if settle:
            hybridllm.settle(ledger, policy=rules)
        with progress:
            report = hybridllm.costs(
                ledger,
                by=groupings,
                since=since,
                until=until,
                policy=rules,
                model=model,
                on_step=progress.on,
            )
    if plot is not None:
        _draw(plot, report, quiet=as_json or as_csv)
    _print(report, as_json=as_json, as_csv=as_csv, top=top)


def _print(report: CostReport, *, as_json: bool, as_csv: bool, top: int) -> None:
    if as_json:
        print_json({"ok": True, **report.to_dict()})
    elif as_csv:
        from hybridllm.cli.costs.comma_separated import csv_text

        typer.echo(csv_text(report), nl=False)
    else:
        from hybridllm.cli.costs.screen import draw

        draw(report, top=top)


def _draw(file: Path, report: CostReport, *, quiet: bool) -> None:
    from hybridllm.cli.costs.plots import draw

    save(draw(report), file)
    if not quiet:
        typer.echo(typer.style(f"{file}", dim=True), err=True)
