"""What `chaos` prints: a table per fault, and in words what a table cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from hybridllm.cli.chaos.catalogue import ALL
from hybridllm.cli.output import headline, note, paragraph, percent, plural, seconds, usd
from hybridllm.cli.tables import Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm.cli.chaos.catalogue import Trouble
    from hybridllm.cli.chaos.figures import Figures, Nowhere
    from hybridllm.cli.chaos.mix import Mix
    from hybridllm.cli.chaos.simulate import Course

_GOOD, _FAIR = 0.999, 0.95
_WHO_MAX = 3
_NAMES_MAX = 4


def opening(mix: Mix, course: Course, *, policy: str) -> None:
    """Say what is about to be simulated."""
    calm_s, fault_s = course.from_s, course.until_s - course.from_s
    after_s = course.seconds - course.until_s
    paragraph(
        f"{policy}: {plural(len(mix.kinds), 'kind')} of requests (its tasks x its residency tags), "
        f"{course.rate:g} a second, half of them streams; {calm_s:.3g} s of calm, {fault_s:.3g} s of "
        f"trouble, {after_s:.3g} s after it. Simulated backends, virtual time, "
        f"seed {course.seed}."
    )
    if mix.denied:
        names = ", ".join(f"{name} ({rule})" for name, rule in mix.denied[:_NAMES_MAX])
        more = f", and {len(mix.denied) - _NAMES_MAX} more" if len(mix.denied) > _NAMES_MAX else ""
        note(f"Left out, because the policy denies them even when all is well: {names}{more}.")


def told(trouble: Trouble, calm: Figures, found: Sequence[Figures]) -> None:
    """Print one fault: whom it struck, and what users saw meanwhile."""
    headline(f"{trouble.name}: {trouble.words}")
    table = Table(
        "struck", "answered", "failed", "cut", "p50", "p99", "attempts", "cost of 1,000",
        "answered by", "back after",
        right=("answered", "failed", "cut", "p50", "p99", "attempts", "cost of 1,000", "back after"),
        prose=("answered by",),
    )  # fmt: skip
    for figures in (calm, *found):
        table.add_row(*_row(figures))
    show(table)
    for line in _words(found):
        paragraph(f"  {line}")


def closing(found: Sequence[Figures]) -> None:
    """Say which was the worst."""
    judged = [each for each in found if each.asked > each.right_to_fail]
    if not judged:
        return
    worst = min(judged, key=lambda each: each.success_possible)
    typer.echo("")
    paragraph(
        f"At worst {percent(worst.answered, worst.asked - worst.right_to_fail)} were answered of the "
        f"requests that somebody well may answer: {worst.trouble}, {worst.struck}."
    )


def _row(figures: Figures) -> tuple[str | Coloured, ...]:
    success = figures.success_possible
    colour = "green" if success >= _GOOD else "yellow" if success >= _FAIR else "red"
    back = "-" if figures.back_s is None else f"{figures.back_s:.1f} s"
    return (
        figures.struck or Coloured("nothing", "dim"),
        Coloured(percent(figures.answered, figures.asked), colour),
        f"{figures.failed:,}" if figures.failed else "-",
        f"{figures.cut:,}" if figures.cut else "-",
        seconds(figures.p50_s),
        seconds(figures.p99_s),
        f"{figures.attempts:.2f}",
        usd(figures.cost_usd),
        _who(figures),
        back,
    )


def _who(figures: Figures) -> str:
    shares = [
        f"{name} {percent(count, figures.answered)}"
        for name, count in list(figures.served.items())[:_WHO_MAX]
    ]
    more = f" +{len(figures.served) - _WHO_MAX}" if len(figures.served) > _WHO_MAX else ""
    return ", ".join(shares) + more or "nobody"


def _words(found: Sequence[Figures]) -> Iterator[str]:
    for figures in found:
        said = list(_kept(figures.nowhere))
        if figures.struck == ALL and said:
            said = ["everybody was struck, so no failure is held against the policy."]
        if figures.other_model:
            answers = plural(figures.other_model, "answer")
            said.append(
                f"{answers} came from another model than usual (`fallback` on the receipt)."
            )
        if said:
            yield f"{figures.struck}: {' '.join(said)}"


def _kept(nowhere: Sequence[Nowhere]) -> Iterator[str]:
    """Say what failed because nobody else may answer: first what the policy wants so."""
    failed = [each for each in nowhere if each.failed > each.cut]
    tagged = [each for each in failed if each.tag is not None]
    for each in tagged:
        yield (
            f"{plural(each.failed - each.cut, 'request')} with residency '{each.tag}' may go to "
            f"{' or '.join(each.backends)} only, and failed rather than travel."
        )
    if tagged:
        yield "That is right, not wrong: the policy wants it so."
    for each in failed:
        if each.tag is None:
            names = ", ".join(each.kinds[:_NAMES_MAX])
            more = ", ..." if len(each.kinds) > _NAMES_MAX else ""
            yield (
                f"{plural(each.failed - each.cut, 'request')} ({names}{more}) can be answered by "
                f"{' or '.join(each.backends)} only, and failed: a fallback in the policy could help."
            )
    if cut := sum(each.cut for each in nowhere):
        yield f"{plural(cut, 'stream')} that nobody else may answer broke after the first token."
