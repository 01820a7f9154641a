"""What a backend's error means, whichever vendor's words say so.

Owns the vendors' vocabulary. Codes and types are the backend's own words. A message may echo the
caller's prompt, so no message decides anything by what it merely contains, where a caller could use
that to send others away from a backend: such a message must begin with the words.
"""

from __future__ import annotations

import re

from hybridllm._core.resilience.error_body import ErrorBody

CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"

_QUOTA_WORDS = frozenset(
    {
        "insufficientquota",  # OpenAI
        "creditbalanceexhausted",
        "enforcedspendlimitreached",  # Anthropic, in details.error_code
        "billingerror",
        "billinghardlimitreached",
        "billingnotactive",
        "arrearage",  # DashScope, with status 400
        "allocationquotafreetieronly",  # DashScope, with status 403
        "commodityunpurchased",
        "insufficientbalance",  # DeepSeek
        "insufficientcredits",  # OpenRouter
        "quotaexceeded",
    }
)
_QUOTA_ENDINGS = ("spendlimitexceeded", "usagelimitexceeded", "spendlimitreached")
_QUOTA_STARTS = (
    "free allocated quota exceeded",  # DashScope
    "the free tier of the model has been exhausted",
    "you have reached your specified api usage limits",  # Anthropic, with status 400
    "you have reached your specified workspace api usage limits",
    "your credit balance is too low",
)
# DashScope says `insufficient_quota` for a limit per minute: with these words, or with its own link.
_PER_MINUTE_STARTS = ("allocated quota exceeded", "requests rate limit exceeded")
_PER_MINUTE_LINKS = ("aliyun.com", "alibabacloud.com", "qwencloud.com")

_MODEL_WORDS = frozenset(
    {"modelnotfound", "modelaccessdenied", "modelnotsupported", "invalidmodel"}
)
_NO_SUCH_MODEL = re.compile(
    r"the model .{1,200} (?:does not exist|was not found|not found)|no such model"
    r"|model .{1,200} (?:not found|does not exist|is not supported)"
    r"|project .{1,100} does not have access to model",
    re.IGNORECASE,
)
_FILTER_WORDS = frozenset(
    {
        "contentfilter",
        "contentpolicyviolation",
        "datainspectionfailed",
        "moderationblocked",
        "responsibleaipolicyviolation",
    }
)

_CONTEXT_WORDS = frozenset(
    {
        "contextlengthexceeded",
        "exceedcontextsizeerror",
        "contextwindowexceeded",
        "stringabovemaxlength",
    }
)
_CONTEXT_MESSAGE = re.compile(
    r"maximum context length"  # OpenAI, vLLM, SGLang, DeepSeek, Mistral
    r"|max_tokens=\d{1,12} cannot be greater than max_model_len"  # vLLM
    r"|exceeds? the (?:available|model's|maximum) context"  # llama.cpp
    r"|prompt is too long: \d"  # Anthropic
    r"|exceed(?:s|ed)? (?:the )?context (?:limit|window|length|size)"
    r"|input token count .{0,40}exceeds the maximum"  # Gemini
    r"|range of input length should be"  # DashScope
    r"|too large for model with \d{1,12} maximum context",  # Mistral
    re.IGNORECASE,
)
_NO_ROOM = re.compile(r"max_tokens must be at least 1, got (-?\d{1,12})")

_STATUS_OF = {
    "badrequest": 400,
    "badrequesterror": 400,
    "invalidrequest": 400,
    "invalidrequesterror": 400,
    "invalidparameter": 400,
    "invalidprompt": 400,
    "validationerror": 400,
    "unprocessableentityerror": 422,
    "authenticationerror": 401,
    "invalidapikey": 401,
    "unauthorized": 401,
    "permissiondenied": 403,
    "permissiondeniederror": 403,
    "permissionerror": 403,
    "accessdenied": 403,
    "forbidden": 403,
    "notfound": 404,
    "notfounderror": 404,
    "requesttimeout": 408,
    "requesttoolarge": 413,
    "ratelimit": 429,
    "ratelimited": 429,
    "ratelimiterror": 429,
    "ratelimitexceeded": 429,
    "slowdown": 429,
    "throttling": 429,
    "throttlingratequota": 429,
    "throttlingallocationquota": 429,
    "toomanyrequests": 429,
    "resourceexhausted": 429,
    "internalerror": 500,
    "internalservererror": 500,
    "servererror": 500,
    "apierror": 500,
    "badgateway": 502,
    "engineoverloaded": 503,
    "serviceunavailable": 503,
    "serviceunavailableerror": 503,
    "unavailable": 503,
    "gatewaytimeout": 504,
    "timeouterror": 504,
    "overloaded": 529,
    "overloadederror": 529,
}


def words(error: ErrorBody) -> tuple[str, ...]:
    """Return code, inner codes and type, the most telling first, as bare lower-case words.

    `insufficient_quota` and `InsufficientQuota` are one word to everybody but a computer.
    """
    names = (error.code, *error.details, error.type)
    return tuple("".join(c for c in name.lower() if c.isalnum()) for name in names if name)


def status_of(error: ErrorBody) -> int:
    """Return the HTTP status that an error inside a 200 stands for; 500 if it does not tell."""
    if error.status is not None:
        return error.status
    said = words(error)
    if is_context_overflow(error) or is_filtered(error):
        return 400
    if is_quota(error):
        return 429
    if not _MODEL_WORDS.isdisjoint(said):
        return 404
    return next((_STATUS_OF[word] for word in said if word in _STATUS_OF), 500)


def is_quota(error: ErrorBody) -> bool:
    """Return whether money or a monthly quota ran out: waiting a minute would not help."""
    message = error.message.lower()
    if message.startswith(_PER_MINUTE_STARTS):
        return False
    said = words(error)
    if "insufficientquota" in said and any(link in message for link in _PER_MINUTE_LINKS):
        return False
    return (
        not _QUOTA_WORDS.isdisjoint(said)
        or any(word.endswith(_QUOTA_ENDINGS) for word in said)
        or message.startswith(_QUOTA_STARTS)
    )


def is_model_missing(error: ErrorBody) -> bool:
    """Return whether the backend does not serve this model, or not to us."""
    said = words(error)
    if not _MODEL_WORDS.isdisjoint(said) or (error.param == "model" and "notfounderror" in said):
        return True
    return bool(_NO_SUCH_MODEL.match(error.message))


def is_filtered(error: ErrorBody) -> bool:
    """Return whether a content filter refused the prompt; asking elsewhere would be filter shopping."""
    return not _FILTER_WORDS.isdisjoint(words(error))


def is_context_overflow(error: ErrorBody, *, output_tokens_max: int | None = None) -> bool:
    """Return whether the request does not fit into the model's context.

    A prompt that exactly fills the context gets "max_tokens must be at least 1, got 0" from vLLM,
    whatever `max_tokens` was: it is what is left over. Only if the caller really asked for that many
    (`output_tokens_max`) does the message mean what it says.
    """
    if not _CONTEXT_WORDS.isdisjoint(words(error)) or error.param == "input_tokens":
        return True
    no_room = _NO_ROOM.match(error.message)
    if no_room:
        return output_tokens_max is None or output_tokens_max >= 1
    return bool(_CONTEXT_MESSAGE.search(error.message))
