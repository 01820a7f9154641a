"""Error bodies as the vendors write them, by what they mean.

Sources: the vendors' pages on errors (OpenAI, Anthropic, DashScope, DeepSeek, OpenRouter) and recorded
answers of vLLM.
"""

from __future__ import annotations

from typing import Any

import pytest


def openai_error(message: str, kind: str | None, code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code} | more}


def anthropic_error(message: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message} | more}


_OVER = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
REQUEST_AT_FAULT = [
    pytest.param(
        400, openai_error("Invalid value: 'x'.", "invalid_request_error", "invalid_value"),
        "invalid_value", id="400",
    ),
    pytest.param(400, {"message": "bad", "type": "BadRequestError", "object": "error", "code": 400},
                 None, id="400-flat"),
    pytest.param(413, openai_error("Request too large.", "invalid_request_error", "too_large"),
                 "too_large", id="413"),
    pytest.param(422, openai_error("Unprocessable.", "invalid_request_error"), None, id="422"),
    pytest.param(405, openai_error("Method not allowed.", "NotAllowed"), None, id="405"),
    pytest.param(415, openai_error("Unsupported media type.", "NotSupported"), None, id="415"),
    pytest.param(
        400, openai_error(_OVER, "invalid_request_error", "context_length_exceeded"),
        "context_length_exceeded", id="context-openai",
    ),
    pytest.param(400, openai_error(_OVER, "BadRequestError", 400), "context_length_exceeded",
                 id="context-vllm"),
    pytest.param(
        400, anthropic_error("prompt is too long: 210000 tokens > 200000 maximum",
                             "invalid_request_error"),
        "context_length_exceeded", id="context-anthropic",
    ),
    pytest.param(
        400, openai_error("Range of input length should be [1, 30720]", "invalid_request_error",
                          "invalid_parameter_error"),
        "context_length_exceeded", id="context-dashscope",
    ),
]  # fmt: skip

QUOTA = [
    pytest.param(402, {"error": {"message": "Insufficient Balance"}}, id="402-deepseek"),
    pytest.param(402, openai_error("Insufficient credits", None, 402), id="402-openrouter"),
    pytest.param(402, anthropic_error("Payment required", "billing_error"), id="402-anthropic"),
    pytest.param(402, {}, id="402-and-no-word"),
    *(
        pytest.param(429, openai_error("You exceeded your current quota.", kind, code), id=name)
        for name, kind, code in (
            ("openai-quota", "insufficient_quota", "insufficient_quota"),
            ("openai-quota-as-type", "insufficient_quota", None),
            ("openai-credit", "insufficient_quota", "credit_balance_exhausted"),
            ("openai-organization", "billing", "organization_spend_limit_exceeded"),
            ("openai-project", "billing", "project_spend_limit_exceeded"),
            ("openai-usage", "billing", "organization_usage_limit_exceeded"),
            ("openai-billing", "billing_not_active", "billing_not_active"),
        )
    ),
    pytest.param(400, openai_error("Billing hard limit has been reached", "invalid_request_error",
                                   "billing_hard_limit_reached"), id="openai-400"),
    pytest.param(
        429, anthropic_error("Spend limit reached.", "rate_limit_error",
                             details={"error_code": "enforced_spend_limit_reached"}),
        id="anthropic-enforced",
    ),
    pytest.param(
        400, anthropic_error("Your credit balance is too low to access the Anthropic API.",
                             "invalid_request_error"),
        id="anthropic-credit",
    ),
    pytest.param(
        400, anthropic_error("You have reached your specified API usage limits. You will regain "
                             "access on 2026-02-01.", "invalid_request_error"),
        id="anthropic-usage",
    ),
    pytest.param(
        400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in "
              "good standing.", "request_id": "r"}, id="dashscope-arrearage",
    ),
    pytest.param(400, openai_error("Access denied.", "Arrearage", "Arrearage"),
                 id="dashscope-arrearage-compatible"),
    pytest.param(403, openai_error("The free tier of the model has been exhausted.",
                                   "AllocationQuota.FreeTierOnly", "AllocationQuota.FreeTierOnly"),
                 id="dashscope-free-tier"),
    pytest.param(429, openai_error("Free allocated quota exceeded.", "Throttling.AllocationQuota",
                                   "Throttling.AllocationQuota"), id="dashscope-free-quota"),
    pytest.param(403, {"code": "CommodityUnpurchased", "message": "Not purchased."},
                 id="dashscope-unpurchased"),
]  # fmt: skip

PER_MINUTE = [
    pytest.param(429, openai_error("Rate limit reached for gpt.", "requests", "rate_limit_exceeded"),
                 id="openai"),
    pytest.param(429, anthropic_error("This request would exceed the rate limit.",
                                      "rate_limit_error"), id="anthropic"),
    pytest.param(429, openai_error("Requests rate limit exceeded, please try again later.",
                                   "Throttling.RateQuota", "Throttling.RateQuota"),
                 id="dashscope-rate"),
    pytest.param(429, openai_error("Allocated quota exceeded, please increase your quota limit.",
                                   "Throttling.AllocationQuota", "insufficient_quota"),
                 id="dashscope-allocation"),
    pytest.param(429, openai_error("You exceeded your current quota, see https://help.aliyun.com/x",
                                   "insufficient_quota", "insufficient_quota"),
                 id="dashscope-insufficient"),
    pytest.param(503, openai_error("Slow down.", "server_error", "slow_down"), id="slow-down"),
]  # fmt: skip
