"""The options of commands that read a ledger, spelt alike, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hybridllm.cli.borders import errors_told
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from hybridllm import Policy

Ledger = Annotated[
    str,
    typer.Argument(
        metavar="LEDGER",
        help="A ledger's file, or a database's URL. Default: ledger.db.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="30d, 12h, 2026-11-01, 2026-11, today, 'last month', ...; UTC.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="TIME", help="Itself left out. Default: now, or where --since ends."
    ),
]
PolicyFile = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="Says what own machines and models cost where the ledger does not.",
    ),
]
DEFAULT_LEDGER = "ledger.db"


def policy_named(name: str | None) -> Policy | None:
    """Return the policy of `--policy`, loaded; None if none is named."""
    if name is None:
        return None
    from hybridllm import check

    return check(policy_path(name)).policy


@contextmanager
def questions_told(*, as_json: bool) -> Iterator[None]:
    """Turn a time, a grouping or a model that is none into wrong usage, and our errors into theirs."""
    with errors_told(as_json=as_json):
        try:
            yield
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


def shown_text(value: str) -> str:
    """Return somebody else's name fit for a terminal: what would move the cursor is shown as an escape."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in value)
