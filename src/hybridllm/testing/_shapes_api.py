"""JSON as OpenAI's API, and those who imitate it, write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hybridllm.testing._answers import ChatAnswer, Choice
from hybridllm.testing._shapes import CREATED, Event, Json, interleaved, logprobs
from hybridllm.testing._validation import BadRequest

_FINGERPRINT = "fp_simulated"
_ERROR_TYPES = {429: "rate_limit_error"}
_ERROR_CODES = {429: "rate_limit_exceeded"}


class ApiShapes:
    """See `Shapes`."""

    def error(self, status: int, message: str, *, param: str | None = None, code: str = "") -> Json:
        kind = _ERROR_TYPES.get(
            status, "server_error" if status >= 500 else "invalid_request_error"
        )
        word = code or _ERROR_CODES.get(status)
        return {"error": {"message": message, "type": kind, "param": param, "code": word}}

    def bad_request(self, refusal: BadRequest) -> Json:
        code = "" if refusal.is_malformed else refusal.code
        param = "messages" if code == "context_length_exceeded" else refusal.param
        return self.error(400, refusal.message, param=param, code=code)

    def unauthorized(self) -> Json:
        return self.error(401, "Incorrect API key provided: ****.", code="invalid_api_key")

    def unknown_model(self, name: str, known: Sequence[str]) -> Json:
        message = f"The model `{name}` does not exist or you do not have access to it."
        return self.error(404, message, code="model_not_found")

    def completion(self, answer: ChatAnswer) -> Json:
        return {
            "id": answer.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": answer.model,
            "choices": [_choice(answer, choice) for choice in answer.choices],
            "usage": _usage(answer),
            "service_tier": "default",
            "system_fingerprint": _FINGERPRINT,
        }

    def events(self, answer: ChatAnswer, *, usage: bool, may_finish: bool) -> Iterator[Event]:
        for choice in answer.choices:
            delta: Json = {"role": "assistant", "content": "", "refusal": None}
            if choice.call is not None:
                function = {"name": choice.call.name, "arguments": ""}
                call = {"index": 0, "id": f"call_{choice.call.id}", "type": "function"}
                delta |= {"content": None, "tool_calls": [call | {"function": function}]}
            yield Event(_chunk(answer, _entry(choice, delta), usage=usage), "role", choice.index)
        for choice, field, token, is_last in interleaved(answer.choices):
            entry = _entry(choice, _delta(field, token))
            if field == "content":
                entry["logprobs"] = logprobs([token], answer.top_logprobs)
            yield Event(_chunk(answer, entry, usage=usage), "token", choice.index)
            if is_last:
                yield _finish(answer, choice, usage=usage)
        for choice in answer.choices:
            if not choice.tokens:
                yield _finish(answer, choice, usage=usage)
        if usage:
            yield Event(_chunk(answer, None, usage=True) | {"usage": _usage(answer)}, "usage")

    def models(self, names: Sequence[str], *, context_tokens: int) -> Json:
        data = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "simulated"}
            for name in names
        ]
        return {"object": "list", "data": data}

    def embeddings(
        self, answer_id: str, model: str, vectors: Sequence[list[float] | str], *, tokens: int
    ) -> Json:
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(vectors)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def _choice(answer: ChatAnswer, choice: Choice) -> Json:
    message: Json = {
        "role": "assistant",
        "content": "".join(choice.text),
        "refusal": None,
        "annotations": [],
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.call is not None:
        function = {"name": choice.call.name, "arguments": "".join(choice.call.arguments)}
        call = {"id": f"call_{choice.call.id}", "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs(choice.text, answer.top_logprobs),
        "finish_reason": choice.finish_reason,
    }


def _chunk(answer: ChatAnswer, entry: Json | None, *, usage: bool) -> Json:
    data: Json = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
        "choices": [] if entry is None else [entry],
    }
    return data | {"usage": None} if usage else data


def _entry(choice: Choice, delta: Json, *, finish_reason: str | None = None) -> Json:
    return {
        "index": choice.index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": finish_reason,
    }


def _delta(field: str, token: str) -> Json:
    match field:
        case "arguments":
            return {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}
        case "reasoning":
            return {"reasoning_content": token}
        case _:
            return {"content": token}


def _finish(answer: ChatAnswer, choice: Choice, *, usage: bool) -> Event:
    entry = _entry(choice, {}, finish_reason=choice.finish_reason)
    return Event(_chunk(answer, entry, usage=usage), "finish", choice.index)


def _usage(answer: ChatAnswer) -> Json:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
