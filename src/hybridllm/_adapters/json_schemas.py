"""Whether an answer fits a JSON schema. The only `jsonschema`; an extra of its own (`hybridllm[judge]`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hybridllm.errors import InvalidRequest


def fits_schema(schema: Any) -> Callable[[str], bool]:
    """Return what tells whether a text is JSON that fits a schema.

    Raises:
        InvalidRequest: If it is no schema, refers outside itself, or `jsonschema` is not installed.
    """
    try:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ModuleNotFoundError:
        raise InvalidRequest(
            "a JSON schema needs jsonschema: pip install 'hybridllm[judge]'"
        ) from None
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
    validator = kind(asked, registry=Registry())  # nothing is fetched

    def fits(text: str) -> bool:
        try:
            return bool(validator.is_valid(json.loads(text)))
        except (ValueError, RecursionError):
            return False

    return fits
