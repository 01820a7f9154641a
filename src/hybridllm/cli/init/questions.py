"""What is asked where a person sits at the terminal, each with the answer that would be taken anyway.

Asked on standard error, so that what is written elsewhere stays clean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

from hybridllm.cli.init.hosted import BY_NAME

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
TAKEN_TAGS = ("public", "private", "deny")
NO_API = "none"
T = TypeVar("T")


def ask_hosted(suggested: Sequence[str]) -> list[str]:
    """Ask which hosted APIs to write."""
    known = ", ".join(BY_NAME)
    question = f"Hosted APIs to write, of {known}, or {NO_API}"
    return _asked(question, ", ".join(suggested) or NO_API, read_hosted)


def ask_private(*, default: bool) -> bool:
    """Ask whether some data has to stay on your own servers."""
    return typer.confirm(
        "Does some data have to stay on your own servers?", default=default, err=True
    )


def ask_region() -> str | None:
    """Ask where your own servers are."""
    question = "Region of your own servers, for data that has to stay there (empty: no such data)"
    return _asked(question, "", lambda text: read_region(text) if text else None)


def ask_first() -> str:
    """Ask who goes first."""
    return _asked("Who is asked first, where both can answer: own or hosted", "own", read_first)


def ask_tasks(suggested: Sequence[str]) -> tuple[str, ...]:
    """Ask what the application does."""
    return _asked("Tasks: what does your application do?", ", ".join(suggested), read_tasks)


def read_hosted(text: str) -> list[str]:
    """Return names of hosted APIs.

    Raises:
        ValueError: If one is not known.
    """
    names = list(dict.fromkeys(words(text)))
    if names == [NO_API]:
        return []
    for name in names:
        if name not in BY_NAME:
            raise ValueError(
                f"{name!r} is not a hosted API that is known; known: {', '.join(BY_NAME)}, or {NO_API}"
            )
    return names


def read_region(text: str) -> str:
    """Return a region.

    Raises:
        ValueError: If it cannot be the name of a region and its tag.
    """
    if not NAME.match(text) or text in TAKEN_TAGS:
        raise ValueError(
            f"{text!r} cannot be a region: letters, digits and . _ : -, and not {', '.join(TAKEN_TAGS)}"
        )
    return text


def read_first(text: str) -> str:
    """Return who goes first.

    Raises:
        ValueError: If that is nobody.
    """
    if text not in ("own", "hosted"):
        raise ValueError(f"{text!r} is neither own nor hosted")
    return text


def read_tasks(text: str) -> tuple[str, ...]:
    """Return task names, each once.

    Raises:
        ValueError: If there is none, or one cannot be a name.
    """
    names = tuple(dict.fromkeys(words(text)))
    if not names:
        raise ValueError("name at least one task")
    for name in names:
        if not NAME.match(name):
            raise ValueError(
                f"{name!r} is not a task's name: letters, digits and . _ : - (a letter or digit first)"
            )
    return names


def words(text: str) -> list[str]:
    """Return what stands between commas and spaces."""
    return [word for word in re.split(r"[,\s]+", text) if word]


def _asked(question: str, default: str, read: Callable[[str], T]) -> T:
    """Ask until the answer can be read."""
    while True:
        text = str(typer.prompt(question, default=default, err=True)).strip()
        try:
            return read(text)
        except ValueError as error:
            typer.echo(f"  {error}", err=True)
