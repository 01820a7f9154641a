"""What a policy may call a model that a server lists."""

from __future__ import annotations

import re

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")
_NAME_LENGTH_MAX = 60
_WIRE_NAME = re.compile(r"[A-Za-z0-9./][A-Za-z0-9._:/@+-]{0,199}\Z")
# What a policy refuses because it may be a key.
_KEY_LIKE = re.compile(
    r"(?<![A-Za-z0-9])(?:[srp]k[-_]|gsk_|hf_|xai-|gh[pousr]_|AIza|AKIA|eyJ"
    r"|(?:nvapi|pplx|glpat|xox[abprs])-[A-Za-z0-9_-]{16}|r8_[A-Za-z0-9]{16})"
)


def logical_name(wire_name: str) -> str:
    """Return what an application calls a model.

    `Qwen/Qwen3-8B`, `qwen3:8b` and `/models/qwen3-8b.gguf` are all `qwen3-8b`.
    """
    last = wire_name.rstrip("/").rpartition("/")[2].lower().removesuffix(".gguf")
    last = last.removesuffix(":latest")
    name = _NOT_IN_A_NAME.sub("-", last).strip("._-")[:_NAME_LENGTH_MAX].rstrip("._-")
    return name or "model"


def can_be_named(wire_name: str) -> bool:
    """Return whether a policy takes both the name of a model and what it would be called there."""
    both = (wire_name, logical_name(wire_name))
    return _WIRE_NAME.match(wire_name) is not None and not any(map(_KEY_LIKE.search, both))
