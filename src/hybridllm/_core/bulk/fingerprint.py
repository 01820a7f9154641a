"""What tells one request from another: a digest of all that decides its answer.

Of the content, not of the caller's objects: the order of keys does not matter, and neither does what
only says how soon or how dear (deadline, priority, ceiling), so that a job may be resumed with another
deadline. The digest goes into the journal; the content never does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._core.request.read import Call

DIGEST_BYTES = 16
_HINTS = ("task", "residency", "tenant", "feature", "session", "vector_space", "tags", "metadata")


def fingerprint(call: Call) -> bytes:
    """Return the digest of a call's content, `DIGEST_BYTES` long.

    Raises:
        InvalidRequest: If the call cannot be said in JSON.
    """
    hints = {name: getattr(call.hints, name) for name in _HINTS}
    content = {
        "operation": call.operation,
        "model": call.model,
        "body": call.body,
        "hints": {name: value for name, value in hints.items() if value is not None},
    }
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(error).__name__
        raise InvalidRequest(f"the request cannot be said in JSON ({kind})") from None
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def _plain(value: Any) -> Any:
    """Say what JSON has no word for."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return dump(mode="json", exclude_unset=True)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(type(value).__name__)
