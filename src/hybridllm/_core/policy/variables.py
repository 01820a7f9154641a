"""`${NAME}` and `${NAME:-default}` in the values of a policy, and keys that must not stand there.

Only values, never names; what a variable holds stays a string, is not looked through for further
references, and is not shown in messages. `$${` is a literal `${`. `api_key_env` is left alone: it
names a variable, and what that variable holds must never get into a policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hybridllm._core.policy.document import (
    Entry,
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Scalar,
    looks_like_key,
    quoted,
)

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\Z", re.DOTALL)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME_OF_A_SECRET = re.compile(
    r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)\Z", re.IGNORECASE
)
_VALUE_LENGTH_MAX = 4096
_NAME_LENGTH_MAX = 128
_REFERENCES_MAX = 32  # in one value: a megabyte of them could stand for gigabytes
_NOT_A_REFERENCE = (
    "is not a reference to a variable; write ${NAME} or ${NAME:-default}, or $${ for a literal ${"
)
_KEY_HELD = (
    "looks like an API key; a policy never holds one: put it into an environment variable and name "
    "that under api_key_env"
)


def with_variables(root: Node, environ: Mapping[str, str], findings: Findings) -> Node:
    """Return the tree with its variables in place; what cannot be resolved is told and left empty."""
    return _Resolver(environ, findings).node(root, ())


class _Resolver:
    def __init__(self, environ: Mapping[str, str], findings: Findings) -> None:
        self._environ = environ
        self._findings = findings

    def node(self, node: Node, path: Path) -> Node:
        """Return a node with its variables in place; the very same one if there are none."""
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if isinstance(node, MapNode):
            return self._mapping(node, path)
        items = [self.node(item, (*path, index)) for index, item in enumerate(node.items)]
        same = all(new is old for new, old in zip(items, node.items, strict=True))
        return node if same else ListNode(tuple(items), node.place)

    def _mapping(self, node: MapNode, path: Path) -> MapNode:
        changed: dict[str, Entry] = {}
        for key, entry in node.entries.items():
            if looks_like_key(key):
                self._findings.settle(entry.key_place, path, f"this name {_KEY_HELD}")
            value = self.node(entry.value, (*path, key))
            if value is not entry.value:
                changed[key] = Entry(key, entry.key_place, value)
        return MapNode({**node.entries, **changed}, node.place) if changed else node

    def _scalar(self, node: Scalar, path: Path) -> Scalar:
        value = node.value
        if not isinstance(value, str):
            return node
        if looks_like_key(value):
            self._findings.settle(node.place, path, f"this value (not shown) {_KEY_HELD}")
            return Scalar(None, node.place, "")
        if "${" not in value or path[-1:] == ("api_key_env",):
            return node
        try:
            return Scalar(self._resolved(value), node.place, node.written)
        except ValueError as error:
            self._findings.settle(node.place, path, str(error))
            return Scalar(None, node.place, node.written)

    def _resolved(self, value: str) -> str:
        if value.count("${") > _REFERENCES_MAX:
            raise ValueError(f"{quoted(value)} holds more than {_REFERENCES_MAX} references")
        resolved = _REFERENCE.sub(self._replacement, value)
        if len(resolved) > _VALUE_LENGTH_MAX:
            raise ValueError(
                f"{quoted(value)} is longer than {_VALUE_LENGTH_MAX} characters with its variables in place"
            )
        if looks_like_key(resolved):  # of several pieces: `sk-${REST}`
            raise ValueError(f"{quoted(value)}, with its variables in place, {_KEY_HELD}")
        return resolved

    def _replacement(self, reference: re.Match[str]) -> str:
        if reference[0] == "$${":
            return "${"
        inside = _INSIDE.match(reference[1])
        if inside is None or not reference[2] or "${" in reference[1]:
            raise ValueError(f"{quoted(reference[0])} {_NOT_A_REFERENCE}")
        name, default = inside.groups()
        if len(name) > _NAME_LENGTH_MAX:
            raise ValueError(f"{quoted(reference[0])} {_NOT_A_REFERENCE}")
        if _NAME_OF_A_SECRET.search(name):
            raise ValueError(
                f"environment variable {name!r} holds a secret, which never gets into a policy; the key of a "
                f"backend is named, not put in: `api_key_env: {name}`"
            )
        value = self._environ.get(name, "")
        if not value and default is not None:
            return str(default)
        if name not in self._environ:
            raise ValueError(
                f"environment variable {name!r} is not set; set it, or write ${{{name}:-default}}"
            )
        if looks_like_key(value):
            raise ValueError(f"environment variable {name!r} holds what {_KEY_HELD}")
        if len(value) > _VALUE_LENGTH_MAX or _CONTROL.search(value):
            raise ValueError(
                f"environment variable {name!r} is longer than {_VALUE_LENGTH_MAX} characters or holds "
                "control characters"
            )
        return value
