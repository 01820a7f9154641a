"""The JSON of two kinds of backend: a hosted API in OpenAI's shape, and vLLM 0.32.

Owns every field name on the wire. Each shape is copied from captured answers, the order of the
fields included; what differs between the two kinds differs here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hybridllm.testing._answers import ChatAnswer, Choice
from hybridllm.testing._tokens import draw
from hybridllm.testing._validation import BadRequest

Json = dict[str, Any]
BackendKind = Literal["api", "vllm"]

CREATED = 1_795_183_738  # any fixed second: answers are the same on every run


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Attributes:
        data: Its JSON.
        carries: What it brings.
        index: Which choice it belongs to.
    """

    data: Json
    carries: Literal["role", "token", "finish", "usage"]
    index: int = 0


class Shapes(Protocol):
    """How one kind of backend writes."""

    def error(self, status: int, message: str, *, param: str | None = None, code: str = "") -> Json:
        """The body of an error."""
        ...

    def bad_request(self, refusal: BadRequest) -> Json:
        """The body of a 400."""
        ...

    def unauthorized(self) -> Json:
        """The body of a 401."""
        ...

    def unknown_model(self, name: str, known: Sequence[str]) -> Json:
        """The body of a 404 for a model."""
        ...

    def completion(self, answer: ChatAnswer) -> Json:
        """A chat completion."""
        ...

    def events(self, answer: ChatAnswer, *, usage: bool, may_finish: bool) -> Iterator[Event]:
        """The events of a stream, without `[DONE]`.

        Args:
            answer: What is said.
            usage: True if the request asked for it.
            may_finish: False if the stream will be cut: then no token's event carries the finish.
        """
        ...

    def models(self, names: Sequence[str], *, context_tokens: int) -> Json:
        """The list of models."""
        ...

    def embeddings(
        self, answer_id: str, model: str, vectors: Sequence[list[float] | str], *, tokens: int
    ) -> Json:
        """An embeddings answer."""
        ...


def logprobs(tokens: Sequence[str], top: int | None) -> Json | None:
    """Return log probabilities that depend on the tokens alone; None if none were asked for."""
    if top is None:
        return None
    return {"content": [_token_logprob(token, top) for token in tokens]}


def _token_logprob(token: str, top: int) -> Json:
    chosen = _logprob(token, -0.01 - draw("logprob", token))
    others = [_logprob(f"{token}{rank}", -1.5 - rank) for rank in range(1, top)]
    return {**chosen, "top_logprobs": [chosen, *others][:top]}


def _logprob(token: str, value: float) -> Json:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}


def interleaved(choices: Sequence[Choice]) -> Iterator[tuple[Choice, str, str, bool]]:
    """Yield (choice, field, token, is its last) for each token, the choices taking turns."""
    streams = [
        [("reasoning", token) for token in choice.reasoning]
        + [("content", token) for token in choice.text]
        + [("arguments", token) for token in (choice.call.arguments if choice.call else ())]
        for choice in choices
    ]
    for turn in range(max((len(stream) for stream in streams), default=0)):
        for choice, stream in zip(choices, streams, strict=True):
            if turn < len(stream):
                yield choice, *stream[turn], turn == len(stream) - 1


def known_fields(fields: Mapping[str, Any]) -> Json:
    """Return the fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}
