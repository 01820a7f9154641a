"""What `init` found and wrote, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.borders import problem_facts
from hybridllm.cli.init.ask_servers import REFUSED
from hybridllm.cli.init.draft import PRIVATE, Draft, Side
from hybridllm.cli.init.hosted import APIS, HostedApi
from hybridllm.cli.init.servers import ASKS_FOR_A_KEY, KINDS, Server
from hybridllm.cli.output import headline, plural, print_json

if TYPE_CHECKING:
    from hybridllm import PolicyReport

_MODELS_SHOWN_MAX = 4


@dataclass(frozen=True, slots=True)
class Found:
    """What the look around showed.

    Attributes:
        servers: All that were asked, in order.
        keys: Hosted APIs whose key is set.
        looked: Whether the usual places on this machine were looked at.
    """

    servers: tuple[Server, ...]
    keys: tuple[HostedApi, ...]
    looked: bool

    @property
    def locked(self) -> tuple[Server, ...]:
        """Servers that ask for a key, which is never sent here."""
        return tuple(server for server in self.servers if server.problem == ASKS_FOR_A_KEY)

    @property
    def usable(self) -> tuple[Server, ...]:
        """Servers that a policy can name."""
        return tuple(server for server in self.servers if server.problem is None)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        file: As it was named.
        schema: Beside it; None: none was asked for.
        schema_kept: True if another schema lies there already and was left alone.
        report: What `check` says of the policy; with --force, also of tests beside it that fail.
        tests: How many it holds.
        commands: To type next.
    """

    file: Path
    schema: Path | None
    schema_kept: bool
    draft: Draft
    report: PolicyReport
    tests: int
    commands: Sequence[str]


def tell_found(found: Found) -> None:
    """Print what is there."""
    headline("Found")
    for server in found.servers:
        if server.problem is None:
            typer.echo(f"  {server.title}: {_names(server)}")
        elif server.named or server.problem != REFUSED:
            typer.echo(f"  {server.base_url}: not used, it {server.problem}")
    for api in found.keys:
        typer.echo(f"  {api.variable} is set: {api.title}")
    if not found.usable and found.looked:
        kinds = ", ".join(f"{kind.title} ({kind.port})" for kind in KINDS)
        typer.echo(f"  no server on this machine at the usual ports: {kinds}")
    if not found.keys:
        typer.echo(f"  none of these keys: {', '.join(api.variable for api in APIS)}")


def tell_written(written: Written, *, found: Found) -> None:
    """Print what was written, its doubts, and what to type next."""
    draft, problems = written.draft, written.report.problems
    headline("Wrote")
    counts = ", ".join(
        plural(count, word)
        for count, word in (
            (len(draft.own) + len(draft.hosted), "backend"),
            (len(draft.models), "model"),
            (len(draft.routes), "route"),
            (written.tests, "test"),
        )
    )
    typer.echo(f"  {written.file}: {counts}")
    if written.schema is not None:
        kept = "was there already and is another one, kept"
        state = kept if written.schema_kept else "for completion in editors"
        typer.echo(f"  {written.schema}: {state}")
    for line in _where_data_goes(draft):
        typer.echo(f"  {line}")
    for problem in problems:
        typer.echo(typer.style(f"  {problem}", fg="yellow"), err=True)
    if not problems:
        typer.echo("  `hybridllm check` finds no problems")
    if not found.usable and not found.keys:
        api = draft.hosted[0]
        typer.echo(
            f"  no server and no key was found: set {api.variable} to a key of {api.title}, or start a "
            "server and run this again with --force"
        )
    headline("Next")
    for command in written.commands:
        typer.echo(f"  {command}")


def _where_data_goes(draft: Draft) -> Iterator[str]:
    hosted = " and ".join(api.name for api in draft.hosted)
    own = " and ".join(one.name for one in draft.own if one.is_surely_own)
    if hosted and draft.own:
        when = "first" if draft.wishes.first is Side.HOSTED else "when your own servers fail"
        yield f"a request without a tag may go to {hosted} {when}"
    if draft.wishes.private:
        yield f"a request tagged {PRIVATE} goes to {own or 'nobody yet, and is denied'}"


def tell_json(written: Written, *, found: Found) -> None:
    """Print the same as one object."""
    draft = written.draft
    print_json(
        {
            "ok": True,
            "file": str(written.file),
            "schema": None if written.schema is None else str(written.schema),
            "schema_kept": written.schema_kept,
            "found": {
                "servers": [_server(server) for server in found.servers],
                "keys": [{"api": api.name, "variable": api.variable} for api in found.keys],
            },
            "backends": [*(own.name for own in draft.own), *(api.name for api in draft.hosted)],
            "models": [model.name for model in draft.models],
            "routes": [route.name for route in draft.routes],
            "tests": written.tests,
            "warnings": [problem_facts(problem) for problem in written.report.problems],
            "next": list(written.commands),
        }
    )


def _server(server: Server) -> dict[str, Any]:
    return {
        "base_url": server.base_url,
        "kind": server.kind.backend if server.problem is None else None,
        "models": [listed.name for listed in server.models],
        "left_out": dict(server.left_out),
        "problem": server.problem,
    }


def _names(server: Server) -> str:
    names = [listed.name for listed in server.models]
    more = len(names) - _MODELS_SHOWN_MAX
    shown = ", ".join(names[:_MODELS_SHOWN_MAX])
    parts = [f"{shown} and {more:,} more" if more > 0 else shown]
    parts += [f"{count:,} left out ({reason})" for reason, count in server.left_out]
    return "; ".join(parts)
