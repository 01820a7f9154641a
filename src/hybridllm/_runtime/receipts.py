"""Where the receipt of an answer is: fastened to the answer itself, so that a copy keeps it.

Every answer is a pydantic model; its private attributes are not part of what it says, so dumps, the
repr and validation never show the receipt.
"""

from __future__ import annotations

from typing import Any

from hybridllm._core.receipt import Receipt

_NAME = "_hybridllm_receipt"


def fasten(answer: Any, receipt: Receipt) -> None:
    """Fasten a receipt to an answer."""
    private = answer.__pydantic_private__
    if private is None:
        object.__setattr__(answer, "__pydantic_private__", {_NAME: receipt})
    else:
        private[_NAME] = receipt


def receipt(answer: Any) -> Receipt:
    """Return what became of a request: route, attempts, cost and times.

    Args:
        answer: What a router returned (an `openai` object or a `Stream` that has ended), or an error
            that it raised.

    Raises:
        LookupError: If it has no receipt: it is no router's answer, or its stream has not ended.
    """
    private = getattr(answer, "__pydantic_private__", None)
    found = getattr(answer, "receipt", None) if private is None else private.get(_NAME)
    if found.__class__ is not Receipt:
        raise LookupError(
            f"this {type(answer).__name__} has no receipt; only what a Router returned has"
        )
    return found
