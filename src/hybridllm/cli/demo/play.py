"""The demo from its first line to its last: one act after the other."""

from __future__ import annotations

import typer

from hybridllm.cli.demo.acts import Acts
from hybridllm.cli.demo.outage import play as outage
from hybridllm.cli.demo.stage import Stage
from hybridllm.cli.demo.surge import play as surge
from hybridllm.cli.output import print_json
from hybridllm.cli.signals import Stop


async def play(stage: Stage, acts: Acts, stop: Stop) -> tuple[bool, Stop]:
    """Play the acts; return True if nothing unexpected happened, and how the demo was stopped."""
    facts: dict[str, object] = {"ok": True, "simulated": True}
    ok = True
    if acts is not Acts.SECOND:
        first = await outage.play(stage, stop)
        facts, ok = {**facts, **first.facts}, first.ok
    if acts is not Acts.FIRST and not stop.asked.is_set():
        if acts is Acts.ALL and not stage.as_json:
            typer.echo("\n")
        second = await surge.play(stage, stop)
        ok = ok and second.ok
        facts |= {"surge": second.facts, "stopped": second.facts["stopped"]}
    if stage.as_json:
        print_json(facts | {"ok": ok})
    return ok, stop
