"""Where in the schema a path of a file leads: which keys a mapping there may have.

A path is pydantic's, without its hidden steps. Answers for the wording of problems only; whether a file
fits the schema, pydantic has decided before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic.fields import FieldInfo

from hybridllm._core.policy.document import Path
from hybridllm._core.policy.schema import PolicySpec
from hybridllm._core.policy.schema_when import UNWRITTEN
from hybridllm._core.policy.spec import Spec


def keys_of(model: type[Spec]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the keys that a file has for them."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    fields.pop(UNWRITTEN, None)
    return fields


def model_at(path: Path, schema: type[Spec] = PolicySpec) -> type[Spec] | None:
    """Return a schema's model of the mapping at `path`; None: there is none."""
    annotation: Any = schema
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
        keys = keys_of(kind)
        if step in keys:
            yield keys[str(step)].annotation
    elif getattr(kind, "__origin__", None) is dict:
        yield get_args(kind)[1]
    elif getattr(kind, "__origin__", None) is tuple and isinstance(step, int):
        yield get_args(kind)[0]
