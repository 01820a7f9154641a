"""What both acts say at their ends: that one was stopped, and what nobody had expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.demo.tally import Ending, Record, Tally

if TYPE_CHECKING:
    from hybridllm.cli.demo.run import Course

UNEXPECTED_SHOWN = 5


def stopped_line(course: Course) -> None:
    """Print that the act was stopped, if it was."""
    if course.stopped is None:
        return
    ended, cut = len(course.tally.records), course.tally.count(Ending.STOPPED)
    told = f"Stopped by {course.stopped} after {ended} of {course.requests} requests"
    typer.echo(told + (f"; {cut} under way did not end in time." if cut else "."))


def stopped_facts(course: Course) -> dict[str, Any]:
    """Return how far the act went, and how its requests ended."""
    tally = course.tally
    return {
        "stopped": course.stopped,
        "requests": len(tally.records),
        "seconds": round(course.now_s, 3),
        "endings": {ending.value: tally.count(ending) for ending in Ending},
    }


def unexpected_lines(tally: Tally) -> None:
    """Print the first of the requests that ended as none should."""
    found = unexpected(tally)
    for record in found[:UNEXPECTED_SHOWN]:
        typer.echo(
            typer.style(f"unexpected, at {record.ended_s:.1f} s: ", fg="red") + str(record.error)
        )
    if len(found) > UNEXPECTED_SHOWN:
        typer.echo(f"... and {len(found) - UNEXPECTED_SHOWN} more unexpected ends")


def unexpected(tally: Tally) -> list[Record]:
    """Return the requests that ended as none should."""
    return [record for record in tally.records if record.ending is Ending.UNEXPECTED]
