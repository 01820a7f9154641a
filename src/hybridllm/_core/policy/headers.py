"""Which headers a policy may add to the requests of a backend.

Those that say who asks, where to, or how the body is framed belong to the wire: set from a file they
could send a key elsewhere or make one request look like two. Credentials belong to `api_key_env`.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")  # RFC 9110, 5.6.2: token
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?\Z")
_OF_THE_WIRE = frozenset(
    {
        "accept", "accept-encoding", "alt-used", "connection", "expect", "forwarded", "host",
        "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
        "traceparent", "tracestate", "baggage",
    }
)  # fmt: skip
_OF_THE_WIRE_PREFIXES = ("content-", "proxy-", "sec-", "x-forwarded-", ":")
_CREDENTIALS = re.compile(
    r"auth|cookie|api-?key|secret|token|password|credential|signature", re.IGNORECASE
)


def checked_header_name(name: str) -> str:
    """Return a header's name as written.

    Raises:
        ValueError: If a policy may not set it; the message is a predicate.
    """
    if not _NAME.match(name):
        raise ValueError("is not the name of a header")
    if name.lower() in _OF_THE_WIRE or name.lower().startswith(_OF_THE_WIRE_PREFIXES):
        raise ValueError("is set by the router itself and cannot be set by a policy")
    if _CREDENTIALS.search(name):
        raise ValueError(
            "carries credentials; name the variable that holds the key under api_key_env"
        )
    return name


def checked_header_value(value: object) -> str:
    """Return a header's value as written.

    Raises:
        ValueError: If it could not be sent as one line; the message is a predicate.
    """
    if not isinstance(value, str) or not _VALUE.match(value):
        raise ValueError(
            "is not a header's value: printable ASCII on one line, at most 1024 characters"
        )
    return value
