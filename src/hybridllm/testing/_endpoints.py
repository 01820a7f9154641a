"""What a simulated backend does for each address: validation, queueing, pacing, counting.

The rules and the words of refusals are vLLM 0.32's and OpenAI's, as captured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hmac import compare_digest
from typing import Any, Protocol

from hybridllm.testing._answers import AnswerText, ChatAnswer, chat_answer, in_one_token
from hybridllm.testing._embeddings import embed, input_tokens, inputs, text_tokens
from hybridllm.testing._exchange import JSON_TYPE, Exchange
from hybridllm.testing._http1 import RecordedRequest
from hybridllm.testing._kv import prompt_keys
from hybridllm.testing._metrics import (
    LOAD_FORMAT_HEADER,
    METRICS_TYPE,
    Load,
    engine_rank,
    load_header,
    page,
)
from hybridllm.testing._real_engine import RealEngine
from hybridllm.testing._shapes import BackendKind, Json, Shapes
from hybridllm.testing._shapes_vllm import BUSY
from hybridllm.testing._tokens import hex_id, prompt_stream
from hybridllm.testing._validation import (
    BadRequest,
    check_chat,
    refuse_fields_of_vllm,
    room_for_answer,
    room_left,
)

_NO_LIMIT = 1 << 40  # blocks of a cache that nobody asks for
_ASLEEP = "The model is sleeping. Wake it with a POST to /wake_up."
CONTEXT_TOKENS = 32_768  # what `/v1/models` says where a backend sets no limit


class Settings(Protocol):
    """What the endpoints read of their backend, at each request anew."""

    name: str
    models: list[str]
    kind: BackendKind
    api_key: str | None
    latency_s: float
    tokens_per_s: float | None
    answer: AnswerText
    reasoning: str | None
    cached_tokens: int | None
    context_tokens: int | None
    dimensions: int
    slots: int | None
    queue_max: int | None
    prefill_tokens_per_s: float | None
    tells_cached: bool
    kv_blocks: int
    data_parallel: int
    metrics: dict[str, float | None]
    seed: int

    @property
    def asleep(self) -> bool:
        """Whether it serves nobody, because it sleeps or loads."""
        ...

    def sleep(self) -> None:
        """Fall asleep."""
        ...

    def wake(self) -> None:
        """Begin to load."""
        ...


class Refused(Exception):
    """The request is answered with an error.

    Attributes:
        status: HTTP status.
        body: JSON of the answer.
    """

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.body = body


class Endpoints:
    """The addresses of one backend.

    Attributes:
        engines: That do its work.
        rejected: Requests that its full queue has turned away.
    """

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        self._settings = settings
        self._shapes = shapes
        self._answers = 0
        self._is_vllm = settings.kind == "vllm"
        blocks = settings.kv_blocks if self._is_vllm else _NO_LIMIT
        self.engines = [
            RealEngine(slots=settings.slots, kv_blocks=blocks)
            for _ in range(settings.data_parallel)
        ]
        self.rejected = 0

    async def answer(self, request: RecordedRequest, exchange: Exchange) -> None:
        """Answer a request.

        Raises:
            Refused: If it is answered with an error, which the caller sends.
        """
        try:
            await self._dispatch(request, exchange)
        except BadRequest as refusal:
            raise Refused(400, self._shapes.bad_request(refusal)) from None

    async def _dispatch(self, request: RecordedRequest, exchange: Exchange) -> None:
        path = request.path.partition("?")[0]
        if path.startswith("/v1/"):
            self._authorize(request)
        match request.method, path:
            case "POST", "/v1/chat/completions":
                await self._chat(request, exchange)
            case "POST", "/v1/embeddings":
                await self._embeddings(request, exchange)
            case "GET", "/v1/models":
                context = self._settings.context_tokens or CONTEXT_TOKENS
                names = self._settings.models
                await exchange.send_json(200, self._shapes.models(names, context_tokens=context))
            case "GET", "/health":
                await exchange.send_body(200, b"", JSON_TYPE)
            case "GET", "/metrics" if self._is_vllm:
                await self._metrics(exchange)
            case "GET", "/is_sleeping" if self._is_vllm:
                await exchange.send_json(200, {"is_sleeping": self._settings.asleep})
            case "POST", "/sleep" | "/wake_up" if self._is_vllm:
                act = self._settings.sleep if path == "/sleep" else self._settings.wake
                act()
                await exchange.send_body(200, b"", JSON_TYPE)
            case _, "/v1/chat/completions" | "/v1/embeddings" | "/v1/models" | "/health":
                raise Refused(405, {"detail": "Method Not Allowed"})
            case _:
                raise Refused(404, {"detail": "Not Found"})

    def _authorize(self, request: RecordedRequest) -> None:
        key = self._settings.api_key
        given = request.headers.get("authorization", "")
        if key is not None and not compare_digest(given.encode(), f"Bearer {key}".encode()):
            raise Refused(401, self._shapes.unauthorized())

    async def _chat(self, request: RecordedRequest, exchange: Exchange) -> None:
        settings = self._settings
        body = self._body(request)
        model = self._model(body)
        answer = self._chat_answer(request, body, model=model)
        if (size := exchange.text_size) is not None:
            answer = in_one_token("x" * size, answer)
        streamed = bool(body.get("stream"))
        engine = self._engine_for(request)
        tokens_in, tokens_out = answer.prompt_tokens, answer.completion_tokens
        if streamed:
            await exchange.begin_stream()  # As vLLM: the head comes at once, queued or not.
        keys = self._keys(model, body)
        async with engine.slot(keys, prompt_tokens=tokens_in, answer_tokens=tokens_out) as cached:
            if settings.tells_cached:
                answer = replace(answer, cached_tokens=cached)
            await asyncio.sleep(settings.latency_s + self._prompt_s(tokens_in - cached))
            if streamed:
                await self._stream(body, answer, exchange)
            else:
                await self._work(tokens_out // len(answer.choices))
        if not streamed:
            await exchange.send_json(200, self._shapes.completion(answer), self._report(request))
        if exchange.will_cut:
            return
        engine.load.prompt_tokens += tokens_in
        engine.load.generation_tokens += tokens_out
        engine.load.finished.update(choice.finish_reason for choice in answer.choices)

    async def _stream(self, body: Json, answer: ChatAnswer, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        choices = len(answer.choices)

        async def before_token(sent: int) -> None:
            if rate := self._settings.tokens_per_s:
                await asyncio.sleep(began_s + sent // choices / rate - loop.time())

        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        events = self._shapes.events(answer, usage=usage, may_finish=not exchange.will_cut)
        await exchange.send_stream(events, before_token=before_token)

    async def _work(self, tokens: int) -> None:
        """Take the time that the tokens after the first one take."""
        if rate := self._settings.tokens_per_s:
            await asyncio.sleep((tokens - 1) / rate)

    async def _embeddings(self, request: RecordedRequest, exchange: Exchange) -> None:
        body = self._body(request)
        model = self._model(body)
        if not all(texts := inputs(body)) or not texts:
            raise BadRequest("The decoder prompt cannot be empty")
        tokens = input_tokens(body)
        room_left(max(map(text_tokens, texts)), context_tokens=self._settings.context_tokens)
        engine = self._engine_for(request)
        async with engine.slot((), prompt_tokens=tokens, answer_tokens=0):
            await asyncio.sleep(self._settings.latency_s + self._prompt_s(tokens))
            vectors = embed(model, body, dimensions=self._settings.dimensions)
            answer_id = self._next_id(request)
            value = self._shapes.embeddings(answer_id, model, vectors, tokens=tokens)
            await exchange.send_json(200, value)
        engine.load.prompt_tokens += tokens

    async def _metrics(self, exchange: Exchange) -> None:
        settings = self._settings
        text = page(
            self._loads(),
            model=settings.models[0],
            kv_blocks=settings.kv_blocks,
            rejected=self.rejected,
            asleep=settings.asleep,
            overrides=settings.metrics,
        )
        await exchange.send_body(200, text.encode(), METRICS_TYPE)

    def _loads(self) -> list[Load]:
        return [engine.load for engine in self.engines]

    def _report(self, request: RecordedRequest) -> Sequence[tuple[str, str]]:
        """Return the load report that a plain answer carries, if it was asked for."""
        if not self._is_vllm:
            return ()
        return load_header(self._loads(), request.headers.get(LOAD_FORMAT_HEADER))

    def _keys(self, model: str, body: Mapping[str, Any]) -> Sequence[int]:
        """Return what the prefix cache knows a prompt by; hosted APIs have none here."""
        if not self._is_vllm:
            return ()
        return prompt_keys(model, prompt_stream(body["messages"], body.get("tools")))

    def _prompt_s(self, tokens: int) -> float:
        rate = self._settings.prefill_tokens_per_s
        return tokens / rate if rate else 0.0

    def _body(self, request: RecordedRequest) -> Json:
        try:
            body = json.loads(request.raw)
        except ValueError:
            place = f"body.{len(request.raw)}"
            raise BadRequest.malformed("JSON decode error", place) from None
        if not isinstance(body, dict):
            raise BadRequest.malformed("Input should be a valid dictionary", "body")
        return body

    def _model(self, body: Mapping[str, Any]) -> str:
        models = self._settings.models
        model = body.get("model")
        if model is None and self._settings.kind == "vllm":
            return models[0]
        if model not in models:
            raise Refused(404, self._shapes.unknown_model(str(model), models))
        return str(model)

    def _chat_answer(
        self, request: RecordedRequest, body: Mapping[str, Any], *, model: str
    ) -> ChatAnswer:
        settings = self._settings
        if settings.kind == "api":
            refuse_fields_of_vllm(body)
        check_chat(body)
        room = room_for_answer(body, context_tokens=settings.context_tokens)
        return chat_answer(
            body,
            answer_id=f"chatcmpl-{self._next_id(request)}",
            model=model,
            answer=settings.answer,
            reasoning=settings.reasoning,
            cached_tokens=settings.cached_tokens,
            room=room,
        )

    def _next_id(self, request: RecordedRequest) -> str:
        given = request.headers.get("x-request-id")
        if given and self._settings.kind == "vllm":
            return given
        self._answers += 1
        return hex_id(self._settings.name, self._settings.seed, self._answers)

    def _engine_for(self, request: RecordedRequest) -> RealEngine:
        """Return the engine that serves a request: the one it asks for, or the one with the least to do.

        Raises:
            Refused: If it sleeps, or its queue is full.
            BadRequest: If there is no engine of that rank.
        """
        settings, loads = self._settings, self._loads()
        if settings.asleep:
            raise Refused(503, self._shapes.error(503, _ASLEEP))
        if settings.slots is not None and settings.queue_max is not None:
            # As `--max-num-queued-reqs` counts: who is served and who waits, together.
            room = settings.slots * len(loads) + settings.queue_max
            if sum(load.running + load.waiting for load in loads) >= room:
                self.rejected += 1
                raise Refused(503, self._shapes.error(503, BUSY))
        rank = request.headers.get("x-data-parallel-rank") if self._is_vllm else None
        return self.engines[engine_rank(loads, rank)]
