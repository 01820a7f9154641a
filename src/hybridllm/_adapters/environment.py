"""The environment of this process: the only module that reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hybridllm._core.secret import Secret


class Environment(Mapping[str, str]):
    """Variables by name. Its repr shows none of them: a traceback that prints locals prints no key."""

    __slots__ = ("_variables",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return f"Environment({len(self)} variables)"


def process_environment() -> Environment:
    """Return the variables of this process, live."""
    return Environment(os.environ)  # noqa: TID251  # the one place


def environment_of(environ: Mapping[str, str] | None) -> Environment:
    """Return the variables handed in, or without any those of this process, unreadable by repr."""
    if isinstance(environ, Environment):
        return environ
    return process_environment() if environ is None else Environment(environ)


def api_key(environ: Mapping[str, str], name: str) -> Secret | None:
    """Return the key that the variable `name` holds; None if it is not set or empty.

    Raises:
        ValueError: If it cannot be a key; the message names the variable and the rule, never the value.
    """
    return Secret(environ[name], name=name) if environ.get(name) else None
