"""The demo from its first line to its last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hybridllm import Router
from hybridllm.cli.demo import summary
from hybridllm.cli.demo.run import Course, Screen, run
from hybridllm.cli.demo.screen import PlainScreen, SilentScreen, live_screen
from hybridllm.cli.demo.tally import Ending
from hybridllm.cli.demo.traffic import traffic
from hybridllm.cli.demo.world import POLICY, World, open_world
from hybridllm.cli.output import console, note, print_json
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from rich.console import Console


async def play(*, requests: int, seconds: float, seed: int, plain: bool, as_json: bool) -> bool:
    """Run the demo and print it; return True if nothing unexpected happened."""
    out = console()
    course = Course(requests, seconds)
    asks = traffic(requests=requests, seconds=seconds, seed=seed)
    path = policy_path(POLICY)
    async with (
        open_world(seed=seed) as world,
        Router.from_file(path, environ=world.environ) as router,
    ):
        if not as_json:
            _introduce(out, world)
        with _screen(out, world, plain=plain, as_json=as_json) as screen:
            await run(router, world, course, asks, screen)
        # The strictest tag of the traffic: two of three backends are out.
        explained = router.explain(task="summarize", residency="phi", tenant="acme")
    passed = not course.tally.count(Ending.UNEXPECTED)
    if as_json:
        print_json(summary.facts(course, explained, ok=passed))
    else:
        summary.draw(out, course, world, explained, with_picture=plain or not out.is_terminal)
    return passed


def _introduce(out: Console, world: World) -> None:
    from rich.text import Text

    title = Text("hybridllm demo", style="bold")
    title.append(
        f": the real router, the shipped policy {POLICY}, three SIMULATED backends", "not bold"
    )
    out.print(title)
    note(out, "No key is used, no model thinks, and nothing leaves this machine.")
    for name, url in world.urls.items():
        note(out, f"  {name:<12} {url}")
    out.print()


@contextmanager
def _screen(out: Console, world: World, *, plain: bool, as_json: bool) -> Iterator[Screen]:
    if as_json:
        yield SilentScreen()
    elif plain or not out.is_terminal:
        yield PlainScreen(out)
    else:
        with live_screen(out, world) as screen:
            yield screen
