"""`hybridllm prices`: a sheet from a catalogue, a policy beside a catalogue, and out to tracing backends."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import EXIT_CODES, Exit
from hybridllm.cli.output import note, print_json, usd_per_mtok
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.tables import Coloured, Table, show

if TYPE_CHECKING:
    from datetime import datetime

    from hybridllm import PriceCatalogue, PriceComparison, PriceExport

prices = typer.Typer(
    help="Prices: import them from a catalogue, compare a policy with one, export them to tracing backends.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Source(StrEnum):
    """A catalogue of prices."""

    GENAI = "genai-prices"
    LITELLM = "litellm"


class Target(StrEnum):
    """A tracing backend that keeps prices of its own."""

    PHOENIX = "phoenix"
    MLFLOW = "mlflow"
    LANGFUSE = "langfuse"


File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="LiteLLM's model_prices_and_context_window.json; no network."
    ),
]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="NAME,...",
        help="Who sells it, as the catalogue says: openai,anthropic.",
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="DATE", help="Prices in force then: 2026-11-01. Default: now."),
]


@prices.command("import", epilog=EXIT_CODES)
def import_(
    *,
    models: Annotated[
        list[str],
        typer.Option("--model", metavar="NAME,...", help="Names, or patterns with *, ? and [abc]."),
    ],
    source: Annotated[
        Source, typer.Option("--from", help="Catalogue: genai-prices (extra `prices`), or litellm.")
    ] = Source.GENAI,
    file: File = None,
    provider: Providers = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="First day of what the catalogue dates not."),
    ] = None,
    as_json: hints.AsJson = False,
) -> None:
    """Print a price sheet from a catalogue, to look it over and keep it in the policy or beside it.

    Example: hybridllm prices import --from litellm --file model_prices_and_context_window.json --model gpt-4o
    """
    from hybridllm import imported_prices

    begins = _moment(since, "--since")
    with errors_told(as_json=as_json):
        found = imported_prices(
            _catalogue(source, file),
            hints.listed(models),
            providers=hints.listed(provider),
            since=None if begins is None else begins.date(),
        )
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(found.text, nl=False)
    for model in found.unknown:
        note_error(f"{model}: not in {source.value}")
    if found.unknown:
        raise typer.Exit(Exit.FAILED)


@prices.command("diff", epilog=EXIT_CODES)
def diff(
    policy: hints.Policy,
    *,
    source: Annotated[
        Source, typer.Option("--with", help="Catalogue: genai-prices (extra `prices`), or litellm.")
    ] = Source.GENAI,
    file: File = None,
    provider: Providers = None,
    at: At = None,
    as_json: hints.AsJson = False,
) -> None:
    """Compare a policy's prices of hosted models with a catalogue; ends with 5 if a rate differs.

    Example: hybridllm prices diff team.yaml --with litellm --file model_prices_and_context_window.json
    """
    from hybridllm import check, price_drift

    path, moment = policy_path(policy), _moment(at, "--at")
    with errors_told(as_json=as_json):
        report = check(path)
        found = price_drift(
            report.policy, _catalogue(source, file), providers=hints.listed(provider), at=moment
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _draw(found, source.value)
    if found.drifts:
        raise typer.Exit(Exit.CHANGED)


@prices.command("export", epilog=EXIT_CODES)
def export(
    policy: hints.Policy,
    *,
    target: Annotated[
        Target, typer.Option("--to", help="Tracing backend: phoenix, mlflow or langfuse.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="File, for mlflow a folder. Default: print."),
    ] = None,
    at: At = None,
    as_json: hints.AsJson = False,
) -> None:
    """Write a policy's prices as a tracing backend takes them, so that it shows what we charge.

    phoenix: bodies for its /graphql. langfuse: bodies for its /api/public/models. mlflow: files for the
    folder that MLFLOW_MODEL_CATALOG_URI names.
    Example: hybridllm prices export api-first --to mlflow --out catalog
    """
    from hybridllm import check, exported_prices

    path, moment = policy_path(policy), _moment(at, "--at")
    with errors_told(as_json=as_json):
        found = exported_prices(check(path).policy, target.value, at=moment)
    if out is not None:
        _write(found, out)
    elif not as_json:
        print_json(found.payload)
    if as_json:
        print_json(found.to_dict())
    else:
        for words in found.left_out:
            note_error(f"not said there: {words}")


def note_error(words: str) -> None:
    """Print a line that matters less on standard error."""
    typer.echo(typer.style(words, dim=True), err=True)


def _catalogue(source: Source, file: Path | None) -> PriceCatalogue:
    from hybridllm import price_catalogue

    return price_catalogue(source.value, file)


def _moment(value: str | None, option: str) -> datetime | None:
    from datetime import UTC, datetime

    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter(f"{option}: {value!r} is no date like 2026-11-01") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _draw(found: PriceComparison, catalogue: str) -> None:
    if found.drifts:
        made = Table("candidate", "rate", "here", catalogue, "differs", prose=("candidate",))
        for one in found.drifts:
            share = "-" if one.share is None else f"{one.share:+.1%}"
            ours: Any = "-" if one.ours is None else usd_per_mtok(one.ours)
            theirs = "-" if one.theirs is None else usd_per_mtok(one.theirs)
            made.add_row(one.candidate, one.rate, Coloured(ours, "red"), theirs, share)
        show(made)
    note(f"the same: {', '.join(found.equal) or 'none'}")
    if found.unknown:
        note(f"not in the catalogue: {', '.join(found.unknown)}")


def _write(found: PriceExport, out: Path) -> None:
    files = {out: found.payload}
    if found.to == Target.MLFLOW:
        files = {out / name: content for name, content in found.payload.items()}
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(f"--out: {path} cannot be written: {error.strerror}") from None
        note_error(f"written: {path}")
