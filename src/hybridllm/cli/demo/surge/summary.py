"""What the second act says at its end: for people, and as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.demo.ends import stopped_facts, stopped_line, unexpected_lines
from hybridllm.cli.demo.surge.figures import Figures, Spell
from hybridllm.cli.demo.surge.traffic import BURST
from hybridllm.cli.demo.surge.world import API, LOADS_S, OWN
from hybridllm.cli.demo.tally import Ending, Tally
from hybridllm.cli.output import headline, paragraph, percent, plural, seconds, usd

if TYPE_CHECKING:
    from hybridllm import Receipt
    from hybridllm.cli.demo.run import Course


def draw(course: Course, found: Figures) -> None:
    """Print the end of the act, below the last picture."""
    typer.echo()
    stopped_line(course)
    _burst(found)
    if found.asleep.requests:
        _asleep(found)
    _tagged(found)
    unexpected_lines(course.tally)
    left = _one_that_left(course.tally)
    if left is not None:
        headline("One that left, as its caller's receipt tells it")
        typer.echo(str(left))


def facts(course: Course, found: Figures, *, ok: bool) -> dict[str, Any]:
    """Return the end of the act as a JSON object."""
    tally = course.tally
    return {
        "ok": ok,
        **stopped_facts(course),
        **found.to_dict(),
        "unexpected": [one.error for one in tally.records if one.ending is Ending.UNEXPECTED],
    }


def _burst(found: Figures) -> None:
    burst = found.burst
    if not burst.requests:
        return
    back = "Nobody left after its end."
    if found.back_s:
        back = f"The last one left {seconds(found.back_s)} after its end."
    share = typer.style(f"{_percent(burst.share)} of the burst left", fg="green", bold=True)
    paragraph(
        f"{share}: {burst.left} of the {burst.may_leave} requests that may leave {OWN} went to {API}, for "
        f"{usd(burst.cost_usd)}. It can take {found.can_per_s:.0f} a second and was asked {BURST:g} times "
        f"that: {_percent(found.ideal_share)} is what it had no room for. {back}"
    )
    paragraph(
        f"First token, p99: {seconds(found.calm_p99_s)} before and after the burst, "
        f"{seconds(burst.first_token_p99_s)} in it. Had nobody left: {seconds(burst.without_p99_s)}."
    )


def _asleep(found: Figures) -> None:
    asleep = found.asleep
    without = ""
    if asleep.without_p99_s is not None:
        without = f" Had they waited for it: {seconds(asleep.without_p99_s)}."
    woke = "it was not awake again before the end"
    if found.awake_after_s is not None:
        woke = (
            f"it was in use again {seconds(found.awake_after_s)} after it was woken ({seconds(LOADS_S)} of "
            f"that it loads), and has answered {found.back_home} since"
        )
    paragraph(
        f"While {OWN} slept, {API} answered {asleep.left} of the {asleep.may_leave} requests that may leave, "
        f"for {usd(asleep.cost_usd)}; first token, p99: {seconds(asleep.first_token_p99_s)}. The first one "
        f"woke it; {woke}.{without}"
    )


def _tagged(found: Figures) -> None:
    both = (found.burst, found.asleep)
    tagged = sum(spell.tagged for spell in both)
    if not tagged:
        return
    left = sum(spell.tagged_left for spell in both)
    paragraph(
        f"{plural(tagged, 'request')} with the tag phi came meanwhile, and "
        f"{left or 'none'} of them left. {_waited('In the burst', found.burst, 'Overloaded')} "
        f"{_waited('While it slept', found.asleep, 'WarmingUp')}".rstrip()
    )


def _waited(when: str, spell: Spell, error: str) -> str:
    parts = []
    if spell.tagged_answered:
        wait = seconds(spell.tagged_wait_s)
        parts.append(
            f"{_were(spell.tagged_answered)} answered at home, first tokens after {wait} at most"
        )
    if spell.tagged_later:
        parts.append(f"{_were(spell.tagged_later)} told when to come back ({error})")
    return f"{when} {'; '.join(parts)}." if parts else ""


def _were(count: int) -> str:
    return f"{count} was" if count == 1 else f"{count} were"


def _one_that_left(tally: Tally) -> Receipt | None:
    for record in tally.records:
        made = record.receipt
        served = None if made is None else made.served
        if served is not None and served.backend == API and served.reason == "overflow":
            return made
    return None


def _percent(share: float | None) -> str:
    return "-" if share is None else percent(share, 1)
