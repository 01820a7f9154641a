"""The first act from its first line to its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridllm import Router
from hybridllm.cli.demo.outage import summary
from hybridllm.cli.demo.outage.act import Outage, Phase
from hybridllm.cli.demo.outage.picture import picture
from hybridllm.cli.demo.outage.traffic import traffic
from hybridllm.cli.demo.outage.world import POLICY, open_world
from hybridllm.cli.demo.run import Course, run
from hybridllm.cli.demo.stage import Played, Stage
from hybridllm.cli.demo.tally import Ending
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hybridllm.cli.signals import Stop


async def play(stage: Stage, stop: Stop) -> Played:
    """Play it and print it."""
    asks = traffic(requests=stage.requests, seconds=stage.seconds, seed=stage.seed)
    course = Course(stage.requests, stage.seconds, Phase.HEALTHY, stage.drain_s)
    path = policy_path(POLICY)
    async with (
        open_world(seed=stage.seed) as world,
        Router.from_file(path, environ=world.environ, status_dir=stage.status_dir) as router,
    ):
        stage.introduce(
            "hybridllm demo",
            f"the real router, the shipped policy {POLICY}, three SIMULATED backends",
            world.urls,
        )

        def drawn(course: Course, width: int) -> RenderableType:
            return picture(course, world, width)

        with stage.screen(drawn) as screen:
            await run(router, Outage(world), course, asks, screen, stop)
        # The strictest tag of the traffic: two of three backends are out.
        explained = router.explain(task="summarize", residency="phi", tenant="acme")
    ok = not course.tally.count(Ending.UNEXPECTED)
    if not stage.as_json:
        stage.curtain(course, drawn)
        summary.draw(course, explained)
    return Played(ok, summary.facts(course, explained, ok=ok))
