"""A server with slots and a queue, and routers that share it, in steps of ten milliseconds.

Small and exact, for questions about what routers believe: who knows nothing but its own requests and pages.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hybridllm._core.policy.compiled import Backend, BackendKind
from hybridllm._core.policy.hybrid import Saturation
from hybridllm._core.telemetry.report import LoadReport
from hybridllm._core.telemetry.watched import Watched

STEP_S = 0.01
_TTFT_S = 0.08
_PROMPT = 100


def backend(**saturation: float | None) -> Backend:
    return Backend(
        "own",
        BackendKind.VLLM,
        "http://own.test/v1",
        saturation=Saturation(**saturation),  # type: ignore[arg-type]
    )


@dataclass(eq=False)
class Job:
    """One request."""

    router: Router | None  # None: of somebody who does not look
    key: int
    sent_at_s: float
    started_at_s: float | None = None
    told: bool = False

    @property
    def waited_s(self) -> float:
        assert self.started_at_s is not None
        return self.started_at_s - self.sent_at_s


@dataclass(eq=False)
class Server:
    """Works on `slots` requests at once, each for `service_s`; the rest waits in turn."""

    slots: int = 8
    service_s: float = 2.0
    tokens_each: int = 300
    now_s: float = 0.0
    frozen: bool = False
    running: list[Job] = field(default_factory=list)
    queue: deque[Job] = field(default_factory=deque)
    waits: list[tuple[float, float]] = field(default_factory=list)  # (sent at, waited)
    history: list[LoadReport] = field(default_factory=list)
    tokens: float = 0.0
    busy: float = 0.0
    queue_most: int = 0

    def take(self, job: Job) -> None:
        self.queue.append(job)

    def step(self) -> None:
        if not self.frozen:
            self._work()
        self.busy += len(self.running) / self.slots * STEP_S
        self.queue_most = max(self.queue_most, len(self.queue))
        half = self.tokens / 2.0
        self.history.append(
            LoadReport(
                "vllm",
                float(len(self.running)),
                float(len(self.queue)),
                0.3,
                half,
                half,
                self.tokens,
            )
        )

    def _work(self) -> None:
        for job in list(self.running):
            assert job.started_at_s is not None
            self.tokens += self.tokens_each / self.service_s * STEP_S
            if not job.told and self.now_s - job.started_at_s >= _TTFT_S:
                job.told = True
                if job.router is not None:
                    waited_s = self.now_s - job.sent_at_s
                    job.router.watched.first_token(job.key, _PROMPT, waited_s, self.now_s)
            if self.now_s - job.started_at_s >= self.service_s:
                self.running.remove(job)
                if job.router is not None:
                    job.router.watched.over(job.key, self.now_s, answered=True)
                    job.router.watched.used(self.tokens_each, self.now_s)
        while self.queue and len(self.running) < self.slots:
            job = self.queue.popleft()
            job.started_at_s = self.now_s
            self.waits.append((job.sent_at_s, job.waited_s))
            self.running.append(job)

    def page(self, late_s: float = 0.0) -> LoadReport:
        return self.history[max(0, len(self.history) - 1 - round(late_s / STEP_S))]


@dataclass(eq=False)
class Router:
    """Sends to the server unless it believes that it is saturated; then elsewhere."""

    server: Server
    watched: Watched
    page: Callable[[float], LoadReport | None]
    chance: random.Random
    next_poll_s: float = 0.0
    polled_s: float = 0.0
    sent: list[float] = field(default_factory=list)
    overflowed: list[float] = field(default_factory=list)
    keys: int = 0

    def request(self) -> None:
        now_s, watched = self.server.now_s, self.watched
        watched.learn(now_s)
        load = watched.judged(watched.sent - watched.ended, now_s)
        if load.saturated:
            self.overflowed.append(now_s)
            return
        self.keys += 1
        self.sent.append(now_s)
        watched.begun(self.keys, _PROMPT, now_s, stream=True)
        self.server.take(Job(self, self.keys, now_s))

    def poll(self) -> None:
        now_s = self.server.now_s
        soon = self.watched.outdated and now_s - self.polled_s >= 0.25
        if now_s < self.next_poll_s and not soon:
            return
        self.polled_s = now_s
        self.next_poll_s = now_s + self.chance.uniform(0.9, 1.1)
        asked = self.watched.asks(now_s)
        report = self.page(now_s)
        if report is None:
            self.watched.told_nothing()
        else:
            self.watched.told(report, asked, now_s)


def shared(
    routers: int = 1,
    *,
    server: Server | None = None,
    page: Callable[[Server, float], LoadReport | None] = lambda server, _: server.page(),
    seed: int = 1,
    **saturation: float | None,
) -> tuple[Server, list[Router]]:
    """Return a server and the routers that share it."""
    server = server or Server()
    made = []
    for number in range(routers):
        chance = random.Random(seed * 100 + number)
        watched = Watched(backend(**saturation))
        router = Router(server, watched, lambda now_s: page(server, now_s), chance)
        router.next_poll_s = chance.random()
        made.append(router)
    return server, made


def run(
    server: Server,
    routers: list[Router],
    until_s: float,
    rate: Callable[[float], float],
    each_step: Callable[[float], None] = lambda _: None,
) -> None:
    """Let requests come, `rate(now)` a second for all routers together, until then."""
    chance = random.Random(7)
    while server.now_s < until_s:
        server.now_s = round(server.now_s + STEP_S, 6)
        each_step(server.now_s)
        server.step()
        for router in routers:
            router.poll()
            if chance.random() < rate(server.now_s) * STEP_S / len(routers):
                router.request()
