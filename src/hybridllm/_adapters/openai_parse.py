"""Structured output and model lists, in `openai`'s own terms."""

from __future__ import annotations

from typing import Any

from openai import ContentFilterFinishReasonError, LengthFinishReasonError
from openai.lib._parsing import parse_chat_completion, type_to_response_format_param
from openai.pagination import AsyncPage
from openai.types import Model
from pydantic import ValidationError

from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.receipts import fasten, receipt
from hybridllm.errors import (
    ContentFiltered,
    HybridLLMError,
    InvalidOutput,
    InvalidRequest,
    TruncatedOutput,
)


def response_format(kind: Any) -> Any:
    """Return the `response_format` that asks for an object of class `kind`, or the error if it has none."""
    try:
        return type_to_response_format_param(kind)
    except (TypeError, ValueError, RuntimeError) as error:  # pydantic's are RuntimeErrors
        name = getattr(kind, "__name__", type(kind).__name__)
        return InvalidRequest(
            f"response_format: {name} is no pydantic model that JSON Schema can say ({type(error).__name__})"
        )


def parsed(answer: Any, kind: Any, tools: Any) -> Any | HybridLLMError:
    """Return the answer with its object, or the error that says why it has none."""
    paid = receipt(answer)
    try:
        found = parse_chat_completion(
            response_format=kind, input_tools=tools or (), chat_completion=answer
        )
    except LengthFinishReasonError:
        return TruncatedOutput(
            "the structured answer was cut off by its token limit; raise max_tokens",
            completion=answer,
            receipt=paid,
        )
    except ContentFilterFinishReasonError:
        return ContentFiltered("the backend's content filter withheld the answer", receipt=paid)
    except ValidationError as error:
        problems = [
            (".".join(str(part) for part in one["loc"]), one["msg"])
            for one in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        name = getattr(kind, "__name__", "the class")
        said = "; ".join(f"{place}: {what}" if place else what for place, what in problems[:3])
        return InvalidOutput(
            f"the answer does not fit {name}: {said}",
            completion=answer,
            problems=problems,
            receipt=paid,
        )
    fasten(found, paid)
    return found


def model_page(policy: Policy) -> AsyncPage[Model]:
    """Return the policy's logical models as a page."""
    models = [
        Model.construct(id=name, created=0, object="model", owned_by="hybridllm")
        for name in policy.candidates
    ]
    return AsyncPage[Model].construct(data=models, object="list")
