"""`router.chat.completions`, `router.embeddings`, `router.models`: the call shapes of `openai`.

Whatever leaves here was raised here: the frames of these functions hold no content of a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from hybridllm._core.request.hints import split_hints
from hybridllm._core.request.read import Call, read_chat, read_embeddings
from hybridllm._runtime.context import current_hints
from hybridllm.errors import HybridLLMError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from typing import Unpack

    from openai.pagination import AsyncPage
    from openai.types import CreateEmbeddingResponse, Model
    from openai.types.chat import ChatCompletion, ParsedChatCompletion

    from hybridllm._compose.params import ChatFields, ChatParams, EmbeddingParams
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.stream import Stream

_Format = TypeVar("_Format")


def read_call(params: dict[str, Any], *, operation: str) -> Call | HybridLLMError:
    """Read a call's keywords; an error is returned, so that the caller raises it from a clean frame."""
    try:
        body, hints = split_hints(params, current_hints(), operation=operation)
        return read_chat(body, hints) if operation == "chat" else read_embeddings(body, hints)
    except InvalidRequest as error:
        return error.with_traceback(None)
    except (TypeError, ValueError, AttributeError) as error:
        return InvalidRequest(f"the call cannot be read ({type(error).__name__})")


class Completions:
    """`router.chat.completions`."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...

    @overload
    async def create(self, *, stream: Literal[True], **params: Unpack[ChatParams]) -> Stream: ...

    @overload
    async def create(
        self, *, stream: bool, **params: Unpack[ChatParams]
    ) -> ChatCompletion | Stream: ...

    async def create(self, **params: Any) -> Any:
        """Answer a chat: from the candidates that the policy allows, in its order.

        Takes OpenAI's keywords and our hints (task, residency, tenant, feature, session, priority,
        deadline_s, max_cost_usd, tags, metadata; of a stream also on_interrupt). `model` is optional:
        absent or a task's name, the policy chooses; a logical model of the policy pins it, under the
        policy's hard filters all the same.
        Any other keyword is refused; fields of the backend's own go into `extra_body`.

        Returns:
            An `openai` `ChatCompletion`; with `stream=True` a `Stream`, once its first token is here.

        Raises:
            PolicyDenied: If the policy leaves nobody to ask. Nothing was sent.
            InvalidRequest: If the call itself is wrong. Nothing was sent.
            RequestRejected: If a backend refused the request as such.
            RouteExhausted: If every candidate failed.
            DeadlineExceeded: If the request's deadline passed.
        """
        call = read_call(params, operation="chat")
        del params
        if not isinstance(call, Call):
            raise self._engine().raised(call)
        return await self._engine().run(call)

    async def parse(
        self, *, response_format: type[_Format], **params: Unpack[ChatFields]
    ) -> ParsedChatCompletion[_Format]:
        """Answer a chat with an object of a pydantic model (or dataclass), as `openai`'s `parse` does.

        Args:
            response_format: The class; its JSON schema goes with the request, and needs the capability
                `json_schema`.
            **params: As for `create`.

        Returns:
            An `openai` `ParsedChatCompletion`; the object is `choices[0].message.parsed`.

        Raises:
            TruncatedOutput: If the answer was cut off by its limit; it holds what came.
            ContentFiltered: If the backend withheld the answer.
            InvalidOutput: If the answer does not fit the class; it holds what came.
        """
        from hybridllm._adapters import openai_parse

        fields: dict[str, Any] = dict(params)
        tools = fields.get("tools")
        fields["response_format"] = openai_parse.response_format(response_format)
        wrong = isinstance(fields["response_format"], InvalidRequest)
        call = fields["response_format"] if wrong else read_call(fields, operation="chat")
        del params, fields
        if not isinstance(call, Call):
            raise self._engine().raised(call)
        if call.stream:
            raise self._engine().raised(InvalidRequest("stream: parse does not stream; use create"))
        answer = await self._engine().run(call)
        found = openai_parse.parsed(answer, response_format, tools)
        if isinstance(found, HybridLLMError):
            raise self._engine().raised(found)
        return found  # type: ignore[no-any-return]  # openai's own generic, made at run time


class Chat:
    """`router.chat`."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self.completions = Completions(engine)


class Embeddings:
    """`router.embeddings`."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    async def create(self, **params: Unpack[EmbeddingParams]) -> CreateEmbeddingResponse:
        """Embed texts by a model of the policy that lists `embeddings`.

        Takes OpenAI's keywords and our hints. `vector_space` names the space, or pin a model: whatever fails,
        no vector of another space is returned.

        Raises:
            PolicyDenied: If the policy leaves nobody to ask. Nothing was sent.
            InvalidRequest: If the call itself is wrong. Nothing was sent.
            RequestFailed: If no answer can be had.
        """
        call = read_call(dict(params), operation="embeddings")
        del params
        if not isinstance(call, Call):
            raise self._engine().raised(call)
        answer: CreateEmbeddingResponse = await self._engine().run(call)
        return answer


class Models:
    """`router.models`."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy

    def list(self) -> ModelList:
        """Return the logical models of the policy in force, as `openai` lists models. Asks nobody.

        `await` it for a page, or iterate it with `async for`.
        """
        return ModelList(self._policy())


class ModelList:
    """The policy's logical models: awaited, a page of `openai` `Model`s; iterated, each of them."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def __await__(self) -> Generator[Any, None, AsyncPage[Model]]:
        return self._page().__await__()

    async def __aiter__(self) -> AsyncIterator[Model]:
        for model in (await self._page()).data:
            yield model

    async def _page(self) -> AsyncPage[Model]:
        from hybridllm._adapters.openai_parse import model_page

        return model_page(self._policy)
