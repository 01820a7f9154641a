"""The router as users hold it: built from a policy file, with every part put in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hybridllm._adapters.environment import environment_of
from hybridllm._compose.explained import call_to_explain, explained_in, explained_now
from hybridllm._compose.namespaces import Chat, Embeddings, Models
from hybridllm._compose.status import Status, status_of
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.errors import InvalidRequest, RouterClosed

if TYPE_CHECKING:
    from datetime import datetime

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from hybridllm._adapters.status_socket import StatusSocket
    from hybridllm._compose.world import World
    from hybridllm._runtime.engine import Engine
    from hybridllm._runtime.ports import Clock, Wire
    from hybridllm._runtime.reload import Reloader
    from hybridllm._runtime.source import PolicySource, Taken

WATCH_S = 1.0


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
        meter_provider: MeterProvider | None = None,
        clock: Clock | None = None,
        status_dir: str | Path | None = None,
    ) -> None:
        """Build a router from a compiled policy; `from_file` is the usual way.

        Args:
            policy: As `check` returns it.
            environ: Where keys are read, by name. Default: this process's environment.
            wire: How requests travel. Default: one pooled aiohttp session.
            tracer_provider: Where spans go. Default: OpenTelemetry's global provider.
            meter_provider: Where metrics go. Default: OpenTelemetry's global provider.
            clock: Time, for tests.
            status_dir: A folder in which `hybridllm status` finds this router: from `async with` or the first
                request until `close` it serves its status there, on a unix socket that only this user can
                open. Default: none.

        Raises:
            InvalidRequest: If sockets cannot be put into `status_dir`, or should not.
        """
        self._in_force = InForce(policy, _now(clock))
        self._environ = environment_of(environ)
        self._wire = wire
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._clock = clock
        self._source: tuple[PolicySource, Taken] | None = None
        self._watch_s: float | None = None
        self._built: Engine | None = None
        self._reloader: Reloader | None = None
        self._closed = False
        self._status_dir = _status_folder(status_dir)
        self._status_socket: StatusSocket | None = None
        self.chat = Chat(lambda: self._engine)
        self.embeddings = Embeddings(lambda: self._engine)
        self.models = Models(lambda: self._in_force.policy)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        environment: str | None = None,
        wire: Wire | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        clock: Clock | None = None,
        watch: bool = False,
        watch_s: float = WATCH_S,
        status_dir: str | Path | None = None,
    ) -> Router:
        """Build a router from a policy file.

        Args:
            path: Of the file. `reload` reads it again.
            environ: Variables for `${NAME}` and keys. Default: this process's environment.
            environment: Goes before the `environment` that the file says.
            wire: How requests travel. Default: one pooled aiohttp session.
            tracer_provider: Where spans go. Default: OpenTelemetry's global provider.
            meter_provider: Where metrics go. Default: OpenTelemetry's global provider.
            clock: Time, for tests.
            watch: Whether to reload the file by itself when it changes: from `async with` or the first
                request until `close`.
            watch_s: Seconds between two looks at it.
            status_dir: A folder in which `hybridllm status` finds this router; see `Router`.

        Raises:
            PolicyError: With every problem of the file.
            InvalidRequest: If `watch_s` or `status_dir` will not do.
        """
        from hybridllm._adapters.policy_source import PolicyFile

        if not watch_s > 0:
            raise InvalidRequest(f"watch_s: {watch_s!r} is not above 0; it is a number of seconds")
        source = PolicyFile(path, environ=environ, environment=environment)
        policy, first = source.first()
        router = cls(
            policy,
            environ=environ,
            wire=wire,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            clock=clock,
            status_dir=status_dir,
        )
        router._source = (source, first)
        router._watch_s = watch_s if watch else None
        return router

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
        meter_provider: MeterProvider | None = None,
        clock: Clock | None = None,
        status_dir: str | Path | None = None,
    ) -> Router:
        """Build a router from a policy's text; see `from_file`."""
        from hybridllm._adapters.policy_files import load_policy_text

        policy, _ = load_policy_text(text, name=name, environ=environ, environment=environment)
        return cls(
            policy,
            environ=environ,
            wire=wire,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            clock=clock,
            status_dir=status_dir,
        )

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._in_force.policy

    async def reload(self) -> bool:
        """Read the policy file again, and put it in force if it is another one and good.

        Requests under way end by the policy they began with. Calls at the same time share a load that
        began after each of them. A content that was not loaded lately must look the same twice, 50 ms
        apart; what a writer who pauses for longer has written so far is taken for the whole. To write
        a second file and rename it is the safe way. (A watched file is taken only after it has stood
        still for a whole look: the same at two looks, `watch_s` apart.)

        Returns:
            Whether another policy is in force now; False if the file says what it said before.

        Raises:
            PolicyError: With every problem of the file. The policy in force stays.
            InvalidRequest: If this router was not made from a file.
            RouterClosed: If it is closed, or belongs to another event loop.
        """
        return await self._reloading().reload()

    def status(self) -> Status:
        """Return how the router is now: policy, reloads, every candidate's breaker, gate and latency.

        No I/O; it may be asked at any time, in any thread. `str` of it is a table, `to_dict` is for JSON.
        """
        reloader = self._reloader
        return status_of(
            self._in_force,
            self._built,
            file=None if self._source is None else self._source[0].file,
            watching=reloader is not None and reloader.watching,
        )

    def explain(
        self,
        *,
        operation: str = "chat",
        input_tokens: int | None = None,
        needs: Iterable[str] = (),
        world: World | None = None,
        **params: Any,
    ) -> Explanation:
        """Say what the policy would decide for a request: the very decision that a call takes.

        Args:
            operation: `chat` or `embeddings`.
            input_tokens: Length of the prompt, where no messages are given.
            needs: Capabilities the request needs beyond what its parameters show.
            world: The state of the world to decide in. Default: the router's own, now.
            **params: As for `chat.completions.create` or `embeddings.create`; messages may be left out.

        Returns:
            Who would be asked, in order, who not, and why. No I/O happens.

        Raises:
            InvalidRequest: If the call itself is wrong, or the world names what the policy does not have.
        """
        call = call_to_explain(params, operation=operation, input_tokens=input_tokens, needs=needs)
        del params
        policy, now_utc = self._in_force.policy, _now(self._clock)
        if world is not None:
            return explained_in(call, policy, world, now_utc=now_utc)
        return explained_now(call, policy, self._built, now_utc=now_utc)

    async def close(self) -> None:
        """Close every connection. Requests after that raise `RouterClosed`."""
        self._closed = True
        try:
            if self._built is not None:
                await self._built.close()
            elif self._wire is not None:
                await self._wire.close()
        finally:
            try:
                if self._reloader is not None:
                    await self._reloader.close()
            finally:  # last: who looks how the router ends can still ask
                if self._status_socket is not None:
                    await self._status_socket.close()

    async def __aenter__(self) -> Router:
        self._begin()
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
                self._in_force,
                environ=self._environ,
                wire=self._wire,
                tracer_provider=self._tracer_provider,
                meter_provider=self._meter_provider,
                clock=self._clock,
                ready=self._begin,
            )
        return self._built

    def _begin(self) -> None:
        """Begin to watch the file and to tell the status, if that is wanted."""
        if self._watch_s is not None:
            self._reloading().watch()
        if self._status_dir is not None and not self._closed:
            if self._status_socket is None:
                from hybridllm._compose.build import built_status_socket

                self._status_socket = built_status_socket(self._status_dir, self.status)
            self._status_socket.open()

    def _reloading(self) -> Reloader:
        if self._source is None:
            raise InvalidRequest(
                "reload: this router was not made from a file, so there is nothing to read again; make "
                "it with Router.from_file(path), or make a new router of the new policy"
            )
        if self._reloader is None:
            if self._closed:
                raise RouterClosed("this router is closed; open a new one")
            from hybridllm._compose.build import built_reloader

            source, first = self._source
            self._reloader = built_reloader(
                source,
                first,
                self._in_force,
                swap=self._swap,
                meter_provider=self._meter_provider,
                clock=self._clock,
                watch_s=self._watch_s or WATCH_S,
            )
        return self._reloader

    def _swap(self, policy: Policy) -> None:
        """Put another policy in force. Requests under way keep the one they began with."""
        if self._built is not None:
            self._built.follow(policy)
        self._in_force.policy = policy

    def __repr__(self) -> str:
        return f"Router(policy={self.policy.name!r}, version={self.policy.version!r})"


def _status_folder(path: str | Path | None) -> Path | None:
    if path is None:
        return None
    from hybridllm._adapters.status_socket import status_folder

    return status_folder(path)


def _now(clock: Clock | None) -> datetime:
    if clock is not None:
        try:
            return clock.utc_now()
        except RuntimeError:  # it follows an event loop, and none runs yet
            pass
    return utc_now()
