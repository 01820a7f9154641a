"""The files that `init` writes: checked before they are written, and never over others unasked.

Each is written beside its place and then takes it: through no link, and never by half.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from secrets import token_hex
from shutil import copymode
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from hybridllm.cli.init.cases import cases_of
from hybridllm.cli.init.choices import Options, elsewhere
from hybridllm.cli.init.draft import Draft
from hybridllm.cli.init.report import Written
from hybridllm.cli.init.write import SCHEMA_NAME, commands, policy_text

if TYPE_CHECKING:
    from hybridllm import PolicyReport

_SCHEMA_BYTES_MAX = 4_194_304


def check_targets(options: Options) -> None:
    """Refuse places that cannot be written, before anything is looked at, asked or written.

    Raises:
        typer.BadParameter: With the place and what to do instead.
    """
    file = options.file
    if file.exists() and not file.is_file():
        raise typer.BadParameter(f"{file} is no ordinary file; name another one")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"the folder {file.parent} cannot be written to; name another one")
    if not options.with_schema:
        return
    schema = file.parent / SCHEMA_NAME
    if file.name == SCHEMA_NAME:
        raise typer.BadParameter(f"{file} is the schema's name; name another file")
    if schema.is_symlink() and not schema.exists():
        raise typer.BadParameter(
            f"{schema} is a link that leads nowhere; remove it, or give --no-schema"
        )


def write(options: Options, draft: Draft) -> Written:
    """Write the policy, and the schema beside it if that is wanted.

    Raises:
        PolicyError: If the policy would not load; nothing is written then.
        typer.BadParameter: If tests beside it would refuse it, or a file cannot be written; nor is it then.
    """
    from hybridllm import Router

    file = options.file
    shown = shlex.quote(str(file))
    text = policy_text(
        draft,
        file=shown,
        with_schema=options.with_schema,
        base_url_from_variable=elsewhere(options),
    )
    Router.from_text(text, name=file.stem)
    report = _rehearsed(file, text, force=options.force)
    schema = file.parent / SCHEMA_NAME if options.with_schema else None
    contents, kept = {file: text}, False
    if schema is not None:
        ours = (files("hybridllm") / "data" / SCHEMA_NAME).read_text(encoding="utf-8")
        there = _schema_text(schema)
        kept = there is not None and there != ours
        if there is None or (kept and options.force and _identity(there) == _identity(ours)):
            contents, kept = {schema: ours, file: text}, False
    _put(contents, force=options.force)
    count = len(list(cases_of(draft)))
    return Written(file, schema, kept, draft, report, count, commands(draft, file=shown))


def _rehearsed(file: Path, text: str, *, force: bool) -> PolicyReport:
    """Return what `check` will say of the policy at its place, with the tests that lie beside it.

    Raises:
        typer.BadParameter: If those refuse it, and it is not to be written all the same.
    """
    from hybridllm import PolicyError, check

    ending = ".yml" if file.suffix == ".yml" else ".yaml"
    tests = file.with_name(f"{file.stem}.test{ending}")
    with TemporaryDirectory() as folder:
        rehearsal = Path(folder) / file.name
        rehearsal.write_text(text, encoding="utf-8")
        report = check(rehearsal)
        problems = report.problems
        beside = rehearsal.with_name(tests.name)
        if os.path.lexists(tests):
            try:
                beside.write_bytes(_content(tests))
                report = check(rehearsal)
                problems = report.problems
            except PolicyError as error:
                problems = (*problems, *error.problems)
        places = {str(rehearsal): str(file), str(beside): str(tests)}
    told = tuple(replace(one, file=places.get(one.file, one.file)) for one in problems)
    refused = [one for one in told if not one.warning]
    if refused and not force:
        raise typer.BadParameter(
            f"{tests} lies beside it and refuses this policy: {refused[0]}; nothing is written. Name "
            "another file, or give --force to write it all the same"
        )
    return replace(report, problems=told)


def _content(tests: Path) -> bytes:
    try:
        if tests.is_file():
            return tests.read_bytes()
        reason: str | None = "it is no ordinary file"
    except OSError as error:
        reason = error.strerror
    raise typer.BadParameter(f"{tests} lies beside it and cannot be read: {reason}")


def _schema_text(schema: Path) -> str | None:
    """Return what lies at the schema's place; empty if it cannot be a schema; None: nothing does."""
    try:
        if not schema.exists():
            return None
        if not schema.is_file() or schema.stat().st_size > _SCHEMA_BYTES_MAX:
            return ""
        return schema.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _identity(schema: str) -> tuple[object, ...]:
    """Return what a schema says it is; empty if it is none."""
    try:
        value = json.loads(schema)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(value, Mapping):
        return ()
    return tuple(value.get(key) for key in ("$schema", "$id", "title"))


def _put(contents: Mapping[Path, str], *, force: bool) -> None:
    """Put texts in their places: all of them, or none if one cannot be written."""
    beside = {file: file.with_name(f".{token_hex(8)}.tmp") for file in contents}
    claimed: list[Path] = []
    try:
        for file, text in contents.items():
            with _told(file):
                _write_beside(beside[file], text, file)
        for file in contents if not force else ():
            with _told(file):
                file.open("x").close()
                claimed.append(file)
        for file, new in beside.items():
            with _told(file):
                new.replace(file)  # a link that stands there is replaced, not followed
        claimed.clear()
    finally:
        for left in (*beside.values(), *claimed):
            with suppress(OSError):
                left.unlink()


def _write_beside(new: Path, text: str, file: Path) -> None:
    with new.open("x", encoding="utf-8", newline="\n") as opened:
        opened.write(text)
    if file.exists() and not file.is_symlink():
        copymode(file, new)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
