"""The fields of OpenAI's requests that a call may name as keywords; a test holds them current.

Anything else is refused, with the nearest name: a misspelt `residency` must not become a field of the
body, with the request going out unrestricted. Fields that OpenAI does not have go into `extra_body`.
"""

from __future__ import annotations

CHAT_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
EMBEDDING_FIELDS = frozenset({"dimensions", "encoding_format", "input", "model", "stream", "user"})
FIELDS = {"chat": CHAT_FIELDS, "embeddings": EMBEDDING_FIELDS}

# What `extra_body` may not bring: keywords of the call itself, hints that would be lost on the way to a
# backend, and what other routers take there and would send to it as part of the prompt's body.
NOT_EXTRA = frozenset(
    {
        "api_base",
        "api_key",
        "base_url",
        "deadline_s",
        "feature",
        "input",
        "max_cost_usd",
        "messages",
        "model",
        "on_interrupt",
        "organization",
        "residency",
        "session",
        "stream",
        "tags",
        "task",
        "tenant",
        "vector_space",
    }
)
