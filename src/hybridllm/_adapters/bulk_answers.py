"""Answers as JSON for a journal, and back; see `Answerer`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hybridllm._runtime.ports import Parsed

if TYPE_CHECKING:
    from hybridllm._runtime.ports import Codec


def written(answer: Any) -> bytes:
    """Return an answer as JSON: what the backend sent, nothing added.

    Raises:
        ValueError: If that cannot be done.
    """
    try:
        text: str = answer.model_dump_json(exclude_unset=True, warnings=False)
        return text.encode()
    except ValueError:  # half a surrogate pair in a text: JSON can say it, pydantic does not
        plain = answer.model_dump(exclude_unset=True, warnings=False)
    try:
        return json.dumps(plain, separators=(",", ":")).encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the answer cannot be said in JSON ({type(error).__name__})") from None


def read(codec: Codec, operation: str, answer: bytes) -> Any:
    """Return the answer that was written.

    Raises:
        ValueError: If it is none.
    """
    if operation == "chat":
        parsed = codec.completion(answer)
    else:
        parsed = codec.embeddings(answer, inputs=None, dimensions=None)
    if not isinstance(parsed, Parsed):
        raise ValueError("what the journal keeps is no answer")  # noqa: TRY004 - not about its type
    return parsed.value
