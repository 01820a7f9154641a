"""The environment of this process: the only module that reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hybridllm._core.secret import Secret


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process, live."""
    return os.environ  # noqa: TID251  # this is the module that may


def api_key(environ: Mapping[str, str], name: str) -> Secret | None:
    """Return the key that the variable `name` holds; None if it is not set or empty.

    Raises:
        ValueError: If it cannot be a key; the message names the variable and the rule, never the value.
    """
    value = environ.get(name)
    return Secret(value, name=name) if value else None
