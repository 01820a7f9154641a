"""Whether JSON fits a JSON Schema. The only `jsonschema`; nothing that a schema refers to is fetched.

Loaded where something is judged by a schema: it takes its time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry

from hybridllm.errors import InvalidRequest

_NOTHING_FETCHED: Registry[Any] = Registry()


def misfit(value: Any, schema: Any) -> str | None:
    """Return how a value does not fit; None: it does, or the schema does not tell.

    A schema that is none, or refers outside itself, refuses nobody. Says the keyword that is broken, and no
    name: names in a schema are the caller's content.
    """
    if not isinstance(schema, Mapping | bool):
        return None
    asked: Any = schema
    try:
        broken = next(
            validator_for(asked)(asked, registry=_NOTHING_FETCHED).iter_errors(value), None
        )
    except Exception:  # noqa: BLE001 - a caller's schema may be anything, and lead back to itself
        return None
    return None if broken is None else f"does not fit its schema ({broken.validator or 'false'})"


def fits_schema(schema: Any) -> Callable[[str], bool]:
    """Return what tells whether a text is JSON that fits a schema.

    Raises:
        InvalidRequest: If it is no schema.
    """
    if not isinstance(schema, Mapping | bool):
        raise InvalidRequest(
            f"a JSON schema is an object, as {{'type': 'object'}}; got {type(schema).__name__}"
        )
    asked: Any = schema
    kind = validator_for(asked)
    try:
        kind.check_schema(asked)
    except SchemaError as error:
        raise InvalidRequest(f"it is no JSON schema: {error.message[:200]}") from None
    validator = kind(asked, registry=_NOTHING_FETCHED)

    def fits(text: str) -> bool:
        try:
            return bool(validator.is_valid(json.loads(text)))
        except (ValueError, RecursionError):
            return False

    return fits
