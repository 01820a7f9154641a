"""`hybridllm diff`: which requests go another way under a new policy, and what each tag gains and loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import headline, note, paragraph, print_json
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.tables import Cell, Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import PolicyDiff

_HELP = "A policy file, or the name of a shipped one."


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help=_HELP, show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help=_HELP, show_default=False)],
    *,
    environment: hints.Environment = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with code 5 if something changes.")
    ] = False,
    as_json: hints.AsJson = False,
) -> None:
    """Compare two policies: what changes from OLD to NEW.

    Every class of requests that one of them tells apart is decided under both. Shown are the backends that
    each residency tag gains and loses, the requests whose route or candidates change, their order included,
    and what is declared otherwise. Nothing is sent to anybody. Ends with code 0 whatever changes, unless
    --exit-code is given; with code 1 if one of them has problems.
    """
    paths = (policy_path(old), policy_path(new))

    from hybridllm import diff as compared

    with errors_told(as_json=as_json):
        found = compared(*paths, environment=environment)
    if as_json:
        print_json({"ok": True, **found.to_dict()})
    else:
        draw(found, old, new)
    if exit_code and not found.same:
        raise typer.Exit(Exit.CHANGED)


def draw(found: PolicyDiff, old: str, new: str) -> None:
    """Print what changes."""
    for mark, name, matrix in (("-", old, found.old), ("+", new, found.new)):
        environment = matrix.environment or "not declared"
        note(f"{mark} {name} (environment {environment}, version {matrix.version})")
    for text in found.notes:
        paragraph(typer.style("not everything is shown: ", fg="yellow") + text)
    if found.same:
        typer.echo("\nNothing changes, for any request.")
        return
    headline("Backends that requests with a residency tag reach")
    if found.tags:
        show(_tags(found))
    else:
        typer.echo("the same as before, for every tag")
    routed = [change for change in found.changes if change.model is None]
    pinned = [change for change in found.changes if change.model is not None]
    if routed:
        headline("Requests that are decided otherwise")
        for number, change in enumerate(routed, start=1):
            _draw_change(number, change)
    if pinned:
        headline("Requests that pin a model")
        show(_pinned(pinned))
    if found.declared:
        headline("What is declared otherwise")
        show(_declared(found))


def _tags(found: PolicyDiff) -> Table:
    made = Table("residency tag", "gains", "loses", prose=("gains", "loses"))
    for one in found.tags:
        gains: Cell = Coloured(", ".join(one.gained), "red") if one.gained else "-"
        made.add_row(one.tag or "(none)", gains, ", ".join(one.lost) or "-")
    return made


def _draw_change(number: int, change: Any) -> None:
    first, *others = change.requests
    paragraph(f"{number}  {first}")
    for other in others:
        paragraph(f"   or {other}")
    for mark, outcome, colour in (("-", change.old, "red"), ("+", change.new, "green")):
        paragraph(typer.style(f"   {mark} {_outcome(outcome)}", fg=colour))


def _outcome(outcome: Any) -> str:
    if outcome.rule is not None:
        where = f"{outcome.route}: " if outcome.route is not None else ""
        return f"{where}denied by {outcome.rule}"
    return f"{outcome.route}: {'; then '.join(outcome.arranged)}"


def _pinned(changes: Sequence[Any]) -> Table:
    made = Table("model", "requests", "before", "after", prose=("requests", "before", "after"))
    for change in changes:
        sides = (_candidates(change.old), _candidates(change.new))
        made.add_row(change.model, "; ".join(change.requests), *sides)
    return made


def _candidates(outcome: Any) -> str:
    if outcome.rule is not None:
        return f"denied by {outcome.rule}"
    return "; ".join(outcome.arranged)


def _declared(found: PolicyDiff) -> Table:
    made = Table("", "before", "after", prose=("before", "after"))
    for one in found.declared:
        made.add_row(one.what, one.old or "-", one.new or "-")
    return made
