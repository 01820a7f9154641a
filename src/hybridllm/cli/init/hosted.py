"""Hosted APIs that are known by the variable their key usually stands in.

Base URLs are those of the providers' own documentation, as of 2026-11. Models come and go faster than
releases of this package: those named here are where to begin, and the policy says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostedApi:
    """A hosted OpenAI-compatible API.

    Attributes:
        name: Of its backend in a policy.
        variable: That its key is usually in.
        small: A model for simple tasks, as the API names it.
        large: A model for everything else.
        capabilities: What both can do beyond text; empty: not known.
        in_the_book: True if the model book's prices are this API's.
    """

    name: str
    title: str
    variable: str
    base_url: str
    small: str
    large: str
    capabilities: tuple[str, ...] = ()
    in_the_book: bool = False


APIS = (
    HostedApi(
        "global-apis", "Global APIs", "GLOBAL_API_KEY", "https://global-apis.com/v1",
        "qwen3-8b", "deepseek-v4-flash", ("tools", "json_schema"), in_the_book=True,
    ),
    # https://developers.openai.com/api/docs/models
    HostedApi(
        "openai", "OpenAI", "OPENAI_API_KEY", "https://api.openai.com/v1",
        "gpt-6-luna", "gpt-6-sol", ("json_schema", "vision"),
    ),
    # https://openrouter.ai/docs/quickstart
    HostedApi(
        "openrouter", "OpenRouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1",
        "openai/gpt-oss-20b", "openai/gpt-oss-120b", ("tools",),
    ),
    # https://console.groq.com/docs/openai
    HostedApi(
        "groq", "Groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1",
        "openai/gpt-oss-20b", "openai/gpt-oss-120b", ("tools",),
    ),
    # https://docs.together.ai/docs/inference/openai-compatibility
    HostedApi(
        "together", "Together AI", "TOGETHER_API_KEY", "https://api.together.ai/v1",
        "openai/gpt-oss-20b", "openai/gpt-oss-120b", ("tools",),
    ),
    # https://api-docs.deepseek.com: "/v1" is theirs for OpenAI clients, and no version of a model
    HostedApi(
        "deepseek", "DeepSeek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1",
        "deepseek-flash", "deepseek-flash", ("tools",),
    ),
    # https://docs.mistral.ai/api
    HostedApi(
        "mistral", "Mistral AI", "MISTRAL_API_KEY", "https://api.mistral.ai/v1",
        "mistral-small-latest", "mistral-large-latest", ("tools", "json_schema"),
    ),
    # https://docs.fireworks.ai/tools-sdks/openai-compatibility
    HostedApi(
        "fireworks", "Fireworks AI", "FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1",
        "accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b", ("tools",),
    ),
    # https://inference-docs.cerebras.ai/resources/openai
    HostedApi(
        "cerebras", "Cerebras", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1",
        "gpt-oss-120b", "gpt-oss-120b", ("tools",),
    ),
)  # fmt: skip
BY_NAME = {api.name: api for api in APIS}
WITHOUT_A_KEY = APIS[0]
"""What a policy starts with where nothing at all was found: the model book knows its prices."""
