"""What may be shown of a backend's words.

A backend's message can hold our key (a 401 that echoes it) and the caller's prompt (a validation error
that echoes its input). Callers need the message all the same: "max_tokens must be at least 1" is the
whole point of a 400. So:

* exception texts hold `safe_message`: no key, no echoed input, no control characters, 500 characters.
* spans, logs, metrics and receipts hold none of it: they get the status or the kind, and at most the
  backend's `code` and `type`, which are its own words and not the caller's.

An exception's text is for the caller, who knows the prompt. Who logs it decides that for himself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from hybridllm._core.resilience.error_body import MESSAGE_MAX, ErrorBody

MASK = "[redacted]"
_SECRET_MIN = 4  # a shorter one would blank out half of the text; no real key is that short
_TEXT_MAX = 8 * 1024
_PLAIN = re.compile(r"[A-Za-z0-9_.~\-]*")  # looks the same percent-encoded and in HTML

_VENDOR_KEY = (
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|xai|nvapi|r8|hf|fw|csk|tgp|pplx|ghp|gho|glpat|xox[abp])"
    r"[-_][A-Za-z0-9_\-*.]{6,512}"
)
_CLOUD_KEY = r"(?<![A-Za-z0-9])(?:AIza[A-Za-z0-9_\-]{20,100}|(?:AKIA|ASIA)[A-Z0-9]{12,32})"
_JWT = r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{8,4096}(?:\.[A-Za-z0-9_\-]{0,4096}){0,2}"
_SCHEME = (
    r"(?i:\b(?:bearer|basic)\s{1,4})"
    r"(?=[A-Za-z0-9_\-.~+/=*]{0,512}[0-9*]|[A-Za-z0-9_\-.~+/=*]{20})[A-Za-z0-9_\-.~+/=*]{6,4096}"
)
_AFTER_WORD = (
    r"(?i:(?<![A-Za-z])(?:api[-_ ]?key|key|token|secret|password|authorization|credentials?)"
    r"(?:\s(?:provided|is|was|of))?[\s\"'`:=(\[]{1,8})"
    r"(?=[A-Za-z0-9_\-.~+/=*]{0,512}[0-9*])[A-Za-z0-9_\-.~+/=*]{16,4096}"
)
_LONG_RUN = (
    r"(?<![A-Za-z0-9_])(?=[0-9_]{0,64}[A-Za-z])(?=[A-Za-z_]{0,64}[0-9])[A-Za-z0-9_]{40,4096}={0,2}"
)
_KEYLIKE = re.compile("|".join((_VENDOR_KEY, _CLOUD_KEY, _JWT, _SCHEME, _AFTER_WORD, _LONG_RUN)))
_ECHOED_INPUT = re.compile(
    r"""(["']input["']:\s{0,4})(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|['"].*\Z|[\[{].*\Z)""",
    re.DOTALL,
)


def safe_message(error: ErrorBody, secrets: Iterable[str] = ()) -> str:
    """Return what an exception may say of a backend's error: redacted, without echoed input, cut.

    Args:
        error: As read; its message is raw.
        secrets: Every key that may have been sent, values and not names.
    """
    return redact(_ECHOED_INPUT.sub(r"\1[...]", error.message), secrets)


def redact(text: str, secrets: Iterable[str] = (), *, length_max: int = MESSAGE_MAX) -> str:
    """Return `text` on one line, without secrets, cut to `length_max` characters.

    What goes: each of `secrets` in any case, also percent-encoded, escaped for HTML, or cut off by
    the end of the text; whatever looks like a key (`sk-...`, `Bearer ...`, a JWT, a long token after
    the word key); control and other invisible characters.
    """
    text = "".join(c if c.isprintable() else " " for c in text[:_TEXT_MAX])
    text = " ".join(text.split())
    for form in _forms(secrets):
        text = _without(text, form)
    text = _KEYLIKE.sub(MASK, text)
    return text if len(text) <= length_max else text[: max(length_max - 1, 0)] + "…"


def _forms(secrets: Iterable[str]) -> list[str]:
    """Return each secret as it may be echoed, the longest first: one may be the start of another."""
    forms = {secret for secret in secrets if len(secret) >= _SECRET_MIN}
    for secret in [form for form in forms if not _PLAIN.fullmatch(form)]:
        forms |= {quote(secret, safe=""), escape(secret)}
    return sorted((form.lower() for form in forms), key=len, reverse=True)


def _without(text: str, form: str) -> str:
    """Return `text` without `form` (in lower case), whole or as the cut-off end of the text."""
    low = text.lower()
    if form in low:
        text = re.sub(re.escape(form), MASK, text, flags=re.IGNORECASE)
        low = text.lower()
    start = low.find(form[:_SECRET_MIN], max(0, len(low) - len(form)))
    while start >= 0:
        if form.startswith(low[start:]):
            return text[: start - len(low)] + MASK
        start = low.find(form[:_SECRET_MIN], start + 1)
    return text
