"""What the second act shows: who answers, how the machine is, and how requests fare in each phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybridllm.cli.demo.drawing import WIDE, Row, bar, head, table
from hybridllm.cli.demo.surge.act import Phase
from hybridllm.cli.demo.surge.traffic import BURST
from hybridllm.cli.demo.surge.world import API, MACHINE, OWN, State
from hybridllm.cli.demo.tally import RECENT_S, Ending, Line, Tally
from hybridllm.cli.output import percent, seconds, usd
from hybridllm.cli.quantiles import quantile

if TYPE_CHECKING:
    from hybridllm.cli.demo.run import Course
    from hybridllm.cli.demo.surge.world import World

_CAN = f"{MACHINE.requests_per_s:.0f} requests a second"
_WEATHER = {
    str(Phase.CALM): (f"{OWN} answers everybody; it can take {_CAN}.", "green"),
    str(Phase.BURST): (
        f"BURST: {BURST:g} times what {OWN} can take, the surplus leaves.",
        "bold red",
    ),
    str(Phase.AFTER): (f"The burst is over: everybody is back at {OWN}.", "green"),
    str(Phase.ASLEEP): (f"{OWN} is ASLEEP: nobody asked, so it was stopped.", "bold red"),
    str(Phase.AWAKE): (f"{OWN} is awake, and gets its traffic back little by little.", "green"),
}
_STATES = {State.AWAKE: "green", State.ASLEEP: "bold red", State.LOADING: "yellow"}


def picture(course: Course, world: World, width: int) -> RenderableType:
    """Return everything that there is to see; in a narrow terminal, the most telling columns of it."""
    wide = width >= WIDE
    return Group(
        *(head(course, *_WEATHER[course.phase]), Text()),
        *(_backends(course, world, wide=wide), Text()),
        _phases(course, wide=wide),
    )


def _backends(course: Course, world: World, *, wide: bool) -> Table:
    lines = course.tally.by_backend(now_s=course.now_s)
    total = sum(line.count for line in lines.values())
    recent = sum(line.recent for line in lines.values())
    rows: list[Row] = []
    for name in (OWN, API):
        line = lines.get(name, Line())
        state = world.state if name == OWN else State.AWAKE
        slots = f" of {MACHINE.slots}" if name == OWN else ""
        rows.append(
            {
                "simulated backend": name,
                "state": Text("up" if name == API else state.value, style=_STATES[state]),
                "works on": f"{world.works_on(name)}{slots}",
                "answered": str(line.count),
                "share": percent(line.count, total),
                "p50": seconds(quantile(line.durations_s, 0.5)),
                "p99": seconds(quantile(line.durations_s, 0.99)),
                "cost": usd(line.cost_usd),
                f"last {RECENT_S:.0f} s": bar(
                    line.recent / recent if recent else 0.0, 20 if wide else 10
                ),
            }
        )
    return table(rows, hidden=() if wide else ("p50", "p99"))


def _phases(course: Course, *, wide: bool) -> Table:
    tally = course.tally
    rows: list[Row] = []
    for phase in Phase:
        failed = tally.count(Ending.UNEXPECTED, phase)
        rows.append(
            {
                "requests sent while": Text(
                    phase.value, style="bold" if phase == course.phase else ""
                ),
                "answered": str(tally.count(Ending.ANSWERED, phase)),
                "by the API": str(_at(tally, API, phase)),
                "told later": str(tally.count(Ending.LATER, phase)),
                "failed": Text(str(failed), style="bold red" if failed else ""),
                "1st token": seconds(quantile(tally.first_tokens_s(phase), 0.5)),
                "p99": seconds(quantile(tally.first_tokens_s(phase), 0.99)),
            }
        )
    return table(rows, hidden=() if wide else ("1st token",))


def _at(tally: Tally, backend: str, phase: Phase) -> int:
    """Return how many requests of a phase a backend has answered."""
    return sum(
        record.phase == phase
        and record.receipt is not None
        and record.receipt.served is not None
        and record.receipt.served.backend == backend
        for record in tally.records
    )
