"""From bytes to `openai` types; the door to `openai`, with `openai_errors.py` beside it.

A well-formed answer goes straight through pydantic-core in strict mode, without the SDK's walk over
every field. Whatever does not pass that is looked at as plain JSON, judged by our own rules, and only
then built leniently, as the SDK would. Nothing here raises: bytes that are no answer are a `Failure`.
"""

from __future__ import annotations

import json
from typing import Any

from openai._models import construct_type
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from hybridllm._adapters.openai_errors import joined
from hybridllm._core.money.read_usage import read_usage
from hybridllm._core.money.usage import TOKENS_MAX, Usage
from hybridllm._core.receipt import Receipt
from hybridllm._core.request.tokens import text_tokens
from hybridllm._core.resilience.classify import invalid_response
from hybridllm._core.resilience.error_body import ErrorBody, read_error
from hybridllm._core.resilience.outcome import Failure
from hybridllm._core.wire.answers import (
    chunk_problem,
    completion_problem,
    embeddings_problem,
    error_in_answer,
)
from hybridllm._core.wire.depth import NESTING_MAX, nesting_exceeds
from hybridllm._core.wire.repeated import repeats_a_key
from hybridllm._runtime.ports import AnswerFacts, Parsed
from hybridllm._runtime.receipts import fasten
from hybridllm.errors import HybridLLMError, InvalidRequest

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_DIGITS_MAX = 400  # of an integer; Python refuses to read one of more than 4,300

for _model in (ChatCompletion, ChatCompletionChunk, CreateEmbeddingResponse):
    _model.model_rebuild()  # openai defers the build; the first request should not pay for it
_PANICS = "pyo3_runtime"  # what pydantic's core raises where an object cannot be made: no Exception
_validate_completion = ChatCompletion.__pydantic_validator__.validate_json
_validate_chunk = ChatCompletionChunk.__pydantic_validator__.validate_json
_validate_embeddings = CreateEmbeddingResponse.__pydantic_validator__.validate_json


class OpenAICodec:
    """See `Codec`."""

    def encoded(self, fields: dict[str, Any]) -> bytes | InvalidRequest:
        """See `Codec.encoded`."""
        try:
            return to_json(fields, inf_nan_mode="null")
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            return InvalidRequest(f"the request cannot be sent as JSON ({type(error).__name__})")

    def completion(self, body: bytes) -> Parsed | Failure | ErrorBody:
        """See `Codec.completion`."""
        try:
            answer: Any = _validate_completion(body, strict=True)
        except ValidationError:
            return _odd_completion(body)
        except BaseException as error:
            if type(error).__module__ == _PANICS:
                raise MemoryError("the parser of answers ran out of memory") from None
            raise
        choices = answer.choices
        if not choices or (answer.model_extra and "error" in answer.model_extra):
            return _odd_completion(body)
        for choice in choices:
            if choice.message.content is None or choice.index < 0:
                return _odd_completion(body)
        if len(choices) > 1 and len({choice.index for choice in choices}) < len(choices):
            return _odd_completion(body)
        scored = [choice for choice in choices if choice.logprobs is not None]
        if repeats_a_key(body, choices=len(choices), logprobs=len(scored)):
            return _odd_completion(body)
        return _parsed_completion(answer, _typed_usage(answer.usage))

    def embeddings(
        self, body: bytes, *, inputs: int | None, dimensions: int | None
    ) -> Parsed | Failure | ErrorBody:
        """See `Codec.embeddings`."""
        plain = _plain(body)
        if not isinstance(plain, dict):
            return plain
        problem = embeddings_problem(plain, inputs=inputs, dimensions=dimensions)
        if problem is not None:
            return invalid_response(problem)
        try:
            answer: Any = _validate_embeddings(body, strict=True)
        except ValidationError:
            answer = construct_type(type_=CreateEmbeddingResponse, value=plain)
        usage = read_usage(plain.get("usage"))
        return Parsed(answer, usage, _text(plain.get("model")), AnswerFacts())

    def chunk(self, event: bytes, data: bytes) -> Any:
        """See `Codec.chunk`."""
        if not event:
            try:
                chunk: Any = _validate_chunk(data, strict=True)
            except ValidationError:
                return _odd_chunk(event, data)
            if chunk.choices or not chunk.model_extra:
                return chunk
        return _odd_chunk(event, data)

    def usage(self, usage: Any) -> Usage | None:
        """See `Codec.usage`."""
        return _typed_usage(usage)

    def body(self, value: Any) -> bytes | None:
        """See `Codec.body`."""
        try:
            body: bytes = value.model_dump_json(exclude_unset=True, warnings=False).encode()
        except (PydanticSerializationError, ValueError, TypeError, RecursionError):
            return None
        again = (
            self.embeddings(body, inputs=None, dimensions=None)
            if isinstance(value, CreateEmbeddingResponse)
            else self.completion(body)
        )
        return body if isinstance(again, Parsed) and again.value == value else None

    def attach(self, value: Any, receipt: Receipt, request_id: str | None) -> None:
        """See `Codec.attach`."""
        # openai's own, documented attribute, set as pydantic would, without its search for a field
        object.__setattr__(value, "_request_id", request_id)
        fasten(value, receipt)

    def raised(self, error: HybridLLMError) -> HybridLLMError:
        """See `Codec.raised`."""
        return joined(error)


def _plain(body: bytes, event: bytes = b"") -> dict[str, Any] | Failure | ErrorBody:
    """Read JSON within limits; an error inside a 200 is classified by its own code."""
    if nesting_exceeds(body, NESTING_MAX):
        return invalid_response(f"nested deeper than {NESTING_MAX} levels")
    try:
        # decoded here: of bytes, json would take UTF-16 too
        plain = json.loads(body.decode(), parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        kind = "empty" if not body.strip() else f"not JSON ({type(error).__name__})"
        return invalid_response(kind)
    found = error_in_answer(plain, event=event)
    if found is not None:
        return read_error(found)
    if not isinstance(plain, dict):
        return invalid_response(f"a JSON {type(plain).__name__}, not an object")
    return plain


def _whole_number(digits: str) -> int | float:
    """What a number stands for; one beyond any use is no reason to lose the answer that it came with."""
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


def _odd_completion(body: bytes) -> Parsed | Failure | ErrorBody:
    plain = _plain(body)
    if not isinstance(plain, dict):
        return plain
    problem = completion_problem(plain)
    if problem is None:
        scored = [choice for choice in plain["choices"] if choice.get("logprobs")]
        if repeats_a_key(body, choices=len(plain["choices"]), logprobs=len(scored)):
            problem = "a key comes twice"
    if problem is not None:
        return invalid_response(problem)
    answer: Any = construct_type(type_=ChatCompletion, value=plain)
    return _parsed_completion(answer, read_usage(plain.get("usage")))


def _odd_chunk(event: bytes, data: bytes) -> Any:
    plain = _plain(data, event)
    if not isinstance(plain, dict):
        return plain
    if plain.get("choices") is None and plain.get("usage") is not None:
        plain["choices"] = []  # how some servers end a stream
    problem = chunk_problem(plain)
    if problem is not None:
        return invalid_response(problem)
    for choice in plain["choices"]:
        choice["delta"] = choice.get("delta") or {}  # the last chunk of some servers has none
        choice["finish_reason"] = choice.get("finish_reason") or None  # "" is how others say none
    chunk: Any = construct_type(type_=ChatCompletionChunk, value=plain)
    usage = plain.get("usage")
    if isinstance(usage, dict) and read_usage(usage) is None:
        # `construct_type` makes 5 of "5" and 1 of true; a count that was no count is to stay one
        chunk.usage = CompletionUsage.model_construct(
            **{name: usage[name] for name in _COUNTS if name in usage}
        )
    return chunk


def _parsed_completion(answer: Any, usage: Usage | None) -> Parsed:
    reasons = tuple([str(choice.finish_reason) for choice in answer.choices])
    facts = AnswerFacts(_text(answer.id), reasons, _text(answer.service_tier))
    parsed = Parsed(answer, usage, _text(answer.model), facts)
    if usage is None:
        texts = [choice.message.content for choice in answer.choices]
        parsed.output_tokens_estimate = sum(text_tokens(text) for text in texts if text)
    return parsed


def _typed_usage(usage: Any) -> Usage | None:
    """Read `CompletionUsage`; the plain reader does for whatever is not as it should be."""
    if usage is None:
        return None
    try:
        tokens_in, tokens_out = usage.prompt_tokens, usage.completion_tokens
        of_input, of_output = usage.prompt_tokens_details, usage.completion_tokens_details
        cached = None if of_input is None else of_input.cached_tokens
        reasoning = None if of_output is None else of_output.reasoning_tokens
        more = usage.model_extra or (of_input is not None and _says_written(of_input))
    except AttributeError:  # in a chunk that was built leniently it may be anything
        return _plain_usage(usage)
    if (
        not more
        and tokens_in.__class__ is int
        and tokens_out.__class__ is int
        and 0 <= tokens_in <= TOKENS_MAX
        and 0 <= tokens_out <= TOKENS_MAX
        and (cached is None or (cached.__class__ is int and 0 <= cached <= tokens_in))
        and (reasoning is None or (reasoning.__class__ is int and 0 <= reasoning <= tokens_out))
    ):
        return Usage(tokens_in, tokens_out, cached, reasoning)
    return _plain_usage(usage)


def _says_written(of_input: Any) -> bool:
    """Whether details of a prompt say more than what was cached; OpenRouter and proxies add to them."""
    return bool(of_input.model_extra or getattr(of_input, "cache_write_tokens", None))


def _plain_usage(usage: Any) -> Usage | None:
    return read_usage(usage.model_dump(warnings=False) if isinstance(usage, BaseModel) else usage)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
