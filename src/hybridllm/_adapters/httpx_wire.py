"""HTTP over a client that the user made: an `httpx.AsyncClient` or an `httpx2.AsyncClient`.

The only door to both; neither is imported, the client at hand tells which one it is. Of the client we
use what is below HTTP: its transport, proxy, certificates and pool. Its own headers, cookies, auth,
redirects and timeouts are not used: they would go to every backend of the policy alike.
No error that leaves this module has a cause or a context: theirs hold the request, key and prompt.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from hybridllm._adapters.tls import tls_words
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import STALE_WITHIN_S, WireError, WireRequest

# A client whose pool is smaller than what is asked of it at once is a local matter; better told soon.
_POOL_WAIT_S = 0.5
_CLOSE_S = 0.5


class AsyncClient(Protocol):
    """What is needed of the user's client."""

    async def send(
        self, request: Any, *, stream: bool = ..., auth: Any = ..., follow_redirects: Any = ...
    ) -> Any:
        """Send one request."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class HttpxWire:
    """A wire over the user's own client.

    Its pool should hold more connections than there are requests at once: nobody waits longer than
    half a second for one. The client's event hooks are called; its other defaults are not used.

    Prefer `httpx2`: `httpx` (with httpcore 1.0.9) now and then loses a connection of its pool for good
    when a request is cancelled. After 4,200 random cancellations over a pool of 10 none was left;
    `httpx2` lost none. Source: https://github.com/encode/httpcore/issues/1093.

    Args:
        client: An `httpx.AsyncClient` or `httpx2.AsyncClient`, or one derived from them.
        owns_client: Whether closing this wire closes the client; otherwise it stays the user's.

    Raises:
        TypeError: If the client is none of these; a synchronous one would block the event loop.
    """

    def __init__(self, client: AsyncClient, *, owns_client: bool = False) -> None:
        self._library = _library_of(client)
        self._client = client
        self._owns_client = owns_client

    async def send(self, request: WireRequest) -> HttpxResponse:
        """See `Wire.send`."""
        connected = False
        sent_at_s: float | None = None
        now_s = asyncio.get_running_loop().time

        async def watch(event: str, _info: object) -> None:
            nonlocal connected, sent_at_s
            connected |= event.startswith("connection.connect")
            if event.endswith("send_request_headers.started"):
                sent_at_s = now_s()

        timeout = {"connect": request.connect_timeout_s, "pool": _POOL_WAIT_S}
        try:
            response = await self._client.send(
                self._library.Request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    content=request.body,
                    extensions={"timeout": timeout | {"read": None, "write": None}, "trace": watch},
                ),
                stream=True,
                auth=None,
                follow_redirects=False,
            )
            return HttpxResponse(response, self._library)
        except asyncio.CancelledError as error:
            raise _bare(error) from None
        except Exception as error:  # noqa: BLE001 - a border: transport and hooks are the user's
            at_once = sent_at_s is not None and now_s() - sent_at_s < STALE_WITHIN_S
            failure = _translated(error, self._library, stale=at_once and not connected)
        raise failure  # outside the handler: its context would hold the request

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._owns_client:
            await self._client.aclose()


class HttpxResponse:
    """See `WireResponse`."""

    __slots__ = ("_broken", "_library", "_pieces", "_response", "headers", "status")

    def __init__(self, response: Any, library: Any) -> None:
        self._response = response
        self._library = library
        # A transport in memory, or a hook of the client, may have read the body already.
        self._pieces: AsyncIterator[bytes] = (
            _once(response.content) if response.is_stream_consumed else response.aiter_raw()
        )
        self._broken = False
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def chunk(self) -> bytes:
        """See `WireResponse.chunk`."""
        if self._broken:  # the iterator of a broken body ends as if it were whole
            raise WireError(FailureKind.RESET, "the body broke off before")
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except asyncio.CancelledError as error:
            self._broken = True
            raise _bare(error) from None
        except Exception as error:  # noqa: BLE001 - a border: the transport is the user's
            self._broken = True
            failure = _translated(error, self._library, stale=False, in_body=True)
        else:
            return b""
        raise failure  # outside the handler: its context would hold the exchange

    async def close(self, *, reusable: bool) -> None:
        """See `WireResponse.close`. At the end of its body a response has closed itself.

        Whatever `reusable` says: the library keeps a connection whose body was read to its end, and
        closes any other.
        """
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._response.aclose()
        except Exception:  # noqa: BLE001, S110 - it is given up in any case; nobody can act on it
            pass


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _library_of(client: object) -> Any:
    """The module whose `AsyncClient` this is."""
    for kind in type(client).__mro__:
        library = kind.__module__.partition(".")[0]
        if kind.__name__ == "AsyncClient" and library in {"httpx", "httpx2"}:
            return importlib.import_module(library)
    kind = type(client)
    hint = "; a synchronous client would block the event loop"
    known = hasattr(client, "send") and not inspect.iscoroutinefunction(client.send)
    raise TypeError(
        "HttpxWire takes an httpx.AsyncClient or an httpx2.AsyncClient, "
        f"not {kind.__module__}.{kind.__qualname__}{hint if known else ''}"
    )


def _bare(error: asyncio.CancelledError) -> asyncio.CancelledError:
    """The same cancellation, without what the library did on its way out."""
    error.__context__ = None
    return error.with_traceback(None)


def _translated(error: Exception, library: Any, *, stale: bool, in_body: bool = False) -> WireError:
    """Say in our words what the library said in its own; the text of its errors is never used."""
    name = type(error).__name__
    if isinstance(error, library.ConnectTimeout):
        return WireError(FailureKind.CONNECT_TIMEOUT, "no connection in time")
    if isinstance(error, library.PoolTimeout):
        return WireError(FailureKind.LOCAL, "the client's connection pool is full")
    if isinstance(error, (library.ConnectError, library.ProxyError)):
        reason = _system_error(error)
        if isinstance(reason, ssl.SSLError):
            return WireError(FailureKind.TLS, tls_words(reason))
        return WireError(FailureKind.CONNECT, reason.strerror or name if reason else name)
    if in_body and isinstance(error, library.TransportError):
        return WireError(FailureKind.RESET, f"the body broke off ({name})")
    if isinstance(error, library.RemoteProtocolError) and "disconnected" not in str(error):
        return WireError(FailureKind.INVALID_RESPONSE, f"not HTTP ({name})")
    if isinstance(error, (library.NetworkError, library.RemoteProtocolError)):
        if stale:
            return WireError(FailureKind.STALE_CONNECTION, "a kept connection was closed")
        return WireError(FailureKind.RESET, f"the connection broke ({name})")
    return WireError(FailureKind.LOCAL, name)


def _system_error(error: BaseException) -> OSError | None:
    """The error of the system, or of TLS, that `error` came from."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None or (isinstance(cause, OSError) and cause.strerror):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
