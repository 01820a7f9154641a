"""A backend on a loopback port: real HTTP, simulated answers, faults on demand."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from hybridllm.testing._answers import AnswerText
from hybridllm.testing._endpoints import Endpoints, Refused
from hybridllm.testing._exchange import Exchange
from hybridllm.testing._faults import Fault, FaultKind
from hybridllm.testing._http1 import Connection, RecordedRequest
from hybridllm.testing._listener import Listener
from hybridllm.testing._metrics import Load
from hybridllm.testing._real_engine import total
from hybridllm.testing._shapes import BackendKind, Shapes
from hybridllm.testing._shapes_api import ApiShapes
from hybridllm.testing._shapes_vllm import VllmShapes
from hybridllm.testing._struck import Struck


class SimulatedBackend:
    """An OpenAI-compatible backend for tests, on a loopback port. It says that it is simulated.

    It answers `POST /v1/chat/completions` (streamed or not), `POST /v1/embeddings`, `GET /v1/models`,
    `GET /health`, and as kind `vllm` `GET /metrics`, `GET /is_sleeping`, `POST /sleep`, `POST /wake_up`,
    in the shapes of OpenAI's API or of vLLM 0.32; every answer has the header
    `server: hybridllm-simulated`. Tokens are counted by `count_tokens` and `prompt_tokens`. The same
    requests get the same answers on every run.

    It lives in the running event loop and needs real time: not for `VirtualTimeLoop`. Every
    attribute below may be changed while it runs.

    Attributes:
        name: For people, and in the default answer.
        models: The names it serves, at least one. A request for another one gets a 404.
        kind: Whose shapes it imitates.
        api_key: The key that `/v1` asks for; None asks for none.
        latency_s: From the request to the first token.
        tokens_per_s: Speed of each answer after its first token; None is as fast as possible.
        answer: What it says, or a function that tells from the request's JSON. A request for JSON by
            a schema, or for a tool call, is answered with the smallest value that fits instead; what a
            function says is always taken as it is. A vLLM that is asked to go on with a message
            (`continue_final_message`) says what is left of its answer after it, if it begins so.
        reasoning: What it thinks before; None is no reasoning.
        cached_tokens: How many prompt tokens it reports as cached, at most; None reports nothing.
        tells_cached: Whether it reports what its prefix cache knew instead (kind `vllm`).
        context_tokens: Its context length; None is 32,768 in `/v1/models` and no limit.
        dimensions: Length of its embeddings.
        slots: How many requests it works on at once; the others wait. Not to be changed later.
        queue_max: How many may wait; one more gets a 503. None is no limit.
        prefill_tokens_per_s: Speed of prompts, but for what the prefix cache knows; None is at once.
        kv_blocks: Size of a vLLM's KV cache in blocks of 32 tokens. Who finds no room in it waits, though
            slots may be free. Not to be changed later.
        data_parallel: Engines, each with its own slots and cache. Not to be changed later.
        cold_start_s: From waking until it serves.
        metrics: Values that replace those of `/metrics`, by full name; None hides one.
        seed: Decides which requests a fault with a probability strikes, and the answers' ids.
        idle_timeout_s: It closes connections that were idle for so long (vLLM: 5). None: never.
        requests: Every request that arrived, in order.
        served: How many answers were sent to their end, as the client asked.
        connections_opened: How many connections were ever opened.
        errors: Exceptions of `answer` functions; the client got a 500. The first one is raised when
            the block ends.
    """

    def __init__(
        self,
        *,
        name: str = "simulated",
        models: Sequence[str] = ("simulated-model",),
        kind: BackendKind = "api",
        api_key: str | None = None,
        latency_s: float = 0.0,
        tokens_per_s: float | None = None,
        answer: AnswerText | None = None,
        reasoning: str | None = None,
        cached_tokens: int | None = None,
        context_tokens: int | None = None,
        dimensions: int = 64,
        slots: int | None = None,
        queue_max: int | None = None,
        prefill_tokens_per_s: float | None = None,
        tells_cached: bool = False,
        kv_blocks: int = 2_048,
        data_parallel: int = 1,
        asleep: bool = False,
        cold_start_s: float = 0.0,
        idle_timeout_s: float | None = None,
        seed: int = 1,
        fault: Fault | Sequence[Fault] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if kind not in {"api", "vllm"}:
            raise ValueError(f"unknown kind of backend {kind!r}; known: api, vllm")
        if not models:
            raise ValueError(f"backend {name!r} serves no model; name at least one")
        self.name = name
        self.models = list(models)
        self.kind = kind
        self.api_key = api_key
        self.latency_s = latency_s
        self.tokens_per_s = tokens_per_s
        self.answer: AnswerText = answer or f"A simulated answer from {name}."
        self.reasoning = reasoning
        self.cached_tokens = cached_tokens
        self.context_tokens = context_tokens
        self.dimensions = dimensions
        self.slots = slots
        self.queue_max = queue_max
        self.prefill_tokens_per_s = prefill_tokens_per_s
        self.tells_cached = tells_cached
        self.kv_blocks = kv_blocks
        self.data_parallel = data_parallel
        self.cold_start_s = cold_start_s
        self.metrics: dict[str, float | None] = {}
        self.idle_timeout_s = idle_timeout_s
        self.seed = seed
        self.requests: list[RecordedRequest] = []
        self.served = 0
        self.connections_opened = 0
        self.errors: list[Exception] = []
        self._tls = tls
        self._fault = fault
        self._struck = Struck(fault)
        self._arrived = 0
        self._in_progress = 0
        self._open: set[Connection] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._listener: Listener | None = None
        self._down = False
        self._awake_from_s = math.inf if asleep else 0.0
        self._shapes: Shapes = VllmShapes() if kind == "vllm" else ApiShapes()
        self._endpoints = Endpoints(self, self._shapes)

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError(f"simulated backend {self.name!r} is open already")
        self._listener = Listener(self._new_connection, tls=self._tls)
        self._apply_to_port()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = self._break_connections()
        await self._port.release()
        self._listener = None
        # No TaskGroup: see Connection. They end at once, for their connections are gone.
        if tasks:
            await asyncio.wait(tasks)
        await self._all_closed.wait()
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def base_url(self) -> str:
        """Where clients are to be sent; ends in `/v1`."""
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The same without `/v1`: where `/health` and `/metrics` are."""
        scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self._port.port}"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. It stays the same while the backend is down."""
        return self._port.port

    @property
    def fault(self) -> Fault | Sequence[Fault] | None:
        """What is wrong with it. Of several, a request gets the first one that strikes it.

        Setting it works at once; requests in progress keep theirs.
        """
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | Sequence[Fault] | None) -> None:
        self._fault = fault
        self._struck = Struck(fault)
        self._down = False
        if self._listener is not None:
            self._apply_to_port()

    @property
    def active(self) -> int:
        """How many requests are in progress, hanging ones included."""
        return self._in_progress

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._open)

    @property
    def load(self) -> Load:
        """What it is doing and has done, as `/metrics` tells it; of several engines, the sum."""
        return total([engine.load for engine in self._endpoints.engines])

    @property
    def asleep(self) -> bool:
        """Whether it sleeps or loads: its models answer 503, everything else as ever."""
        if self._awake_from_s in {0.0, math.inf}:
            return bool(self._awake_from_s)
        return asyncio.get_running_loop().time() < self._awake_from_s

    def sleep(self) -> None:
        """Fall asleep, as `POST /sleep` does: what is under way goes on, the cache is forgotten."""
        self._awake_from_s = math.inf
        for engine in self._endpoints.engines:
            engine.forget()

    def wake(self) -> None:
        """Begin to load, as `POST /wake_up` does (which answers at once); awake after `cold_start_s`."""
        if math.isinf(self._awake_from_s):
            self._awake_from_s = asyncio.get_running_loop().time() + self.cold_start_s

    def heal(self) -> None:
        """Have no fault any more, and listen on the same port."""
        self.fault = None

    def kill(self) -> None:
        """Die: refuse new connections and reset all open ones. `heal` brings it back."""
        self._down = True
        self._apply_to_port()
        self._break_connections()

    @property
    def _port(self) -> Listener:
        if self._listener is None:
            raise RuntimeError(f"simulated backend {self.name!r} is not open: use `async with`")
        return self._listener

    def _apply_to_port(self) -> None:
        """Listen, refuse or be a black hole, as the faults say."""
        kinds = {fault.kind for fault in self._struck.faults}
        if FaultKind.BLACKHOLE in kinds:
            self._port.blackhole()
        elif self._down or FaultKind.REFUSE in kinds:
            self._port.close()
        else:
            self._port.open()
            return
        for connection in tuple(self._open):
            if connection.task is None:
                connection.fin()

    def _break_connections(self) -> list[asyncio.Task[None]]:
        tasks = [task for connection in self._open if (task := connection.task) is not None]
        for connection in tuple(self._open):
            connection.rst()
        return tasks

    def _new_connection(self) -> Connection:
        self.connections_opened += 1
        return Connection(
            self.connections_opened,
            answer=self._answer,
            opened=self._remember,
            closed=self._forget,
            idle_timeout_s=self.idle_timeout_s,
        )

    def _remember(self, connection: Connection) -> None:
        self._open.add(connection)
        self._all_closed.clear()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    async def _answer(self, connection: Connection, request: RecordedRequest) -> None:
        self.requests.append(request)
        self._arrived += 1
        self._in_progress += 1
        try:
            fault = self._fault_for(request)
            exchange = Exchange(connection, request, self._shapes, fault)
            if await self._respond(request, exchange):
                self.served += 1
            if fault is not None and fault.kind is FaultKind.CLOSE_IDLE:
                connection.fin()
        finally:
            self._in_progress -= 1
        if self._listener is not None and not self._listener.is_listening:
            connection.fin()

    async def _respond(self, request: RecordedRequest, exchange: Exchange) -> bool:
        """Answer. True if the whole answer was sent."""
        try:
            if await exchange.strikes_first():
                return False
            await self._endpoints.answer(request, exchange)
        except Refused as refusal:
            await exchange.send_json(refusal.status, refusal.body)
        except Exception as error:  # noqa: BLE001 - a test's own `answer` may raise anything
            self.errors.append(error)
            if exchange.head_sent:
                exchange.give_up()
                return False
            message = f"the simulated backend failed: {error!r}"
            await exchange.send_json(500, self._shapes.error(500, message))
        return not exchange.will_cut

    def _fault_for(self, request: RecordedRequest) -> Fault | None:
        return self._struck.fault_for(
            path=request.path,
            seed=self.seed,
            number=self._arrived,
            fresh_connection=request.number_on_connection == 1,
        )
