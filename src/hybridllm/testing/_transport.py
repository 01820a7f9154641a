"""Faults in front of any wire, without sockets of their own; in virtual time, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import Wire, WireError, WireRequest, WireResponse
from hybridllm.testing._cut_stream import CutStream, Trickle, whole_body
from hybridllm.testing._cuts import BREAKS, ERROR_MESSAGE, HANGS, cut_answer
from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._played import PlayedResponse, forever
from hybridllm.testing._reply import Reply
from hybridllm.testing._shapes_api import ApiShapes
from hybridllm.testing._struck import Struck
from hybridllm.testing._wire import fits

EVERY = "*"
_JSON = (("content-type", "application/json"),)

_ERRORS: Final[Mapping[FaultKind, FailureKind]] = {
    FaultKind.REFUSE: FailureKind.CONNECT,
    FaultKind.RESET_BEFORE_HEAD: FailureKind.RESET,
    FaultKind.RESET_MID_HEAD: FailureKind.RESET,
    FaultKind.FIN_BEFORE_HEAD: FailureKind.RESET,
    FaultKind.STALE_KEEP_ALIVE: FailureKind.STALE_CONNECTION,
    FaultKind.GARBAGE: FailureKind.INVALID_RESPONSE,
}
_KINDS: Final = frozenset(_ERRORS) | {
    FaultKind.NONE,
    FaultKind.BLACKHOLE,
    FaultKind.HANG,
    FaultKind.HANG_AFTER_HEAD,
    FaultKind.STATUS,
    FaultKind.BODY,
    FaultKind.SLOW,
    FaultKind.TRICKLE,
    FaultKind.CUT,
}


class FaultTransport:
    """A wire that breaks what passes through it, in front of the wire that you have.

    For a trial of a policy and an application against faults, with any wire: scripted answers in virtual
    time, or your own client and a real backend in staging. It does nothing by itself: who wants faults
    makes one and hands it to the router.

    A fault that leaves no answer leaves no request either: nothing is sent. A cut answer was asked for,
    and its backend has worked for it.

    Args:
        wire: Where requests go in the end.
        faults: By address: the start of a URL (`https://eu.example/v1`), a host (`eu.example`), or `*` for
            every other address; the longest that fits wins.
        seed: Decides which requests a fault with a probability strikes.

    Attributes:
        sent: How many requests came.
        struck: How many of them a fault struck.

    Raises:
        ValueError: If a fault is one of those that only a real connection can have.
    """

    def __init__(
        self,
        wire: Wire,
        faults: Mapping[str, Fault | Sequence[Fault]] | None = None,
        *,
        seed: int = 1,
    ) -> None:
        self._wire = wire
        self.any_loop: bool = getattr(wire, "any_loop", False)
        self._seed = seed
        self._struck: dict[str, Struck] = {}
        self._kept: set[str] = set()  # hosts that an earlier request has left a connection to
        self.sent = 0
        self.struck = 0
        for address, wrong in (faults or {}).items():
            self.set_fault(address, wrong)

    def set_fault(self, address: str, fault: Fault | Sequence[Fault] | None) -> None:
        """Have this wrong with an address from now on; requests in progress keep theirs.

        Raises:
            ValueError: If a fault is one of those that only a real connection can have.
        """
        struck = Struck(fault)
        for each in struck.faults:
            if each.kind not in _KINDS:
                raise ValueError(
                    f"{each.kind} needs a real connection: use SimulatedBackend; FaultTransport can do "
                    f"{', '.join(sorted(_KINDS - {FaultKind.NONE}))}"
                )
        self._struck[address] = struck

    def heal(self) -> None:
        """Have no fault any more, anywhere."""
        self._struck.clear()

    async def send(self, request: WireRequest) -> WireResponse:
        """Let the request pass, or do to it what the fault says.

        Raises:
            WireError: If the fault says so, or the wire below.
        """
        self.sent += 1
        fault = self._fault_for(request)
        if fault is None:
            return await self._wire.send(request)
        self.struck += 1
        if (error := _ERRORS.get(fault.kind)) is not None:
            raise WireError(error, f"fault: {fault.kind}")
        match fault.kind:
            case FaultKind.BLACKHOLE:
                await asyncio.sleep(request.connect_timeout_s)
                raise WireError(FailureKind.CONNECT_TIMEOUT, f"fault: {fault.kind}")
            case FaultKind.HANG:
                await forever()
            case FaultKind.HANG_AFTER_HEAD:
                return PlayedResponse(Reply(headers=_JSON, hangs=True))
            case FaultKind.STATUS | FaultKind.BODY:
                return PlayedResponse(_reply(fault))
            case FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
        response = await self._wire.send(request)
        match fault.kind:
            case FaultKind.TRICKLE:
                return Trickle(response, piece_bytes=fault.size, interval_s=fault.seconds)
            case FaultKind.CUT:
                return await _cut(response, fault)
        return response

    async def close(self) -> None:
        """Close the wire below."""
        await self._wire.close()

    def _fault_for(self, request: WireRequest) -> Fault | None:
        parts = urlsplit(request.url)
        fresh = parts.netloc not in self._kept
        fitting = [address for address in self._struck if fits(address, request.url)]
        address = max(fitting, key=len, default=EVERY)
        fault = None
        if (struck := self._struck.get(address)) is not None:
            fault = struck.fault_for(
                path=parts.path, seed=self._seed, number=self.sent, fresh_connection=fresh
            )
        if fault is None:
            self._kept.add(parts.netloc)
        else:
            self._kept.discard(parts.netloc)
        return fault


def _reply(fault: Fault) -> Reply:
    """The answer that a fault is."""
    headers = dict(fault.headers)
    if fault.payload is None:
        body = _error(fault.status_code, f"simulated failure with status {fault.status_code}")
        return Reply.json(body, status=fault.status_code, headers=headers)
    headers.setdefault("content-type", "application/json")
    return Reply.raw(fault.payload, status=fault.status_code, headers=headers)


async def _cut(response: WireResponse, fault: Fault) -> WireResponse:
    """An answer gone wrong; one that is no answer, or no JSON, passes as it is."""
    error = _error(500, ERROR_MESSAGE)
    kind = response.headers.get("content-type", "")
    if response.status != 200:
        return response
    if kind.startswith("text/event-stream"):
        return CutStream(response, fault, error=error)
    headers = {"content-type": kind}
    body = await whole_body(response)
    try:
        value = json.loads(body)
    except ValueError:
        return PlayedResponse(Reply.raw(body, headers=headers))
    cut = cut_answer(200, value, fault.how, error=error, dumps=lambda v: json.dumps(v).encode())
    reply = Reply.raw(cut.body, status=cut.status, headers=headers)
    if fault.how in BREAKS:
        reply = reply.then_fail(FailureKind.RESET)
    elif fault.how in HANGS:
        reply = reply.then_hang()
    return PlayedResponse(reply)


def _error(status: int, message: str) -> dict[str, object]:
    return ApiShapes().error(status, message)
