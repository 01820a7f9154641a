"""The router as users hold it: built from a policy file, with every part put in its place."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from hybridllm._compose.explained import call_to_explain, explained_in, explained_now
from hybridllm._compose.namespaces import Chat, Embeddings, Models
from hybridllm._compose.parts import WATCH_S, Parts
from hybridllm._compose.status import Status, status_of, status_socket
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.wall_clock import utc_by
from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from hybridllm._compose.ledger import Ledger
    from hybridllm._compose.world import World
    from hybridllm._core.bulk.result import BulkProgress
    from hybridllm._runtime.bulk.job import BulkJob
    from hybridllm._runtime.ports import Clock, Wire
    from hybridllm._runtime.wake import WakeHook

DRAIN_S = 5.0
"""For requests under way when a router is closed: most answers come, and no process ends much later."""


class Router(Parts):
    """Decides, for every request, who answers it; survives failures; tells what it cost.

    Made by `from_file` or `from_text`; used as `async with`, or from program start to `aclose`. Making one
    opens no connection, so it may be made anywhere, before a fork too.

    It works in one event loop at a time: when that is closed, or the process was forked, the next request
    finds everything new but what was learnt of the backends. `explain` and `status` may be called in any
    thread.
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
        chance: Callable[[], float] | None = None,
        status_dir: str | Path | None = None,
        wake: WakeHook | None = None,
        volume_file: str | Path | None = None,
        ledger: Ledger | str | Path | None = None,
    ) -> None:
        """Build a router from a compiled policy; `from_file` is the usual way.

        Args:
            policy: As `check` returns it.
            environ: Where keys are read, by name. Default: this process's environment.
            wire: How requests travel. Default: one pooled aiohttp session.
            tracer_provider: Where spans go. Default: OpenTelemetry's global provider.
            meter_provider: Where metrics go. Default: OpenTelemetry's global provider.
            clock: Time, for tests.
            chance: A number in [0, 1), drawn anew at each call; for simulations that can be repeated.
            status_dir: A folder in which `hybridllm status` finds this router: from `async with` or the first
                request until `aclose` it serves its status there, on a unix socket that only this user can
                open. Default: none.
            wake: Called with the name of a backend that sleeps (`cold_start`) and is needed, or soon will be;
                may be a coroutine function. Default: only its own `wake` URL is asked.
            volume_file: An SQLite file that keeps volumes over restarts, so that `sustained` conditions and
                break-even have a history; made if it is not there. Several routers and processes may share
                one. Default: none, volumes are counted in memory.
            ledger: Where every attempt and every request is written down, with what it cost: an SQLite file's
                path, a database's URL, or a `Ledger`. Default: nowhere.

        Raises:
            InvalidRequest: If sockets cannot be put into `status_dir`, or should not.
            LedgerError: If a ledger cannot be kept in such a place.
        """
        super().__init__(
            policy,
            environ=environ,
            wire=wire,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            clock=clock,
            chance=chance,
            wake=wake,
            volume_file=volume_file,
            ledger=ledger,
        )
        if status_dir is not None:
            self._socket = status_socket(status_dir, self.status)
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
        chance: Callable[[], float] | None = None,
        watch: bool = False,
        watch_s: float = WATCH_S,
        status_dir: str | Path | None = None,
        wake: WakeHook | None = None,
        volume_file: str | Path | None = None,
        ledger: Ledger | str | Path | None = None,
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
            chance: A number in [0, 1), drawn anew at each call; for simulations that can be repeated.
            watch: Whether to reload the file by itself when it changes: from `async with` or the first
                request until `aclose`.
            watch_s: Seconds between two looks at it.
            status_dir: A folder in which `hybridllm status` finds this router; see `Router`.
            wake: Called with the name of a backend that is to be woken; see `Router`.
            volume_file: An SQLite file that keeps volumes over restarts; see `Router`.
            ledger: Where it is written down what every request cost; see `Router`.

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
            chance=chance,
            status_dir=status_dir,
            wake=wake,
            volume_file=volume_file,
            ledger=ledger,
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
        chance: Callable[[], float] | None = None,
        status_dir: str | Path | None = None,
        wake: WakeHook | None = None,
        volume_file: str | Path | None = None,
        ledger: Ledger | str | Path | None = None,
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
            chance=chance,
            status_dir=status_dir,
            wake=wake,
            volume_file=volume_file,
            ledger=ledger,
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
        reloader = self._reloading()
        self._lifetime().here()
        return await reloader.reload()

    def status(self) -> Status:
        """Return how the router is now: policy, reloads, every candidate's breaker, gate and latency.

        No I/O; it may be asked at any time, in any thread. `str` of it is a table, `to_dict` is for JSON.
        """
        return self._read(self._status)

    def _status(self) -> Status:
        reloader = self._reloader.made
        found = status_of(
            self._in_force,
            self._engine_once.made,
            self._volumes,
            self._ledger,
            file=None if self._source is None else self._source[0].file,
            watching=reloader is not None and reloader.watching,
        )
        return replace(found, budgets=self._budget_rows())

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
        policy, now_utc = self._in_force.policy, utc_by(self._clock)
        if world is not None:
            return explained_in(call, policy, world, now_utc=now_utc)
        engine = self._engine_once.made
        volumes = self._volumes
        known = {} if (kept := self._budgets.made) is None else kept.known()
        return self._read(
            lambda: explained_now(call, policy, engine, volumes, known, now_utc=now_utc)
        )

    def map(
        self,
        requests: Iterable[Any] | AsyncIterable[Any],
        *,
        operation: Literal["chat", "embeddings"] = "chat",
        concurrency: int = 32,
        ordered: bool = True,
        window: int | None = None,
        journal: str | Path | None = None,
        unknown: Literal["retry", "skip"] = "retry",
        total: int | None = None,
        on_progress: Callable[[BulkProgress], object] | None = None,
    ) -> BulkJob:
        """Ask for the answers to many requests; iterate what is returned for their `BulkResult`s.

        Args:
            requests: Dicts of the keywords of `create`, or pairs (key, dict). Taken one by one as there is
                room, so it may be endless. An exception in a dict's place becomes its item's error. Their
                priority is `batch` and their time that of their task or 600 s, where they say nothing.
            operation: What each asks for.
            concurrency: How many are under way at once, at most.
            ordered: Whether results come in the order of the requests, or as they end.
            window: How many may be taken and not fetched yet. Default: 4 times `concurrency`.
            journal: A file that makes the job resumable, however it ends. It keeps answers, no prompts.
            unknown: Whether what an earlier run sent without an ending is asked for again, or left alone.
            total: How many there are, if `len(requests)` does not tell.
            on_progress: Called with a `BulkProgress`, at most ten times a second, and at the end.

        Raises:
            InvalidRequest: If an argument is not what it may be. While iterating: `BulkFileError`.
        """
        from hybridllm._compose.bulk import built_job

        given = (operation, concurrency, ordered, window, journal, unknown, total, on_progress)
        parts = (lambda: self._engine, lambda: self.policy, self._clock, self._chance)
        return built_job(requests, *given, parts=parts)

    async def aclose(self, *, drain_s: float = DRAIN_S) -> None:
        """Take no more requests, let those under way end, break off the rest, and close every connection.

        A new request raises `RouterClosed` at once, and so does one that is broken off; a stream is under way
        until it has ended or was closed, and raises `StreamInterrupted` with the text so far. Safe to call
        twice, also at the same time: the shortest limit holds. A call that is cancelled breaks off at once.
        `async with` calls it at its end; if an exception ends the block, with `drain_s=0`.

        Args:
            drain_s: How long requests under way may take at most, in seconds; 0 breaks them off at once.

        Raises:
            InvalidRequest: If `drain_s` is negative or no number.
        """
        if not drain_s >= 0:
            raise InvalidRequest(f"drain_s: {drain_s!r} is not a number of seconds from 0 up")
        await self._end(drain_s)

    async def __aenter__(self) -> Router:
        self._begin()
        await self._counting()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose(drain_s=DRAIN_S if error is None else 0)

    def __repr__(self) -> str:
        return f"Router(policy={self.policy.name!r}, version={self.policy.version!r})"
