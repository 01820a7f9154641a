"""`hybridllm init`: its options, its course, its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit

if TYPE_CHECKING:
    from hybridllm.cli.init.choices import Options


def init(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to write it.", show_default="policy.yaml"),
    ] = Path("policy.yaml"),
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take what would be suggested.")
    ] = False,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint", metavar="URL", help="A server of your own, to the /v1; may be repeated."
        ),
    ] = None,
    look: Annotated[
        bool,
        typer.Option(
            "--look/--no-look", help="Look for servers at the usual ports of this machine."
        ),
    ] = True,
    hosted: Annotated[
        str | None,
        typer.Option(
            "--hosted",
            metavar="NAME,...",
            help="Hosted APIs to write, or none. Default: those whose key is set.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="API=NAME", help="The model to use on a hosted API; may be repeated."
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--first", metavar="WHO", help="own or hosted: who is asked first. Default: own."
        ),
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--no-private",
            help="Whether some data has to stay on your own servers. Default: if there are any.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region", metavar="NAME", help="Of your own servers, and a tag that keeps data there."
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="NAME,...",
            help="What your application does. Default: classify, summarize, chat.",
        ),
    ] = None,
    with_schema: Annotated[
        bool,
        typer.Option(
            "--with-schema/--no-schema",
            help="Write policy.schema.json beside it, so that editors complete and check.",
        ),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    openai_base_url: Annotated[
        str,
        typer.Option(
            "--openai-base-url",
            metavar="URL",
            envvar="OPENAI_BASE_URL",
            help="Where OPENAI_API_KEY is used, or a server of your own. Default: OPENAI_BASE_URL.",
        ),
    ] = "",
    as_json: hints.AsJson = False,
) -> None:
    """Look around, ask a few questions, write a starter policy.

    Looks for variables that usually hold keys (only their names are shown or written) and asks servers
    at the usual ports of vLLM, SGLang, Ollama, llama.cpp, TGI and LM Studio on this machine for their
    models. No key is sent to anybody. What it writes has comments, has tests, and passes `check`.

    Asks nothing with --yes, with --json, or where standard input is no terminal.
    """
    from hybridllm.cli.init.choices import Options

    options = Options(
        file=file,
        ask=not (yes or as_json) and _at_a_terminal(),
        endpoints=tuple(endpoint or ()),
        look=look,
        hosted=hosted,
        models=tuple(model or ()),
        first=first,
        private=private,
        region=region,
        tasks=tasks,
        with_schema=with_schema,
        force=force,
        openai_base_url=openai_base_url.strip(),
    )
    with errors_told(as_json=as_json):
        try:
            _run(options, as_json=as_json)
        except typer.Abort:
            raise KeyboardInterrupt from None


def _at_a_terminal() -> bool:
    import sys

    return sys.stdin.isatty()


def _run(options: Options, *, as_json: bool) -> None:
    from hybridllm.cli.init import choices, report
    from hybridllm.cli.init.files import write

    choices.check_options(options)
    found = choices.look_around(options)
    if not as_json:
        report.tell_found(found)
    if options.ask:
        typer.echo("", err=True)
    draft = choices.chosen(options, found)
    written = write(options, draft)
    if as_json:
        report.tell_json(written, found=found)
    else:
        report.tell_written(written, found=found)
    raise typer.Exit(Exit.OK)
