"""The router as users hold it: built from a policy file, with every part put in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hybridllm._adapters.environment import environment_of
from hybridllm._compose.namespaces import Chat, Embeddings, Models, read_call
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.snapshot import IDLE
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.problems import nearest
from hybridllm._core.request.read import Call, facts_of
from hybridllm.errors import InvalidRequest, RouterClosed

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.ports import Clock, Wire


class Router:
    """Decides, for every request, who answers it; survives failures; tells what it cost.

    Made by `from_file` or `from_text`; used as `async with`. Belongs to the event loop of its first
    request. Making one opens no connection.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        environ: Mapping[str, str] | None = None,
        wire: Wire | None = None,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Build a router from a compiled policy; `from_file` is the usual way.

        Args:
            policy: As `check` returns it.
            environ: Where keys are read, by name. Default: this process's environment.
            wire: How requests travel. Default: one pooled aiohttp session.
            tracer_provider: Where spans go. Default: OpenTelemetry's global provider.
            clock: Time, for tests.
        """
        self._policy = policy
        self._environ = environment_of(environ)
        self._wire = wire
        self._tracer_provider = tracer_provider
        self._clock = clock
        self._built: Engine | None = None
        self._closed = False
        self.chat = Chat(lambda: self._engine)
        self.embeddings = Embeddings(lambda: self._engine)
        self.models = Models(policy)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        environment: str | None = None,
        wire: Wire | None = None,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
    ) -> Router:
        """Build a router from a policy file.

        Args:
            path: Of the file.
            environ: Variables for `${NAME}` and keys. Default: this process's environment.
            environment: Goes before the `environment` that the file says.
            wire: How requests travel. Default: one pooled aiohttp session.
            tracer_provider: Where spans go. Default: OpenTelemetry's global provider.
            clock: Time, for tests.

        Raises:
            PolicyError: With every problem of the file.
        """
        from hybridllm._adapters.policy_files import load_policy

        policy, _ = load_policy(path, environ=environ, environment=environment)
        return cls(policy, environ=environ, wire=wire, tracer_provider=tracer_provider, clock=clock)

    @classmethod
    def from_text(
        cls,
        text: str | bytes,
        *,
        name: str = "inline",
        environ: Mapping[str, str] | None = None,
        environment: str | None = None,
        wire: Wire | None = None,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
    ) -> Router:
        """Build a router from a policy's text; see `from_file`."""
        from hybridllm._adapters.policy_files import load_policy_text

        policy, _ = load_policy_text(text, name=name, environ=environ, environment=environment)
        return cls(policy, environ=environ, wire=wire, tracer_provider=tracer_provider, clock=clock)

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._policy

    def explain(
        self,
        *,
        operation: str = "chat",
        input_tokens: int | None = None,
        needs: Iterable[str] = (),
        **params: Any,
    ) -> Explanation:
        """Say what the policy would decide for a request now: the very decision that a call takes.

        Args:
            operation: `chat` or `embeddings`.
            input_tokens: Length of the prompt, where no messages are given.
            needs: Capabilities the request needs beyond what its parameters show.
            **params: As for `chat.completions.create` or `embeddings.create`; messages may be left out.

        Returns:
            Who would be asked, in order, who not, and why. No I/O happens.

        Raises:
            InvalidRequest: If the call itself is wrong.
        """
        if operation not in ("chat", "embeddings"):
            raise InvalidRequest(f"operation: {operation!r} is not one of chat, embeddings")
        content: dict[str, Any] = {"messages": []} if operation == "chat" else {"input": "x"}
        params = content | params
        call = read_call(params, operation=operation)
        del params
        if not isinstance(call, Call):
            raise call
        if input_tokens is not None:
            call.input_tokens_estimate = call.input_tokens_total = input_tokens
        call.needs |= _capabilities(needs)
        engine = self._built
        snapshot = IDLE if engine is None else engine.fleet.snapshot()
        plan = decide(self._policy, facts_of(call, self._policy), snapshot)
        refusals: Mapping[int, str] = {}
        if engine is not None and isinstance(plan, Plan):
            refusals = engine.fleet.refusals(plan.kept).reasons
        return Explanation(plan, refusals, snapshot.in_flight)

    async def close(self) -> None:
        """Close every connection. Requests after that raise `RouterClosed`."""
        self._closed = True
        if self._built is not None:
            await self._built.close()
        elif self._wire is not None:
            await self._wire.close()

    async def __aenter__(self) -> Router:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _engine(self) -> Engine:
        """The engine, built at the first request: `explain` needs none, and starts the sooner."""
        if self._built is None:
            if self._closed:
                raise RouterClosed("this router is closed; open a new one")
            from hybridllm._compose.build import built_engine

            self._built = built_engine(
                self._policy,
                environ=self._environ,
                wire=self._wire,
                tracer_provider=self._tracer_provider,
                clock=self._clock,
            )
        return self._built

    def __repr__(self) -> str:
        return f"Router(policy={self.policy.name!r}, version={self.policy.version!r})"


def _capabilities(names: Iterable[str]) -> frozenset[Capability]:
    allowed = [capability.value for capability in Capability]
    names = tuple(names)
    for name in names:
        if name not in allowed:
            raise InvalidRequest(
                f"needs: {name!r} is not one of {', '.join(allowed)}{nearest(name, allowed)}"
            )
    return frozenset(Capability(name) for name in names)
