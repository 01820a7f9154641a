"""The lines of a batch's output, as OpenAI's batch API writes them, with what it cost beside.

    {"id": "batch_req_...", "custom_id": "a", "response": {"status_code": 200, "request_id": "...",
     "body": {...}}, "error": null, "hybridllm": {"line": 1, "cost_usd": "0.0001", ...}}

An error that a backend answered with is a response with its status; any other is an `error`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from hybridllm._core.bulk.batch_input import BadLine
from hybridllm._core.bulk.paid import paid_json
from hybridllm._core.bulk.result import BulkResult
from hybridllm.errors import public_class

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def output_line(result: BulkResult, *, number: int, answer: bytes | None) -> bytes:
    """Return the line of a result.

    Args:
        result: What became of the item.
        number: Of its line in the input, from 1.
        answer: Its answer as JSON without a line break; None if it has none.
    """
    request_id = result.paid.request_id
    head = {"id": f"batch_req_{request_id or number}", "custom_id": result.key}
    tail = {"error": None, "hybridllm": _facts(result, number)}
    if answer is not None:
        response = {"status_code": 200, "request_id": request_id}
        parts = (_text(head)[:-1], ',"response":', _text(response)[:-1], ',"body":')
        return "".join(parts).encode() + answer + b"}," + _text(tail)[1:].encode() + b"\n"
    error = result.error
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        told = {
            "message": str(error),
            "type": error_code(error),
            "param": getattr(error, "param", None),
            "code": getattr(error, "code", None),
        }
        body = {"error": told}
        answered = {"status_code": status, "request_id": request_id, "body": body}
        return (_text({**head, "response": answered, **tail}) + "\n").encode()
    failed = {"code": error_code(error), "message": str(error)}
    return (_text({**head, "response": None, **tail, "error": failed}) + "\n").encode()


def error_code(error: BaseException | None) -> str:
    """Return which error it is, in one word: `policy_denied`, `duplicate_custom_id`."""
    if isinstance(error, BadLine):
        return error.code
    name = "NoneType" if error is None else public_class(error).__name__
    return _WORD.sub("_", name).lower()


def _facts(result: BulkResult, number: int) -> dict[str, Any]:
    facts = {"line": number} | paid_json(result.paid)
    facts.pop("request_id", None)
    return facts | ({"unknown_paid": True} if result.unknown_paid else {})


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
