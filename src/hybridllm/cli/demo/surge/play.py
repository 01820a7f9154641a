"""The second act from its first line to its last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hybridllm import Router
from hybridllm.cli.demo.run import Course, run
from hybridllm.cli.demo.stage import Played, Stage
from hybridllm.cli.demo.surge import summary
from hybridllm.cli.demo.surge.act import Phase, Surge
from hybridllm.cli.demo.surge.figures import figures
from hybridllm.cli.demo.surge.picture import picture
from hybridllm.cli.demo.surge.traffic import timetable, traffic
from hybridllm.cli.demo.surge.world import POLICY, open_world
from hybridllm.cli.demo.tally import Ending

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hybridllm.cli.signals import Stop


async def play(stage: Stage, stop: Stop) -> Played:
    """Play it and print it."""
    times = timetable(stage.seconds)
    asks = traffic(times, seed=stage.seed)
    course = Course(len(asks), stage.seconds, Phase.CALM, stage.drain_s)
    async with (
        open_world(seed=stage.seed) as world,
        Router.from_file(
            POLICY, environ=world.environ, wake=world.wake, status_dir=stage.status_dir
        ) as router,
    ):
        act = Surge(world, router, times)
        stage.introduce(
            "hybridllm demo, act 2",
            f"a policy of its own, {POLICY.stem}: one SIMULATED machine of our own, and a SIMULATED API",
            world.urls,
        )

        def drawn(course: Course, width: int) -> RenderableType:
            return picture(course, world, width)

        with stage.screen(drawn) as screen:
            await run(router, act, course, asks, screen, stop)
        ended_s = asyncio.get_running_loop().time()
    found = figures(
        course.tally,
        asks,
        times,
        awake_after_s=act.awake_after_s,
        woken_s=None if world.woken_at_s is None else world.woken_at_s - (ended_s - course.now_s),
    )
    ok = not course.tally.count(Ending.UNEXPECTED)
    if not stage.as_json:
        stage.curtain(course, drawn)
        summary.draw(course, found)
    return Played(ok, summary.facts(course, found, ok=ok))
