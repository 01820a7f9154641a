"""A wire without sockets: every backend answers from a script.

For unit tests of a router, in virtual time if wanted: every wait is an `asyncio.sleep`, a hang is a
future that nobody fulfils.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError, WireRequest, WireResponse
from hybridllm.testing._headers import Headers
from hybridllm.testing._played import PlayedResponse, strike, wait
from hybridllm.testing._reply import Reply


@dataclass(slots=True)
class SentRequest:
    """One request that the router sent, and what became of its connection.

    Attributes:
        method: HTTP method.
        url: The whole URL.
        headers: Header fields; names in any case.
        body: The body as sent; None if there was none.
        sent_at_s: The event loop's time.
        closed: True once the router has given the connection back, or the exchange broke.
        reusable: What the router said as it gave the connection back; None before, or without an answer.
    """

    method: str
    url: str
    headers: Headers = field(repr=False)
    body: bytes | None = field(repr=False)
    sent_at_s: float
    closed: bool = False
    reusable: bool | None = None

    @property
    def json(self) -> Any:
        """The body, decoded from JSON; None if there was none."""
        return None if self.body is None else json.loads(self.body)


Step = Reply | Callable[[SentRequest], Reply]
"""An entry of a script: a reply, or what makes one from the request."""


class UnscriptedRequest(AssertionError):
    """A request went to an address that the script does not know: a bug of the test or of the router."""


class ScriptedWire:
    """A `Wire` that answers from scripts.

    A script is a reply, a function that makes one, or a list of both of which the last one repeats.
    It is found by the start of the URL (`http://eu.test/v1`) or by its host (`eu.test`); the
    longest match wins.

    Attributes:
        requests: Every request that was sent, in order; looks at health pages are not among them.
        health_requests: The addresses of health pages that were looked at. A page takes nothing from the
            script: it says what the next request would be told, or 200 where that is made by a function.
        closed: True once the wire was closed.
    """

    any_loop = True  # it holds nothing of any

    def __init__(self, scripts: Mapping[str, Step | Sequence[Step]]) -> None:
        self._scripts = {key: _Script(steps) for key, steps in scripts.items()}
        self.requests: list[SentRequest] = []
        self.health_requests: list[str] = []
        self.closed = False

    async def send(self, request: WireRequest) -> WireResponse:
        """Answer from the script of the request's address.

        Raises:
            WireError: If the script says so, or the wire is closed.
            UnscriptedRequest: If no script fits.
        """
        if self.closed:
            raise WireError(FailureKind.LOCAL, "the wire is closed")
        script = self._script_for(request.url)
        if request.body is None:
            return await self._health(request, script)
        sent = SentRequest(
            method=request.method,
            url=request.url,
            headers=Headers(request.headers),
            body=request.body,
            sent_at_s=asyncio.get_running_loop().time(),
        )
        self.requests.append(sent)
        reply = script.next(sent)
        try:
            await wait(reply.delay_s)
            if reply.headless:
                await strike(reply)
        except BaseException:
            # Cancelled or broken: either way there is no connection to give back any more.
            sent.closed = True
            raise

        def given_back(reusable: bool) -> None:
            sent.closed, sent.reusable = True, reusable

        return PlayedResponse(reply, given_back)

    async def _health(self, request: WireRequest, script: _Script) -> WireResponse:
        """Answer a look at a health page: well, unless the next request would not be answered at all."""
        self.health_requests.append(request.url)
        reply = script.coming
        if reply is not None and reply.headless:
            await strike(reply)
        said = Reply.status(200) if reply is None else Reply.status(reply.status_code)
        return PlayedResponse(said)

    async def close(self) -> None:
        """Refuse every further request."""
        self.closed = True

    def script(self, address: str, steps: Step | Sequence[Step]) -> None:
        """Give an address a new script, from its beginning."""
        self._scripts[address] = _Script(steps)

    def sent_to(self, address: str) -> list[SentRequest]:
        """Return the requests that went to an address, given as in the script."""
        return [sent for sent in self.requests if fits(address, sent.url)]

    @property
    def active(self) -> int:
        """How many exchanges are open: answered and not yet given back, or waiting for an answer."""
        return sum(not sent.closed for sent in self.requests)

    def _script_for(self, url: str) -> _Script:
        fitting = [address for address in self._scripts if fits(address, url)]
        if not fitting:
            known = ", ".join(self._scripts) or "none"
            raise UnscriptedRequest(f"no script for {url!r}; scripted addresses: {known}")
        return self._scripts[max(fitting, key=len)]


class _Script:
    """Hands out its steps in order, the last one for ever."""

    def __init__(self, steps: Step | Sequence[Step]) -> None:
        self._steps = list(steps) if isinstance(steps, Sequence) else [steps]
        if not self._steps:
            raise ValueError("a script needs at least one reply")
        self._next = 0

    @property
    def coming(self) -> Reply | None:
        """The reply that the next request gets, if that is known."""
        step = self._steps[min(self._next, len(self._steps) - 1)]
        return step if isinstance(step, Reply) else None

    def next(self, sent: SentRequest) -> Reply:
        step = self._steps[min(self._next, len(self._steps) - 1)]
        self._next += 1
        return step if isinstance(step, Reply) else step(sent)


def fits(address: str, url: str) -> bool:
    """Return whether a URL begins with an address, or has it as its host."""
    if "://" not in address:
        parts = urlsplit(url)
        return address in {parts.netloc, parts.hostname}
    prefix = address.rstrip("/")
    return url == prefix or url.startswith((f"{prefix}/", f"{prefix}?"))
