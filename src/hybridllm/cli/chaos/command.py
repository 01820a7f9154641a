"""`hybridllm chaos`: its options, its course, its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import keep_logs_quiet, print_json
from hybridllm.cli.pictures import ready_to_draw, save
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from hybridllm import Policy
    from hybridllm.cli.chaos.catalogue import Struck, Trouble
    from hybridllm.cli.chaos.figures import Figures
    from hybridllm.cli.chaos.mix import Mix
    from hybridllm.cli.chaos.simulate import Course, Seen

FaultNames = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="NAME,...",
        help="dead, hang, 503, slow, errors, cut (those are the default), 429, blackhole, reset, garbage, "
        "flapping, crowded; or all.",
    ),
]
StruckNames = Annotated[
    list[str] | None,
    typer.Option(
        "--struck",
        metavar="NAME,...",
        help="Only these: a backend, region:NAME, operator:NAME, or all. Default: each in turn.",
    ),
]
TaskNames = Annotated[
    list[str] | None, typer.Option("--task", metavar="NAME,...", help="Only these tasks.")
]
TagNames = Annotated[
    list[str] | None, typer.Option("--residency", metavar="TAG,...", help="Only these tags.")
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="DIR", help="Draw a picture per fault (needs the extra `plots`)."
    ),
]
FailUnder = Annotated[
    float | None,
    typer.Option(
        "--fail-under",
        min=0,
        max=100,
        metavar="PERCENT",
        help="End with code 1 if fewer are answered of those that somebody well may answer.",
    ),
]


def chaos(
    policy: hints.Policy,
    *,
    fault: FaultNames = None,
    struck: StruckNames = None,
    rate: Annotated[
        float, typer.Option("--rate", min=0.1, max=1_000, metavar="N", help="Requests a second.")
    ] = 50.0,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=6, max=3_600, metavar="S", help="Of virtual time, per fault."
        ),
    ] = 60.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of everything drawn.")] = 1,
    task: TaskNames = None,
    residency: TagNames = None,
    environment: hints.Environment = None,
    plot: Plot = None,
    fail_under: FailUnder = None,
    as_json: hints.AsJson = False,
) -> None:
    """Break the backends of a policy, one fault after the other, and tell what users would have seen.

    Every backend of the policy is simulated, in virtual time; the router is the real one. Each fault
    strikes each backend alone, then all of a region, all of an operator, and all of them. Nothing is sent
    to anybody, and no key is needed.
    """
    path = policy_path(policy)
    keep_logs_quiet()
    if plot is not None:
        _ready_to_draw(plot)

    from hybridllm import check
    from hybridllm.cli.chaos import report
    from hybridllm.cli.chaos.simulate import Course

    with errors_told(as_json=as_json):
        rules = check(path, environment=environment).policy
        troubles, sets = _troubles(hints.listed(fault)), _sets(rules, struck)
        mix = _mix(rules, hints.listed(task), hints.listed(residency))
        course = Course(rate, seconds, seed)
        if not as_json:
            report.opening(mix, course, policy=rules.name)
        found = _run(rules, mix, course, troubles, sets, plot=plot, quiet=as_json)
    if as_json:
        print_json(_facts(path, mix, course, found))
    else:
        report.closing(found[1:])
    lowest = min(each.success_possible for each in found)
    if fail_under is not None and 100 * lowest < fail_under:
        raise typer.Exit(Exit.FAILED)


def _run(
    rules: Policy,
    mix: Mix,
    course: Course,
    troubles: list[Trouble],
    sets: list[Struck],
    *,
    plot: Path | None,
    quiet: bool,
) -> list[Figures]:
    """Simulate everything, printing as it goes; the first figures are those of calm."""
    from hybridllm.cli.chaos import report
    from hybridllm.cli.chaos.figures import figures_of
    from hybridllm.cli.chaos.simulate import simulate
    from hybridllm.cli.progress import Progress

    progress = Progress(1 + len(troubles) * len(sets))
    with progress:
        progress.on("nothing")
        calm = figures_of(simulate(rules, mix, course, None, None), mix, course)
    found = [calm]
    for trouble in troubles:
        seen: list[Seen] = []
        with progress:
            for one in sets:
                progress.on(f"{trouble.name}, {one.name}")
                seen.append(simulate(rules, mix, course, trouble, one))
        told = [figures_of(each, mix, course) for each in seen]
        if not quiet:
            report.told(trouble, calm, told)
        if plot is not None:
            _draw(plot, trouble, seen, course, quiet=quiet)
        found += told
    return found


def _draw(folder: Path, trouble: Trouble, seen: list[Seen], course: Course, *, quiet: bool) -> None:
    from hybridllm.cli.chaos.plots import draw

    picture = draw(trouble, seen, course)
    file = folder / f"{trouble.name}.png"
    save(picture, file)
    if not quiet:
        typer.echo(typer.style(f"  {file}", dim=True))


def _ready_to_draw(folder: Path) -> None:
    ready_to_draw()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"--plot: {folder} cannot be made: {error.strerror}") from None


def _mix(rules: Policy, tasks: list[str], tags: list[str]) -> Mix:
    from hybridllm import Router
    from hybridllm.cli.chaos.mix import mix_of

    for what, given, known in (
        ("--task", tasks, rules.known_tasks),
        ("--residency", tags, rules.residency),
    ):
        for name in given:
            if known and name not in known:
                raise typer.BadParameter(
                    f"{what}: {name!r} is not one of {', '.join(sorted(known))}"
                )
    mix = mix_of(Router(rules, environ={}), tasks=tasks, residency=tags)
    if not mix.kinds:
        reasons = "; ".join(f"{name}: {rule}" for name, rule in mix.denied[:3])
        raise typer.BadParameter(f"the policy denies every one of these requests: {reasons}")
    return mix


def _troubles(names: list[str]) -> list[Trouble]:
    from hybridllm.cli.chaos.catalogue import ALL, CATALOGUE, chosen_troubles

    try:
        return chosen_troubles(names)
    except KeyError as unknown:
        known = ", ".join((*CATALOGUE, ALL))
        raise typer.BadParameter(f"--fault: {unknown} is not one of {known}") from None


def _sets(rules: Policy, names: list[str] | None) -> list[Struck]:
    from hybridllm.cli.chaos.catalogue import struck_sets

    sets = struck_sets(rules)
    if not names:
        return sets
    by_name = {one.name.replace(" ", ":"): one for one in sets}
    wanted = [name.replace(" ", ":") for name in hints.listed(names)]  # as the table has it
    for name in wanted:
        if name not in by_name:
            raise typer.BadParameter(f"--struck: {name!r} is not one of {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


def _facts(path: Path, mix: Mix, course: Course, found: list[Figures]) -> dict[str, Any]:
    return {
        "ok": True,
        "file": str(path),
        "rate": course.rate,
        "seconds": course.seconds,
        "seed": course.seed,
        "kinds": [{"name": kind.name, "backends": sorted(kind.backends)} for kind in mix.kinds],
        "denied": [{"name": name, "rule": rule} for name, rule in mix.denied],
        "calm": found[0].to_dict(),
        "faults": [each.to_dict() for each in found[1:]],
    }
