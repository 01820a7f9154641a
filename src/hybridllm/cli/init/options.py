"""The options of `init`: each answers a question that would be asked otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Ask nothing; take what would be suggested.")
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint", metavar="URL", help="A server of your own, up to the /v1; may be repeated."
    ),
]
Look = Annotated[
    bool,
    typer.Option("--look/--no-look", help="Look for servers at the usual ports of this machine."),
]
Hosted = Annotated[
    str | None,
    typer.Option(
        "--hosted",
        metavar="NAME,...",
        help="Hosted APIs to write, or none. Default: those whose key is set.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="API=NAME", help="The model to use on a hosted API; may be repeated."
    ),
]
First = Annotated[
    str | None,
    typer.Option("--first", metavar="WHO", help="Who is asked first: own (default) or hosted."),
]
Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--no-private",
        help="Whether some data has to stay on your own servers. Default: if there are any.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="NAME", help="Of your own servers, and a tag that keeps data there."
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        metavar="NAME,...",
        help="What your application does. Default: classify, summarize, chat.",
    ),
]
WithSchema = Annotated[
    bool,
    typer.Option(
        "--with-schema/--no-schema",
        help="Write policy.schema.json beside it, so that editors complete and check.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
OpenaiBaseUrl = Annotated[
    str,
    typer.Option(
        "--openai-base-url",
        metavar="URL",
        envvar="OPENAI_BASE_URL",
        help="Where OPENAI_API_KEY is used, or a server of your own. Default: OPENAI_BASE_URL.",
    ),
]
