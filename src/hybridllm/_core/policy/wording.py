"""pydantic's errors in our words, each at its place in the file.

A message begins with the value as the file has it, says what is allowed, and names the nearest right
name. Validators of ours raise the predicate only (`fields.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hybridllm._core.policy.document import (
    Findings,
    ListNode,
    MapNode,
    Node,
    Path,
    Scalar,
    found,
    key_place,
    plain,
    quoted,
    shown,
)
from hybridllm._core.policy.problems import nearest
from hybridllm._core.policy.schema import BackendTimeoutsSpec, PolicySpec
from hybridllm._core.policy.spec import Spec

_NOT_YET = frozenset(
    {
        "budgets", "capacity", "limits", "overflow", "saturation",
    }
)  # fmt: skip
_HOLDS_A_SECRET = re.compile(
    r"(?:api_?)?key|token|secret|password|authorization|bearer", re.IGNORECASE
)
_QUOTED_WORD = re.compile(r"'([^']*)'")
_SHORT_FORMS = {
    "ServedSpec": "the backend's name for the model, or ",
    "UseSpec": "a model's name, or ",
}
_WHAT_IS_EXPECTED = {
    "string_type": "must be a string; put it in quotation marks",
    "string_unicode": "must be a string of valid Unicode",
    "dict_type": "must be a mapping (name: value)",
    "tuple_type": "must be a list",
    "too_long": "has too many entries",
}


def validated(root: Node, findings: Findings) -> PolicySpec | None:
    """Return the policy's schema filled in, or None with every problem of its shape in `findings`."""
    try:
        return PolicySpec.model_validate(plain(root))
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            _tell(root, details, findings)
        return None


def _tell(root: Node, error: ErrorDetails, findings: Findings) -> None:
    kind, path = error["type"], tuple(error["loc"])
    if kind == "extra_forbidden":
        findings.error(key_place(root, path), path, _unknown_key(path))
        return
    if kind == "reserved":
        findings.error(key_place(root, path), path, _not_yet(str(path[-1])))
        return
    if kind == "missing":
        _tell_missing(root, path, findings)
        return
    if path[-1:] == ("[key]",):
        path = path[:-1]
        place = key_place(root, path)
        message = f"{quoted(str(path[-1]))} {_predicate(error)}"
        if place not in findings.settled:
            findings.error(place, path, message)
        return
    node = found(root, path)
    if node.place in findings.settled:
        return
    if kind == "too_short":
        if _length(node) == 0:  # otherwise its entries are wrong, and told one by one
            findings.error(node.place, path, "must not be empty; leave it out or name at least one")
        return
    written = node.written if isinstance(node, Scalar) else ""
    findings.error(node.place, path, f"{shown(node)} {_predicate(error, path, written)}")


def _tell_missing(root: Node, path: Path, findings: Findings) -> None:
    holder = found(root, path[:-1])
    if holder.place in findings.settled:
        return
    name = str(path[-1])
    model = _model_at(path[:-1])
    description = _keys(model)[name].description if model else None
    findings.error(key_place(root, path[:-1]), path, f"key {name!r} is missing: {description}")


def _length(node: Node) -> int:
    if isinstance(node, MapNode):
        return len(node.entries)
    return len(node.items) if isinstance(node, ListNode) else 1


def _predicate(error: ErrorDetails, path: Path = (), written: str = "") -> str:
    """Return what follows the value in a message."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        return _one_of(str(context["expected"]), written)
    if kind == "model_type":
        model = _model_at(path)
        keys = ", ".join(_keys(model)) if model else ""
        short_form = _SHORT_FORMS.get(model.__name__, "") if model else ""
        return f"must be {short_form}a mapping with the keys {keys}"
    return _WHAT_IS_EXPECTED.get(kind, "is not allowed here")


def _one_of(expected: str, written: str) -> str:
    words = _QUOTED_WORD.findall(expected) or [expected]
    return f"is not allowed here; allowed: {', '.join(words)}{nearest(written, words)}"


def _unknown_key(path: Path) -> str:
    name = str(path[-1])
    if name in _NOT_YET:
        return _not_yet(name)
    model = _model_at(path[:-1])
    if _HOLDS_A_SECRET.fullmatch(name):
        return (
            f"unknown key {name!r}: a policy never holds a key or password; put it into an environment "
            "variable and name that under api_key_env"
        )
    if model is BackendTimeoutsSpec and name == "total":
        return "'total' limits a request, not a backend; set it under a task's timeouts"
    allowed = tuple(_keys(model)) if model else ()
    return f"unknown key {quoted(name)}; allowed: {', '.join(allowed)}{nearest(name, allowed)}"


def _not_yet(name: str) -> str:
    return f"{name!r} is not supported yet in this version"


def _keys(model: type[Spec]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the keys that a file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_at(path: Path) -> type[Spec] | None:
    """Return the schema's model of the mapping at `path`."""
    annotation: Any = PolicySpec
    for step in path:
        annotation = next(
            (inner for kind in _kinds(annotation) for inner in _inner(kind, step)), None
        )
    return next(
        (kind for kind in _kinds(annotation) if isinstance(kind, type) and issubclass(kind, Spec)),
        None,
    )


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield an annotation without its `Annotated`, and every member of a union."""
    if hasattr(annotation, "__metadata__"):
        yield from _kinds(annotation.__origin__)
    elif isinstance(annotation, type) or getattr(annotation, "__origin__", None) in (dict, tuple):
        yield annotation
    else:
        for member in get_args(annotation):
            yield from _kinds(member)


def _inner(kind: Any, step: str | int) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, Spec):
        keys = _keys(kind)
        if step in keys:
            yield keys[str(step)].annotation
    elif getattr(kind, "__origin__", None) is dict:
        yield get_args(kind)[1]
    elif getattr(kind, "__origin__", None) is tuple and isinstance(step, int):
        yield get_args(kind)[0]
