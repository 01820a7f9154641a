"""The files that `init` writes: checked before they are written, and never over others unasked."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from hybridllm.cli.init.cases import cases_of
from hybridllm.cli.init.choices import Options, elsewhere
from hybridllm.cli.init.draft import Draft
from hybridllm.cli.init.report import Written
from hybridllm.cli.init.write import SCHEMA_NAME, commands, policy_text


def write(options: Options, draft: Draft) -> Written:
    """Write the policy, and the schema beside it if that is wanted.

    Raises:
        PolicyError: If the policy would not load; nothing is written then.
        typer.BadParameter: If a file cannot be written.
    """
    from hybridllm import Router, check

    file = options.file
    shown = shlex.quote(str(file))
    text = policy_text(
        draft,
        file=shown,
        with_schema=options.with_schema,
        base_url_from_variable=elsewhere(options),
    )
    Router.from_text(text, name=file.stem)
    _put(file, text, force=options.force)
    schema, kept = None, False
    if options.with_schema:
        schema = file.parent / SCHEMA_NAME
        kept = not _put_schema(schema, force=options.force)
    return Written(
        file,
        schema,
        kept,
        draft,
        check(file),
        len(list(cases_of(draft))),
        commands(draft, file=shown),
    )


def _put_schema(file: Path, *, force: bool) -> bool:
    """Return whether the schema that lies there now is this version's."""
    from importlib.resources import files

    text = (files("hybridllm") / "data" / SCHEMA_NAME).read_text(encoding="utf-8")
    if file.exists() and not force:
        return file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text
    _put(file, text, force=force)
    return True


def _put(file: Path, text: str, *, force: bool) -> None:
    try:
        with file.open("w" if force else "x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
