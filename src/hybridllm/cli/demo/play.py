"""The demo from its first line to its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hybridllm import Router
from hybridllm.cli.demo import summary
from hybridllm.cli.demo.run import Course, Screen, run
from hybridllm.cli.demo.screen import LiveScreen, PlainScreen, SilentScreen, show_picture
from hybridllm.cli.demo.tally import Ending
from hybridllm.cli.demo.traffic import traffic
from hybridllm.cli.demo.world import POLICY, World, open_world
from hybridllm.cli.output import note, paragraph, print_json, terminal_width
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.signals import Stop

if TYPE_CHECKING:
    from pathlib import Path


async def play(
    course: Course,
    stop: Stop,
    *,
    seed: int,
    plain: bool,
    as_json: bool,
    status_dir: Path | None = None,
) -> tuple[bool, Stop]:
    """Run the demo and print it; return True if nothing unexpected happened, and how it was stopped."""
    asks = traffic(requests=course.requests, seconds=course.seconds, seed=seed)
    path = policy_path(POLICY)
    async with (
        open_world(seed=seed) as world,
        Router.from_file(path, environ=world.environ, status_dir=status_dir) as router,
    ):
        if as_json:
            screen: Screen = SilentScreen()
        else:
            _introduce(world)
            screen = PlainScreen() if plain or terminal_width() is None else LiveScreen(world)
        with screen:
            await run(router, world, course, asks, screen, stop)
        # The strictest tag of the traffic: two of three backends are out.
        explained = router.explain(task="summarize", residency="phi", tenant="acme")
    passed = not course.tally.count(Ending.UNEXPECTED)
    if as_json:
        print_json(summary.facts(course, explained, ok=passed))
        return passed, stop
    if isinstance(screen, PlainScreen):
        show_picture(course, world)
    summary.draw(course, explained)
    return passed, stop


def _introduce(world: World) -> None:
    title = typer.style("hybridllm demo", bold=True)
    paragraph(f"{title}: the real router, the shipped policy {POLICY}, three SIMULATED backends")
    note("No key is used, no model thinks, and nothing leaves this machine.")
    for name, url in world.urls.items():
        note(f"  {name:<12} {url}")
    typer.echo()
