"""`hybridllm ledger`: what is in a ledger, whether it is sound, and taking rows out of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import error_line, print_json
from hybridllm.cli.progress import Progress

if TYPE_CHECKING:
    from hybridllm import LedgerUpkeep


class Action(StrEnum):
    """What is done with a ledger."""

    INFO = "info"
    CHECK = "check"
    PRUNE = "prune"
    VACUUM = "vacuum"
    EXPORT = "export"


class Rows(StrEnum):
    """What is exported."""

    ATTEMPTS = "attempts"
    REQUESTS = "requests"


def ledger(
    action: Annotated[
        Action,
        typer.Argument(
            help="info: what is in it. check: whether it is sound. prune: remove rows older than --days. "
            "vacuum: give their room back to the disk. export: write rows into the file --to."
        ),
    ],
    place: Annotated[
        str, typer.Argument(metavar="LEDGER", help="An SQLite file, or a database's URL.")
    ],
    *,
    days: Annotated[
        int | None,
        typer.Option(
            "--days", min=1, metavar="N", help="prune: what is older. export: the last ones."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="export: FILE.csv or FILE.parquet.")
    ] = None,
    rows: Annotated[Rows, typer.Option("--rows", help="export: of what.")] = Rows.ATTEMPTS,
    journal: Annotated[
        Path | None,
        typer.Option("--journal", metavar="FOLDER", help="The routers' journal_dir, if it is set."),
    ] = None,
    as_json: hints.AsJson = False,
) -> None:
    """Look after a ledger: info, check, prune, vacuum, export. Routers may write it meanwhile.

    Examples: `hybridllm ledger check ledger.db`; `hybridllm ledger prune ledger.db --days 90`, and then
    `hybridllm ledger vacuum ledger.db`; `hybridllm ledger export ledger.db --to attempts.parquet --days 30`.
    """
    from hybridllm import LedgerUpkeep

    with errors_told(as_json=as_json):
        upkeep = LedgerUpkeep(place, journal)
        match action:
            case Action.INFO:
                _info(upkeep, as_json=as_json)
            case Action.CHECK:
                _check(upkeep, as_json=as_json)
            case Action.PRUNE:
                if days is None:
                    raise typer.BadParameter("prune: say with --days N what is old")
                with Progress() as progress:
                    removed = upkeep.prune(days, partial(progress.at, what="rows removed"))
                _told(as_json, removed=removed)
            case Action.VACUUM:
                before = upkeep.info().size_bytes
                upkeep.vacuum()
                _told(as_json, size_bytes_before=before, size_bytes=upkeep.info().size_bytes)
            case Action.EXPORT:
                _export(upkeep, to, rows, days, as_json=as_json)


def _info(upkeep: LedgerUpkeep, *, as_json: bool) -> None:
    _told(as_json, **upkeep.info().to_dict())


def _check(upkeep: LedgerUpkeep, *, as_json: bool) -> None:
    wrong = upkeep.check()
    if as_json:
        print_json({"ok": not wrong, "problems": wrong})
    else:
        for line in wrong:
            error_line(line)
        if not wrong:
            typer.echo("sound: every row can be read")
    if wrong:
        raise typer.Exit(Exit.FAILED)


def _export(
    upkeep: LedgerUpkeep, to: Path | None, rows: Rows, days: int | None, *, as_json: bool
) -> None:
    kind = "" if to is None else to.suffix.removeprefix(".")
    if to is None or kind not in ("csv", "parquet"):
        raise typer.BadParameter("export: say with --to FILE.csv or --to FILE.parquet where to")
    since: datetime | None = None
    last = upkeep.info().last_at
    if days is not None and last is not None:
        since = last - timedelta(days=days)
    with Progress() as progress:
        count = upkeep.export(
            to,
            rows=rows.value,
            kind="csv" if kind == "csv" else "parquet",
            since=since,
            on_progress=partial(progress.at, what="rows written"),
        )
    _told(as_json, rows=count, file=str(to))


def _told(as_json: bool, **facts: object) -> None:
    if as_json:
        print_json({"ok": True, **facts})
        return
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        shown = "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
        typer.echo(f"{name.replace('_', ' '):{width}}{shown}")
