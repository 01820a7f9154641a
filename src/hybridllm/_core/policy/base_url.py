"""Which URLs a backend may have: its base URL, and one that wakes it.

A base URL decides where prompts and keys go, so it must read the same to a person, to this check and to
the HTTP client: spellings on which URL parsers differ are refused, not repaired. What a name resolves
to is not known here; the wire connects.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from hybridllm._core.policy.addresses import Reach, hidden_in, plainly_private, reach_of

_URL = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?\Z", re.IGNORECASE)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?\Z")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?\Z")
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_HOST_IN_ANY_SCRIPT = re.compile(r"https?://([\w.-]{1,253})(?::[0-9]+)?(?:/|\Z)", re.IGNORECASE)
_LENGTH_MAX = 2_048
_METADATA_NAMES = frozenset(
    {
        "instance-data", "instance-data.ec2.internal", "metadata", "metadata.azure.internal", "metadata.goog",
        "metadata.google.internal", "metadata.tencentyun.com",
    }
)  # fmt: skip
# Public names that resolve to whatever address they spell: 169.254.169.254.nip.io.
_ADDRESS_IN_NAME = (".nip.io", ".sslip.io", ".xip.io", ".localtest.me", ".lvh.me")


def checked_base_url(url: str, *, allow_plaintext: bool) -> str:
    """Return a base URL in its one spelling: lower-case host, no dot after it, no slash at the end.

    Raises:
        ValueError: If it may not be used; the message is a predicate.
    """
    parts = _parts(
        url,
        what="a base URL; write https://host/v1, or http:// for a host of your own",
        instead="; name the key's variable under api_key_env",
    )
    if parts.scheme == "http" and not (parts.loopback or allow_plaintext):
        raise ValueError(
            "sends prompts and keys in plain text; use https://, or write allow_plaintext: true for a "
            "network that you trust"
        )
    if parts.path.rstrip("/").endswith(("/chat/completions", "/embeddings", "/models")):
        raise ValueError(
            "goes too far; a base URL ends where /chat/completions would begin, mostly with /v1"
        )
    return f"{parts.scheme}://{parts.host}{parts.port}{parts.path.rstrip('/')}"


def checked_wake_url(url: str) -> str:
    """Return a URL that wakes a backend, in its one spelling. No prompt and no key goes there.

    Raises:
        ValueError: If it may not be used; the message is a predicate.
    """
    parts = _parts(
        url, what="a URL; write https://host/wake, or http:// for a host of a private network"
    )
    checked = f"{parts.scheme}://{parts.host}{parts.port}{parts.path}"
    if parts.scheme == "http" and not (parts.loopback or plainly_private(host_of(checked))):
        raise ValueError(
            "asks in plain text over a public network; use https://, or http:// for a host of a private "
            "network"
        )
    return checked


class _Parts(NamedTuple):
    """A URL that reads the same to everybody.

    Attributes:
        port: With its colon; empty: that of the scheme.
        loopback: True if the host is this machine.
    """

    scheme: str
    host: str
    port: str
    path: str
    loopback: bool


def _parts(url: str, *, what: str, instead: str = "") -> _Parts:
    if not url.isascii():
        raise ValueError(
            "holds a character that is not ASCII; a letter of another script may look the same"
            + _in_ascii(url)
        )
    if not url.isprintable() or " " in url or "\\" in url or len(url) > _LENGTH_MAX:
        raise ValueError(
            f"holds a space, a backslash or a control character, or is longer than {_LENGTH_MAX}"
        )
    if "?" in url or "#" in url:
        raise ValueError("must have no query (?) and no fragment (#)")
    match = _URL.match(url)
    if match is None:
        raise ValueError(f"is not {what}")
    scheme, authority, path = match[1].lower(), match[2].lower(), match[3] or ""
    if "@" in authority:
        raise ValueError(f"must hold no user name or password{instead}")
    host, port = _host_and_port(authority)
    loopback = _checked_host(host)
    _check_path(path)
    return _Parts(scheme, host, port, path, loopback)


def host_of(base_url: str) -> str:
    """Return the host of a checked base URL, an IPv6 address without its brackets."""
    return urlsplit(base_url).hostname or ""


def private_by_default(base_url: str) -> bool:
    """Return whether whoever wrote a checked base URL can only have meant a private network.

    Plain text to another machine is for networks that one trusts, so it is meant too.
    """
    return base_url.startswith("http://") or plainly_private(host_of(base_url))


def _in_ascii(url: str) -> str:
    """Tell how a host of letters is written in ASCII (RFC 3492), where that can be told."""
    match = _HOST_IN_ANY_SCRIPT.match(url)
    if match is None or match[1].isascii():
        return ""
    labels = [
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
        for label in match[1].lower().split(".")
    ]
    return f"; if this host is meant, write {'.'.join(labels)}"


def _host_and_port(authority: str) -> tuple[str, str]:
    match = _HOST_AND_PORT.match(authority)
    if match is None or not match[1]:
        raise ValueError("has no host, or a port that is not a number")
    if match[2] and not 1 <= int(match[2]) <= 65_535:
        raise ValueError("has a port outside 1 to 65535")
    host = match[1].removesuffix(".")
    return host, f":{int(match[2])}" if match[2] else ""


def _checked_host(host: str) -> bool:
    """Return whether the host is this machine; refuse it if it cannot be told what it is."""
    if host.startswith("["):
        return _checked_address(_ipv6(host[1:-1]))
    if _NUMERIC_LABEL.match(host.rpartition(".")[2]):
        try:
            return _checked_address(ipaddress.IPv4Address(host))
        except ipaddress.AddressValueError:
            raise ValueError(
                "has a host of digits that is no plain IPv4 address; write 10.0.0.7"
            ) from None
    if not _HOST_NAME.match(host):
        raise ValueError("has a host that is neither a name nor an address")
    if host in _METADATA_NAMES:
        raise ValueError("names a cloud's metadata service, which is never a backend")
    if host.endswith(_ADDRESS_IN_NAME):
        raise ValueError("has a public name that stands for any address; write the address itself")
    return host == "localhost"


def _ipv6(text: str) -> ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(text)
    except ipaddress.AddressValueError:
        raise ValueError("has a host in brackets that is no IPv6 address") from None
    if address.scope_id or hidden_in(address):
        raise ValueError("hides another address in an IPv6 address; write that address itself")
    return address


def _checked_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    reach = reach_of(address)
    if reach is Reach.METADATA:
        raise ValueError("is a link-local or metadata address, which is never a backend")
    if reach is Reach.NOBODY or (address.is_reserved and not address.is_loopback):
        raise ValueError("is not the address of one machine")
    return address.is_loopback


def _check_path(path: str) -> None:
    if not _PATH.match(path):
        raise ValueError("has a path that clients read differently; write it plainly, such as /v1")
    segments = path.split("/")
    if "." in segments or ".." in segments:
        raise ValueError("has a path with . or .. in it; write it out")
