"""What a vLLM in a simulated fleet says: the JSON of vLLM 0.32.0, in as many pieces as it has news.

Its words are counted as `count_tokens` counts them: an answer of 64 tokens has 64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hybridllm.testing._answers import ChatAnswer, Choice
from hybridllm.testing._embeddings import input_tokens
from hybridllm.testing._engine import Job
from hybridllm.testing._kv import prompt_keys
from hybridllm.testing._reply import CREATED, Reply, sse
from hybridllm.testing._shapes_vllm import FINGERPRINT, VllmShapes, cached_details
from hybridllm.testing._tokens import prompt_stream
from hybridllm.testing._validation import BadRequest, room_for_answer, room_left

SHAPES = VllmShapes()
_TEXT = " this mind only says what some dice said"  # tokens of equal length
_WORD, _WORDS = 5, 8
_DONE = b"data: [DONE]\n\n"
_ID = "chatcmpl-simulated"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a vLLM reads it.

    Attributes:
        keys: Of the whole blocks of its prompt.
        limit: Of its answer's tokens.
        exact: Whether the answer must be as long as its limit.
        vectors: For embeddings, how many; 0: it is a chat.
        dimensions: Of them.
    """

    model: str
    prompt_tokens: int
    keys: tuple[int, ...]
    limit: int
    exact: bool
    streams: bool
    tells_usage: bool
    vectors: int = 0
    dimensions: int = 0


@lru_cache(maxsize=1_024)
def asked(request: bytes, context_tokens: int, dimensions: int) -> Asked:
    """Read a request's JSON.

    Remembered: simulated traffic asks the same few things again and again.

    Raises:
        BadRequest: If it does not fit into the context.
    """
    body: Mapping[str, Any] = json.loads(request)
    model = str(body.get("model"))
    if "input" in body:
        given = body["input"]
        several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
        tokens = input_tokens(body)
        room_left(tokens, context_tokens=context_tokens)
        size = int(body.get("dimensions") or dimensions or 8)
        count = len(given) if several else 1
        return Asked(model, tokens, (), 0, True, False, False, count, size)
    stream = prompt_stream(body.get("messages") or (), body.get("tools"))
    room = room_for_answer(body, context_tokens=context_tokens, tokens_in=len(stream)) or 1
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    return Asked(
        model=model,
        prompt_tokens=len(stream),
        keys=prompt_keys(model, stream),
        limit=min(limit or room, room),
        exact=bool(body.get("ignore_eos")),
        streams=bool(body.get("stream")),
        tells_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def job_for(asked: Asked, answer_tokens: int) -> Job:
    """Return the work that a request makes, if its answer would have so many tokens by itself."""
    if asked.vectors:
        return Job(asked.prompt_tokens, 0)
    cut = asked.exact or answer_tokens > asked.limit
    tokens = asked.limit if cut else answer_tokens
    return Job(asked.prompt_tokens, tokens, asked.keys, reason="length" if cut else "stop")


def refused(refusal: BadRequest) -> Reply:
    """Return how a bad request is told so."""
    return Reply.json(SHAPES.bad_request(refusal), status=400)


def whole(asked: Asked, job: Job, *, tells_cached: bool) -> bytes:
    """Return the body of an answer that is not streamed."""
    if asked.vectors:
        vectors: list[list[float] | str] = [[0.1] * asked.dimensions] * asked.vectors
        value = SHAPES.embeddings("simulated", asked.model, vectors, tokens=asked.prompt_tokens)
    else:
        text = words(0, job.tokens)
        tokens = tuple(text[at : at + _WORD] for at in range(0, len(text), _WORD))
        choice = Choice(0, (), tokens, None, job.reason, None)
        cached = job.cached_tokens if tells_cached else None
        answer = ChatAnswer(_ID, asked.model, (choice,), asked.prompt_tokens, cached, None)
        value = SHAPES.completion(answer)
    return json.dumps(value, separators=(",", ":")).encode()


def piece(asked: Asked, job: Job, *, sent: int, tells_cached: bool) -> bytes:
    """Return what a stream has to say after `sent` tokens: before the first the role, at the end its end."""
    entry: dict[str, Any] = {"index": 0, "delta": {"content": words(sent, job.tokens)}}
    last: dict[str, Any] = {}
    if job.ended:
        ends = {"finish_reason": job.reason, "stop_reason": None}
        last = {} if asked.tells_usage else {"system_fingerprint": FINGERPRINT}
    else:
        ends = {"finish_reason": None}
    entry |= {"logprobs": None, **ends, "token_ids": None}
    said = _event(asked, [entry], last)
    if not sent:
        delta = {"role": "assistant", "content": ""}
        role = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        said = _event(asked, [role], {"prompt_token_ids": None, "prompt_text": None}) + said
    if job.ended:
        if asked.tells_usage:
            usage = _usage(asked, job, tells_cached=tells_cached)
            said += _event(asked, [], {"usage": usage, "system_fingerprint": FINGERPRINT})
        said += _DONE
    return said


def words(first: int, end: int) -> str:
    """Return the tokens of an answer from one up to another."""
    start = first % _WORDS * _WORD
    length = (end - first) * _WORD
    return (_TEXT * (length // len(_TEXT) + 2))[start : start + length]


def _event(asked: Asked, choices: list[dict[str, Any]], rest: dict[str, Any]) -> bytes:
    head = {"id": _ID, "object": "chat.completion.chunk", "created": CREATED, "model": asked.model}
    return sse({**head, "choices": choices, **rest})


def _usage(asked: Asked, job: Job, *, tells_cached: bool) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": asked.prompt_tokens,
        "total_tokens": asked.prompt_tokens + job.tokens,
        "completion_tokens": job.tokens,
    }
    if tells_cached:
        usage["prompt_tokens_details"] = cached_details(asked.prompt_tokens, job.cached_tokens)
    return usage
