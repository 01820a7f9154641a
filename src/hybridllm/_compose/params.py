"""The keywords of a call, for type checkers: OpenAI's, and our hints beside them.

Only read by type checkers. Any other keyword is refused at run time too; fields that OpenAI does not have
go into `extra_body`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from openai._types import Omit, SequenceNotStr
from openai.types.chat import (
    ChatCompletionAudioParam,
    ChatCompletionMessageParam,
    ChatCompletionPredictionContentParam,
    ChatCompletionStreamOptionsParam,
    ChatCompletionToolChoiceOptionParam,
    ChatCompletionToolUnionParam,
    completion_create_params,
)
from openai.types.shared.reasoning_effort import ReasoningEffort


class HintParams(TypedDict, total=False):
    """What only the router is told; nothing of it reaches a backend."""

    task: str
    residency: str
    tenant: str
    feature: str
    user_id: str
    session: str
    priority: Literal["interactive", "batch", "background"]
    deadline_s: float
    max_cost_usd: Decimal | float | str
    metadata: Mapping[str, str | float | bool]
    tags: str | list[str] | tuple[str, ...] | set[str] | frozenset[str]
    vector_space: str
    timeout: float
    extra_headers: Mapping[str, str]
    extra_body: Mapping[str, Any]


class ChatFields(HintParams, total=False):
    """A chat completion's fields but for `response_format`."""

    messages: Required[Iterable[ChatCompletionMessageParam]]
    model: str
    audio: ChatCompletionAudioParam | Omit | None
    frequency_penalty: float | Omit | None
    logit_bias: dict[str, int] | Omit | None
    logprobs: bool | Omit | None
    max_completion_tokens: int | Omit | None
    max_tokens: int | Omit | None
    modalities: list[Literal["text", "audio"]] | Omit | None
    n: int | Omit | None
    parallel_tool_calls: bool | Omit
    prediction: ChatCompletionPredictionContentParam | Omit | None
    presence_penalty: float | Omit | None
    prompt_cache_key: str | Omit
    reasoning_effort: ReasoningEffort | Omit | None
    safety_identifier: str | Omit
    seed: int | Omit | None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | Omit | None
    stop: str | SequenceNotStr[str] | Omit | None
    store: bool | Omit | None
    stream_options: ChatCompletionStreamOptionsParam | Omit | None
    temperature: float | Omit | None
    tool_choice: ChatCompletionToolChoiceOptionParam | Omit
    tools: Iterable[ChatCompletionToolUnionParam] | Omit
    top_logprobs: int | Omit | None
    top_p: float | Omit | None
    user: str | Omit
    verbosity: Literal["low", "medium", "high"] | Omit | None


class ChatParams(ChatFields, total=False):
    """A chat completion's keywords."""

    on_interrupt: Literal["fail", "restart", "continue"]
    response_format: completion_create_params.ResponseFormat | Omit


class EmbeddingParams(HintParams, total=False):
    """An embedding's keywords."""

    input: Required[str | SequenceNotStr[str] | Iterable[int] | Iterable[Iterable[int]]]
    model: str
    dimensions: int | Omit
    encoding_format: Literal["float", "base64"] | Omit
    user: str | Omit
