"""Which addresses a backend may have: public ones, private ones with leave, some never.

The ranges are written out, not asked of `ipaddress`: its `is_global` changed between patch releases of
Python, and what may be reached must not. Sources: the IANA registries of special-purpose addresses,
https://www.iana.org/assignments/iana-ipv4-special-registry and `.../iana-ipv6-special-registry`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address


class Reach(Enum):
    """Who may be asked at an address. In the order in which one decides about many."""

    PUBLIC = 0
    PRIVATE = 1  # of a network of one's own: this machine, a company, a carrier
    METADATA = 2  # link-local, or where a cloud hands out credentials to whoever asks from inside
    NOBODY = 3  # of no single machine: unspecified, multicast, reserved


def _networks(*texts: str) -> tuple[tuple[IPv4Network, ...], tuple[IPv6Network, ...]]:
    found = [ip_network(text) for text in texts]
    return (
        tuple(one for one in found if isinstance(one, IPv4Network)),
        tuple(one for one in found if isinstance(one, IPv6Network)),
    )


# Besides the link-local 169.254.169.254: AWS over IPv6, Google over IPv6, Alibaba Cloud, Oracle Cloud, and
# Azure's wire server. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
_METADATA = _networks(
    "169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32",
    "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128",
)  # fmt: skip
_NOBODY = _networks("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8")
_PRIVATE = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "2001:2::/48", "2001:db8::/32", "3fff::/20",
)  # fmt: skip
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # what is outside it is nobody's public address
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE = IPv6Network("::/96")
_LOOPBACK = IPv6Address("::1")
_SITES = frozenset(
    {
        "corp", "home", "internal", "intranet", "lan", "local", "localdomain", "localhost", "private", "svc",
        "test",
    }
)  # fmt: skip
"""Endings of names that no public name server knows (RFC 6761, RFC 6762 appendix G, ICANN's `internal`)."""


def reach_of(address: Address) -> Reach:
    """Return who may be asked there; an address that hides others is as bad as the worst of them."""
    hidden = hidden_in(address)
    own = _own_reach(address, hiding=bool(hidden))
    return max((own, *map(reach_of, hidden)), key=lambda reach: reach.value)


def hidden_in(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address stands for: mapped, NAT64, 6to4, Teredo."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    compatible = address in _IPV4_COMPATIBLE and int(address) > 1  # neither :: nor ::1
    return (last,) if compatible or address in _NAT64 or address in _NAT64_LOCAL else ()


def _own_reach(address: Address, *, hiding: bool) -> Reach:
    for reach, networks in (
        (Reach.NOBODY, _NOBODY),
        (Reach.METADATA, _METADATA),
        (Reach.PRIVATE, _PRIVATE),
    ):
        if any(address in network for network in networks[address.version == 6]):
            return reach
    if isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST:
        return Reach.PUBLIC
    # NAT64 is how a machine without IPv4 reaches the public IPv4 addresses.
    return Reach.PUBLIC if hiding and address not in _NAT64_LOCAL else Reach.PRIVATE


def refused_because(addresses: Iterable[str], *, private_allowed: bool) -> str | None:
    """Return why a name that has these addresses may not be asked, or None if it may.

    One address that may not be asked is enough: whoever answers for the name chose them all.

    Args:
        addresses: Every one that the name has.
        private_allowed: Whether its backend may be in a private network.
    """
    for text in addresses:
        reach = _reach_of_text(text)
        if reach is None:
            return f"has {text!r}, which is no address"
        if reach is Reach.METADATA:
            return f"has the address {text}, link-local or of a metadata service: never a backend"
        if reach is Reach.NOBODY:
            return f"has the address {text}, which is not of one machine"
        if reach is Reach.PRIVATE and not private_allowed:
            return (
                f"has the address {text}, of a private network; write private: true if its backend "
                "is there"
            )
    return None


@lru_cache(maxsize=1_024)
def _reach_of_text(text: str) -> Reach | None:
    """A few addresses are connected to again and again; reading one costs more than all else here."""
    try:
        return reach_of(ip_address(text))
    except ValueError:
        return None


def plainly_private(host: str) -> bool:
    """Return whether a host can only be meant as one of a private network.

    A private address itself, this machine, a name without a dot, or one with an ending such as
    `.internal` that is no public one.

    Args:
        host: Of a checked base URL: in lower case, an IPv6 address in brackets.
    """
    try:
        return reach_of(ip_address(host.strip("[]"))) is Reach.PRIVATE
    except ValueError:
        labels = host.split(".")
        return len(labels) == 1 or labels[-1] in _SITES or labels[-2:] == ["home", "arpa"]
