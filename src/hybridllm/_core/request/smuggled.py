"""Fields that would tell a router behind us where to send a request, or with whose key.

At the top of a body they are plain; other routers have read them out of nested objects, too
(https://github.com/BerriAI/litellm/issues/26996). A backend may be such a router.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = frozenset({"apibase", "apikey", "baseurl", "extrabody", "extraheaders", "extraquery"})
_FIELDS_OF_A_SCHEMA = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)


def smuggled(extra: Mapping[Any, Any]) -> str | None:
    """Return where such a field stands, at any depth: `metadata.api_base`; None if there is none.

    In a JSON Schema's `properties` a name is one of the answer's fields, and may be any; what stands for it
    there is a schema.
    """
    seen: set[tuple[int, bool]] = (
        set()
    )  # a body that holds itself cannot be sent, but must not hold us either
    waiting: list[tuple[str, Any, bool]] = [("", extra, False)]
    while waiting:
        where, value, of_schema = waiting.pop()
        if (id(value), of_schema) in seen:
            continue
        seen.add((id(value), of_schema))
        if isinstance(value, Mapping):
            for key, inner in value.items():
                here = f"{where}.{key}" if where else str(key)
                schema = of_schema and isinstance(inner, Mapping | bool)
                if not schema and isinstance(key, str) and _plain(key) in _NAMES:
                    return here[:200]
                waiting.append((here, inner, key in _FIELDS_OF_A_SCHEMA))
        elif isinstance(value, list | tuple):
            waiting.extend((f"{where}.{place}", one, False) for place, one in enumerate(value))
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()
