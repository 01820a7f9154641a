"""What aiohttp connects to: addresses that were checked, and no others.

The resolver of the wire's connector. aiohttp keeps no addresses of its own beside it, so what is checked
here is what is connected to: a name that changes between check and use has no second look-up to use.
"""

from __future__ import annotations

import socket
from contextvars import ContextVar
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from hybridllm._core.policy.addresses import refused_because
from hybridllm._runtime.names import Names

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

private_allowed: ContextVar[bool] = ContextVar("hybridllm_private_allowed", default=False)
"""Whether the request that the current task sends may go to a private network."""


class AddressRefused(OSError):
    """A name has an address that may not be asked; nothing was sent.

    Attributes:
        detail: Why, and what would allow it.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class CheckedNames(AbstractResolver):
    """Gives aiohttp the addresses of a name, unless one of them may not be asked."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a name's addresses.

        Raises:
            AddressRefused: If one of them may not be asked.
            OSError: If there is none.
        """
        addresses = await self._names.addresses(host)
        refused = refused_because(addresses, private_allowed=private_allowed.get())
        if refused is not None:
            raise AddressRefused(f"{host} {refused}")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=_NUMERIC,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Wait for nothing more."""
        self._names.close()


def checked_socket(address: Any) -> socket.socket:
    """Make the socket for an address, unless nobody may ever be asked there.

    The last door: whatever way an address came to the connector, a metadata service is not connected to.

    Raises:
        AddressRefused: If it is such an address.
    """
    family, kind, protocol, _, place = address
    refused = refused_because((place[0],), private_allowed=True)
    if refused is not None:
        raise AddressRefused(f"the host {refused}")
    return socket.socket(family=family, type=kind, proto=protocol)


def is_private(host: str, transport: Any) -> bool:
    """Return whether a name led into a private network; an address in its place was checked at load."""
    peer = transport.get_extra_info("peername")
    if not peer or peer[0] == host:
        return False
    return refused_because((peer[0],), private_allowed=False) is not None
