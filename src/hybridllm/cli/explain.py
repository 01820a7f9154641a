"""`hybridllm explain`: who would be asked, in which order, who not, and why. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.explain_tables import draw
from hybridllm.cli.output import print_json
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.world import world_of
from hybridllm.cli.world_load import volumes_of

if TYPE_CHECKING:
    from hybridllm import Explanation

Tokens = Annotated[int, typer.Option("--tokens", min=0, metavar="N", help="Length of the prompt.")]
Operation = Annotated[str, typer.Option("--operation", metavar="NAME", help="chat or embeddings.")]
Needs = Annotated[
    list[str] | None,
    typer.Option(
        "--needs",
        metavar="NAME,...",
        help="Capabilities: tools, json_schema, vision, audio, logprobs, embeddings, reasoning.",
    ),
]
Stream = Annotated[bool, typer.Option("--stream", help="The request is a stream.")]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="KEY=VALUE",
        help="A state of the world, as often as needed: down=BACKEND, inflight=BACKEND:12, chance=0.5, "
        "p90=BACKEND:1200ms or p90=BACKEND/MODEL:1200ms (time to the first token; p50, p90, p95, p99), "
        "total-p90=BACKEND:2s (time to a whole answer), BACKEND.kv=0.93, BACKEND.waiting=9, "
        "BACKEND.wait=2000ms, BACKEND.cold=15s, BACKEND.saturated, BACKEND.rate_limited, BACKEND.out, "
        "BACKEND.budget; without BACKEND: of every own one.",
    ),
]
Volume = Annotated[
    list[str] | None,
    typer.Option(
        "--volume",
        metavar="AMOUNT/WINDOW",
        help="What has come in, as often as needed: 600M/d, '6000 requests/h', '$50/month', task:x=5M/d.",
    ),
]
Sustained = Annotated[
    str | None,
    typer.Option(
        "--sustained",
        metavar="DAYS",
        help="On so many days in a row it came: 120d. With --volume per day.",
    ),
]
BreakEven = Annotated[
    str | None,
    typer.Option(
        "--break-even",
        metavar="SIDE",
        help="above: the APIs would cost more than own machines; below: less.",
    ),
]
Now = Annotated[
    str | None,
    typer.Option(
        "--now", metavar="TIME", help="The time, with its zone: 2026-12-01T09:00Z. Default: now."
    ),
]
Carried = Annotated[
    list[str] | None,
    typer.Option(
        "--carried", metavar="TAG,...", help="Residency tags that the session has carried before."
    ),
]
Tree = Annotated[bool, typer.Option("--tree", help="Print a tree, as `print(explanation)` does.")]
Mermaid = Annotated[
    bool, typer.Option("--mermaid", help="Print a flowchart in Mermaid's language.")
]


def explain(
    policy: hints.Policy,
    *,
    task: hints.Task = None,
    residency: hints.Residency = None,
    tenant: hints.Tenant = None,
    feature: hints.Feature = None,
    session: hints.Session = None,
    tags: hints.Tags = None,
    metadata: hints.Metadata = None,
    model: hints.Model = None,
    vector_space: hints.VectorSpace = None,
    environment: hints.Environment = None,
    operation: Operation = "chat",
    tokens: Tokens = 0,
    max_tokens: hints.MaxTokens = None,
    max_cost: hints.MaxCost = None,
    needs: Needs = None,
    stream: Stream = False,
    at: At = None,
    volume: Volume = None,
    sustained: Sustained = None,
    break_even: BreakEven = None,
    now: Now = None,
    carried: Carried = None,
    tree: Tree = False,
    mermaid: Mermaid = False,
    as_json: hints.AsJson = False,
) -> None:
    """Show who would be asked, who not, and why, in any state of the world.

    It is the very decision that the router takes. Opens no connection and needs no key. Ends with
    code 3 if the policy denies the request.
    """
    if tree + mermaid + as_json > 1:
        raise typer.BadParameter("--tree, --mermaid and --json exclude each other; give one")
    path = policy_path(policy)
    request: dict[str, Any] = {
        "operation": operation,
        "task": task,
        "residency": residency,
        "tenant": tenant,
        "feature": feature,
        "session": session,
        "tags": hints.listed(tags) or None,
        "metadata": hints.pairs("--metadata", metadata or ()) or None,
        "model": model,
        "vector_space": vector_space,
        "input_tokens": tokens,
        "max_tokens": max_tokens,
        "max_cost_usd": max_cost,
        "needs": hints.listed(needs),
        "stream": stream or None,  # embeddings have no such field
        "world": world_of(
            at or (),
            now=now,
            carried=hints.listed(carried),
            volumes=volumes_of(volume or [], sustained),
            break_even=break_even,
        ),
    }

    from hybridllm import Router

    given = {name: value for name, value in request.items() if value is not None}
    with errors_told(as_json=as_json):
        explanation = Router.from_file(path, environment=environment).explain(**given)
    _print(explanation, tree=tree, mermaid=mermaid, as_json=as_json)
    if not explanation.allowed:
        raise typer.Exit(Exit.DENIED)


def _print(explanation: Explanation, *, tree: bool, mermaid: bool, as_json: bool) -> None:
    if as_json:
        print_json(explanation.to_dict())
    elif mermaid:
        typer.echo(explanation.to_mermaid(), nl=False)
    elif tree:
        typer.echo(str(explanation))
    else:
        draw(explanation)
