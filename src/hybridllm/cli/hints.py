"""The hints of a request as options, spelt alike by every command that takes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

Policy = Annotated[
    str,
    typer.Argument(
        metavar="POLICY",
        help="A policy file, or the name of a shipped one: api-first, regulated.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Task = Annotated[str | None, typer.Option("--task", metavar="NAME", help="Task class.")]
Residency = Annotated[
    str | None, typer.Option("--residency", metavar="TAG", help="Where the data may go.")
]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Who pays.")]
Feature = Annotated[str | None, typer.Option("--feature", metavar="NAME", help="What it is for.")]
Session = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="Conversation it belongs to.")
]
Priority = Annotated[
    str | None,
    typer.Option("--priority", metavar="NAME", help="interactive, batch or background."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tags", metavar="NAME,...", help="Words that policies may look at."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="KEY=VALUE", help="As often as needed; stays with us."),
]
VectorSpace = Annotated[
    str | None,
    typer.Option("--vector-space", metavar="NAME", help="That embeddings must be of."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Pin a logical model of the policy."),
]
Environment = Annotated[
    str | None,
    typer.Option("--environment", metavar="NAME", help="Instead of the policy's own."),
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Of the answer.")
]
MaxCost = Annotated[
    str | None,
    typer.Option("--max-cost", metavar="USD", help="What the request may be expected to cost."),
]


def listed(given: list[str] | None) -> list[str]:
    """Return the names of an option that takes several, separated by commas or given again."""
    return [name.strip() for text in given or () for name in text.split(",")]


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Return the pairs of an option that is given as KEY=VALUE, again and again.

    Raises:
        typer.BadParameter: If one has another form.
    """
    found = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"{option}: {text!r} is not KEY=VALUE")
        found[key] = value
    return found
