"""`hybridllm explain`: who would be asked, in which order, who not, and why. Nothing is sent."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import note, paragraph, price_columns, print_json, usd
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.tables import Table, show

if TYPE_CHECKING:
    from hybridllm import Explanation


def explain(
    policy: hints.Policy,
    *,
    task: hints.Task = None,
    residency: hints.Residency = None,
    tenant: hints.Tenant = None,
    feature: hints.Feature = None,
    model: hints.Model = None,
    environment: hints.Environment = None,
    tokens: Annotated[
        int, typer.Option("--tokens", min=0, metavar="N", help="Length of the prompt.")
    ] = 0,
    max_tokens: hints.MaxTokens = None,
    max_cost: hints.MaxCost = None,
    needs: Annotated[
        list[str] | None,
        typer.Option(
            "--needs",
            metavar="NAME,...",
            help="Capabilities: tools, json_schema, vision, audio, logprobs, embeddings, reasoning.",
        ),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="The request is a stream.")] = False,
    as_json: hints.AsJson = False,
) -> None:
    """Show who would be asked, who not, and why.

    It is the very decision that the router takes. Opens no connection and needs no key. Ends with
    code 3 if the policy denies the request.
    """
    path = policy_path(policy)

    from hybridllm import Router

    with errors_told(as_json=as_json):
        explanation = Router.from_file(path, environment=environment).explain(
            task=task,
            residency=residency,
            tenant=tenant,
            feature=feature,
            model=model,
            input_tokens=tokens,
            max_tokens=max_tokens,
            max_cost_usd=max_cost,
            needs=[name for given in needs or () for name in given.split(",")],
            stream=stream,
        )
    if as_json:
        print_json(explanation.to_dict())
    else:
        draw(explanation)
    if not explanation.allowed:
        raise typer.Exit(Exit.DENIED)


def draw(explanation: Explanation) -> None:
    """Print a decision: what was asked, the verdict, who may be asked in order, who may not."""
    told = explanation.to_dict()
    asked = ((name.removesuffix("_estimate"), value) for name, value in told["request"].items())
    note(", ".join(f"{name} {_words(value)}" for name, value in asked))
    if explanation.allowed:
        allowed = typer.style("allowed", fg="green", bold=True)
        typer.echo(f"{allowed} by route {explanation.route} of {told['policy']}\n")
        show(_asked_in_order(told["candidates"]))
        typer.echo()
        show(_reasons(told["candidates"]))
    else:
        denied = typer.style("denied", fg="red", bold=True)
        typer.echo(f"{denied} by {explanation.rule}; nothing would be sent")
        if not told["dropped"]:
            paragraph(told["message"])
    if told["dropped"]:
        typer.echo()
        show(_not_asked(told["dropped"]))


def _asked_in_order(candidates: list[dict[str, Any]]) -> Table:
    columns = ("", "would be asked", "region", "in", "out", "expected cost")
    made = Table(*columns, right=("", "in", "out", "expected cost"))
    for number, one in enumerate(candidates, start=1):
        made.add_row(
            str(number),
            one["candidate"],
            one["region"] or "undeclared",
            *price_columns(_usd(one["usd_per_mtok_in"]), _usd(one["usd_per_mtok_out"])),
            usd(_usd(one["expected_cost_usd"])),
        )
    return made


def _reasons(candidates: list[dict[str, Any]]) -> Table:
    """Return why each stands where it stands; neighbours with the same reason share a line."""
    made = Table("", "because", right=("",), prose=("because",))
    number = 0
    for reason, neighbours in groupby(candidates, key=itemgetter("reason")):
        first, number = number + 1, number + len(list(neighbours))
        made.add_row(str(first) if first == number else f"{first}-{number}", reason)
    return made


def _not_asked(dropped: list[dict[str, Any]]) -> Table:
    made = Table("would not be asked", "for its", "why", prose=("why",))
    for one in dropped:
        made.add_row(one["candidate"], one["reason"], one["detail"])
    return made


def _words(value: Any) -> str:
    return " and ".join(value) if isinstance(value, list) else str(value)


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
