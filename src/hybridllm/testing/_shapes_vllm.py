"""JSON as vLLM 0.32.0 writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hybridllm.testing._answers import ChatAnswer, Choice
from hybridllm.testing._kv import BLOCK_TOKENS
from hybridllm.testing._shapes import CREATED, Event, Json, interleaved, known_fields, logprobs
from hybridllm.testing._tokens import hex_id
from hybridllm.testing._validation import BadRequest

BUSY = (
    "The engine is currently busy and cannot accept new requests. "
    "Please try again later or on a different instance."
)
FINGERPRINT = "vllm-0.32.0-simulated"
_ERROR_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    500: "InternalServerError",
    503: "Service Unavailable",
}


class VllmShapes:
    """See `Shapes`."""

    def error(self, status: int, message: str, *, param: str | None = None, code: str = "") -> Json:
        kind = code or _ERROR_TYPES.get(status, "InternalServerError")
        return {"error": {"message": message, "type": kind, "param": param, "code": status}}

    def bad_request(self, refusal: BadRequest) -> Json:
        kind = refusal.code if refusal.is_malformed else ""
        return self.error(400, refusal.message, param=refusal.param, code=kind)

    def unauthorized(self) -> Json:
        return {"error": "Unauthorized"}

    def unknown_model(self, name: str, known: Sequence[str]) -> Json:
        aliases = ", ".join(known)
        message = f"The model `{name}` does not exist. Valid aliases: {aliases}."
        return self.error(404, message, param="model")

    def completion(self, answer: ChatAnswer) -> Json:
        return {
            "id": answer.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": answer.model,
            "choices": [_choice(answer, choice) for choice in answer.choices],
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": {
                "prompt_tokens": answer.prompt_tokens,
                "total_tokens": answer.prompt_tokens + answer.completion_tokens,
                "completion_tokens": answer.completion_tokens,
                "prompt_tokens_details": _cached(answer, multimodal_tokens=None),
                "completion_tokens_details": _reasoning(answer),
            },
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "prompt_text": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def events(self, answer: ChatAnswer, *, usage: bool, may_finish: bool) -> Iterator[Event]:
        head = _chunk_head(answer)
        for choice in answer.choices:
            delta = {"role": "assistant", "content": ""}
            entry = {"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": None}
            data = {**head, "choices": [entry], "prompt_token_ids": None, "prompt_text": None}
            yield Event(data, "role", choice.index)
        for choice in answer.choices:
            if choice.call is not None:
                yield Event({**head, "choices": [_call_begins(choice)]}, "role", choice.index)
        for choice, field, token, is_last in interleaved(answer.choices):
            # Text ends with its last token's event; a call of a tool, with an event of its own.
            ends = is_last and may_finish and field != "arguments"
            entry = _token_entry(answer, choice, field, token, ends=ends)
            data = {**head, "choices": [entry]} | (_fingerprint(usage=usage) if ends else {})
            yield Event(data, "token", choice.index)
            if is_last and not ends:
                entry = _finish_entry(choice)
                data = {**head, "choices": [entry], **_fingerprint(usage=usage)}
                yield Event(data, "finish", choice.index)
        for choice in answer.choices:
            if not choice.tokens:
                yield Event({**head, "choices": [_finish_entry(choice)]}, "finish", choice.index)
        if usage:
            data = {**head, "choices": [], "usage": _stream_usage(answer)}
            yield Event(data | {"system_fingerprint": FINGERPRINT}, "usage")

    def models(self, names: Sequence[str], *, context_tokens: int) -> Json:
        return {"object": "list", "data": [_model(name, context_tokens) for name in names]}

    def embeddings(
        self, answer_id: str, model: str, vectors: Sequence[list[float] | str], *, tokens: int
    ) -> Json:
        return {
            "id": f"embd-{answer_id}",
            "object": "list",
            "created": CREATED,
            "model": model,
            "data": [
                {"index": index, "object": "embedding", "embedding": vector}
                for index, vector in enumerate(vectors)
            ],
            "usage": {
                "prompt_tokens": tokens,
                "total_tokens": tokens,
                "completion_tokens": 0,
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            },
        }


def cached_details(prompt_tokens: int, cached_tokens: int) -> Json:
    """Return what usage tells of a prompt: only whole blocks are cached."""
    whole = prompt_tokens // BLOCK_TOKENS * BLOCK_TOKENS
    return {
        "cached_tokens": cached_tokens,
        "created_cache_tokens": max(0, whole - cached_tokens),
    }


def _choice(answer: ChatAnswer, choice: Choice) -> Json:
    text: str | None = "".join(choice.text)
    if choice.reasoning and not choice.text and choice.call is None:
        text = None  # cut off while it was thinking
    message: Json = {
        "role": "assistant",
        "content": text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if choice.call is not None:
        function = {"name": choice.call.name, "arguments": "".join(choice.call.arguments)}
        call = {"id": f"chatcmpl-tool-{choice.call.id}", "type": "function", "function": function}
        message["tool_calls"] = [call]
    message["reasoning"] = "".join(choice.reasoning) or None
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs(choice.text, answer.top_logprobs),
        "finish_reason": choice.finish_reason,
        "stop_reason": choice.stop_reason,
        "token_ids": None,
        "routed_experts": None,
    }


def _chunk_head(answer: ChatAnswer) -> Json:
    return {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": answer.model,
    }


def _call_begins(choice: Choice) -> Json:
    assert choice.call is not None  # noqa: S101 - asked by the caller
    call = {
        "id": f"chatcmpl-tool-{choice.call.id}",
        "type": "function",
        "index": 0,
        "function": {"name": choice.call.name},
    }
    return _entry(choice, {"content": None, "tool_calls": [call]})


def _token_entry(answer: ChatAnswer, choice: Choice, field: str, token: str, *, ends: bool) -> Json:
    if field == "arguments":
        call = {"index": 0, "function": {"arguments": token}}
        return _entry(choice, {"content": None, "tool_calls": [call]})
    entry = _entry(choice, {field: token}, ends=ends)
    entry["logprobs"] = logprobs([token], answer.top_logprobs)
    return entry


def _finish_entry(choice: Choice) -> Json:
    return _entry(choice, {}, ends=True)


def _entry(choice: Choice, delta: Json, *, ends: bool = False) -> Json:
    reason: Json = {"finish_reason": None}
    if ends:
        reason = {"finish_reason": choice.finish_reason, "stop_reason": choice.stop_reason}
    return {"index": choice.index, "delta": delta, "logprobs": None, **reason, "token_ids": None}


def _fingerprint(*, usage: bool) -> Json:
    """The last event names the server; with usage asked for, that is another one."""
    return {} if usage else {"system_fingerprint": FINGERPRINT}


def _stream_usage(answer: ChatAnswer) -> Json:
    usage: dict[str, Any] = {
        "prompt_tokens": answer.prompt_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "completion_tokens": answer.completion_tokens,
    }
    details = {
        "prompt_tokens_details": _cached(answer),
        "completion_tokens_details": _reasoning(answer),
    }
    return usage | known_fields(details)


def _cached(answer: ChatAnswer, **unused: None) -> Json | None:
    if answer.cached_tokens is None:
        return None
    return {**cached_details(answer.prompt_tokens, answer.cached_tokens), **unused}


def _reasoning(answer: ChatAnswer) -> Json | None:
    return {"reasoning_tokens": answer.reasoning_tokens} if answer.reasoning_tokens else None


def _model(name: str, context_tokens: int) -> Json:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "vllm",
        "root": name,
        "parent": None,
        "max_model_len": context_tokens,
        "permission": [
            {
                "id": f"modelperm-{hex_id(name)}",
                "object": "model_permission",
                "created": CREATED,
                "allow_create_engine": False,
                "allow_sampling": True,
                "allow_logprobs": True,
                "allow_search_indices": False,
                "allow_view": True,
                "allow_fine_tuning": False,
                "organization": "*",
                "group": None,
                "is_blocking": False,
            }
        ],
    }
