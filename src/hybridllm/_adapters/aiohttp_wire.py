"""HTTP over one pooled aiohttp session.

With `aiohttp_names` the only door to aiohttp. Redirects and environment proxies are off, bodies arrive as
they were sent, and no error that leaves this module has a cause or a frame that holds headers or a body.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

import aiohttp

from hybridllm._adapters.aiohttp_names import (
    AddressRefused,
    CheckedNames,
    checked_socket,
    is_private,
    private_allowed,
)
from hybridllm._adapters.name_look_up import look_up_in_thread
from hybridllm._adapters.tls import client_context, tls_words
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.names import Names
from hybridllm._runtime.ports import STALE_WITHIN_S, LookUp, WireError, WireRequest

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

# vLLM closes an idle connection after 5.00 s; below that we never race it (measured, vllm.md).
KEEPALIVE_S = 4.0
_LARGE_BODY_BYTES = 1 << 20  # beyond it aiohttp wants a stream rather than one write

# Whether the connection that the current task got last had been used before. A plain close on such a
# connection, before any byte of an answer, is a stale keep-alive and no fault of the backend.
_reused: ContextVar[bool] = ContextVar("hybridllm_connection_reused", default=False)


class _Connector(aiohttp.TCPConnector):
    """Tells new connections from kept ones, and lets nobody have one to where he may not go.

    It keeps its hands off those of another process: to close a connection is to take it off the event loop's
    list in the kernel, and a child of `fork` shares that list with its parent, who would never hear of the
    connection again.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen: WeakSet[ResponseHandler] = WeakSet()
        self._private: WeakSet[ResponseHandler] = WeakSet()
        self._pid = os.getpid()

    def drop(self) -> None:
        """Close every connection, from outside the loop."""
        self._closed = True  # else the destructor would try to
        for protocol in self._seen:
            if protocol.transport is not None:
                _aborted(protocol.transport)
        self._conns.clear()

    def _release(self, *given: Any, **options: Any) -> None:
        if self._pid == os.getpid():
            super()._release(*given, **options)

    def __del__(self, *given: Any) -> None:
        if self._pid == os.getpid():
            super().__del__(*given)

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Connection:  # noqa: ASYNC109 - aiohttp's signature
        _reused.set(False)
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        while protocol is not None and protocol in self._seen and protocol.should_close:
            # Something came that nobody had asked for: it would be read as the answer to this request.
            connection.close()
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
        if protocol is not None:
            if protocol in self._seen:
                _reused.set(True)
            else:
                self._seen.add(protocol)
                if is_private(req.url.raw_host, connection.transport):
                    self._private.add(protocol)
            if self._private and protocol in self._private and not private_allowed.get():
                # Kept by a backend at the same place that may go there.
                connection.close()
                raise AddressRefused("a kept connection leads into a private network")
        return connection


class AiohttpWire:
    """The default wire. Made and used inside one event loop.

    Args:
        ssl_context: In the place of our own.
        look_up: Asks for the addresses of host names; by default the system.
    """

    def __init__(
        self, *, ssl_context: ssl.SSLContext | None = None, look_up: LookUp | None = None
    ) -> None:
        now_s = asyncio.get_running_loop().time
        self._resolver = CheckedNames(Names(look_up or look_up_in_thread(), now_s=now_s))
        self._connector = _Connector(
            limit=0,  # slots are the router's; a pool that waits would look like a slow backend
            keepalive_timeout=KEEPALIVE_S,
            resolver=self._resolver,
            use_dns_cache=False,  # the resolver keeps them; here they would be used unchecked
            socket_factory=checked_socket,
        )
        self._ssl_context = ssl_context
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        # An instrumented application would send its baggage and trace headers to every backend; the
        # policy says who gets trace headers, and nobody gets baggage.
        self._session.trace_configs.clear()
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._open: set[aiohttp.ClientResponse] = set()
        self._now_s = now_s

    async def send(self, request: WireRequest) -> AiohttpResponse:
        """See `Wire.send`."""
        sent_at_s = self._now_s()
        private_allowed.set(request.private_allowed)
        try:
            response = await self._session.request(
                request.method,
                request.url,
                data=_payload(request.body),
                headers=request.headers,
                allow_redirects=False,
                ssl=self._tls(request.url),
                timeout=self._timeout(request.connect_timeout_s),
            )
            return AiohttpResponse(response, self._open)
        except asyncio.CancelledError as error:
            raise error.with_traceback(None) from None
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            at_once = self._now_s() - sent_at_s < STALE_WITHIN_S
            failure = _translated(error, stale=at_once and _reused.get())
        raise failure  # outside the handler: its context would hold the request

    async def close(self) -> None:
        """See `Wire.close`. Answers under way are broken off first: aiohttp would not wake their readers."""
        for response in list(self._open):
            response.close()
        self._open.clear()
        await self._session.close()
        await self._resolver.close()

    def _tls(self, url: str) -> ssl.SSLContext | Literal[True]:
        if not url.startswith("https:"):
            return True  # not used
        if self._ssl_context is None:
            self._ssl_context = client_context()
        return self._ssl_context

    def drop(self) -> None:
        """See `OwnWire.drop`."""
        self._open.clear()
        self._session.detach()
        self._connector.drop()

    def forsake(self) -> None:
        """See `OwnWire.forsake`."""
        self._session.detach()

    def _timeout(self, connect_s: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            if len(self._timeouts) >= 256:
                self._timeouts.clear()
            # ceil_threshold: aiohttp would round a timeout above 5 s up to the next full second
            # `connect` bounds DNS too; no slot is waited for, because the pool has no limit
            timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, ceil_threshold=1e9)
            self._timeouts[connect_s] = timeout
        return timeout


def _aborted(transport: asyncio.BaseTransport) -> None:
    """Abort a connection, even if its loop is closed.

    A transport says goodbye in a later turn of its loop. Where none will come, the step that it would take
    then is taken now; asyncio has no other name for it. Else the socket would stay open until somebody is
    warned of it.
    """
    try:
        transport.abort()  # type: ignore[attr-defined]  # a Transport; aiohttp says less
    except RuntimeError:
        tls = getattr(transport, "_ssl_protocol", None)
        lost = getattr(getattr(tls, "_transport", transport), "_call_connection_lost", None)
        if lost is not None:
            with suppress(Exception):  # its listeners cannot be told either
                lost(None)


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    if body is not None and len(body) > _LARGE_BODY_BYTES:
        return io.BytesIO(body)
    return body


class AiohttpResponse:
    """See `WireResponse`."""

    __slots__ = ("_open", "_response", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, open_now: set[aiohttp.ClientResponse]
    ) -> None:
        self._response = response
        self._open = open_now
        open_now.add(response)
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def chunk(self) -> bytes:
        """See `WireResponse.chunk`."""
        content = self._response.content
        failure: WireError | None = None
        while failure is None:
            try:
                data = await content.readany()
            except asyncio.CancelledError as error:
                raise error.with_traceback(None) from None
            except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
                failure = _translated(error, stale=False)
            else:
                if data or content.at_eof():
                    return data
        raise failure  # outside the handler: its context would hold the exchange

    async def close(self, *, reusable: bool) -> None:
        """See `WireResponse.close`. At the end of a body aiohttp has handed the connection back itself."""
        self._open.discard(self._response)
        if not (reusable and self._response.content.at_eof()):
            self._response.close()


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether it was our own shortage that broke the connection: it says nothing about the backend."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _translated(error: Exception, *, stale: bool) -> WireError:
    """Say in our words what aiohttp said in its own; the text of its errors is never used."""
    name = type(error).__name__
    if _out_of_memory(error):
        return WireError(FailureKind.LOCAL, "this process has no memory left")
    unconnected = _not_connected(error)
    if unconnected is not None:
        return unconnected
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        if stale:
            return WireError(FailureKind.STALE_CONNECTION, "a kept connection was closed")
        return WireError(FailureKind.RESET, f"the connection broke ({name})")
    if isinstance(error, aiohttp.ClientResponseError):
        return WireError(FailureKind.INVALID_RESPONSE, f"not HTTP ({name})")
    if isinstance(error, aiohttp.ClientPayloadError | ConnectionError):
        return WireError(FailureKind.RESET, f"the body broke off ({name})")
    if isinstance(error, aiohttp.ClientError):
        return WireError(FailureKind.RESET, name)
    return WireError(FailureKind.LOCAL, name)


def _not_connected(error: Exception) -> WireError | None:
    """The same for what went wrong before anything was sent; None for anything later."""
    if isinstance(error.__cause__, AddressRefused):
        return WireError(FailureKind.ADDRESS_REFUSED, error.__cause__.detail)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return WireError(FailureKind.TLS, tls_words(error.certificate_error))
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return WireError(FailureKind.TLS, tls_words(error.os_error))
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.SocketTimeoutError):
        return WireError(FailureKind.CONNECT_TIMEOUT, "no connection in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        told = error.os_error.strerror or type(error.os_error).__name__
        unnamed = isinstance(error, aiohttp.ClientConnectorDNSError)
        return WireError(
            FailureKind.CONNECT, f"its name has no address: {told}" if unnamed else told
        )
    return None
